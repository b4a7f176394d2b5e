/*
 * headers.c
 *		HTTP headers of requests: as the jsonb objects that submitters and administrators pass, and
 *		values that name a queue or a task.
 *
 * A header that would replace one of taskq's own, or that could break the head of the request,
 * is refused when it is passed, because that session can still report the error.  The rules
 * for a single header stand in core/request.c.
 */
#include "postgres.h"

#include "common/string.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/errors.h"
#include "core/request.h"
#include "push/headers.h"

#define MAX_HEADERS 100

void
refuse_part(const char *what, const char *wrong)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("invalid %s", what),
			 errdetail("The %s cannot be used: %s.", what, wrong),
			 errhint("See the comment of taskq.submit_http().")));
}

/* The error shows the name of the refused header only if it is harmless, and never the value. */
static void
check_header(const char *name, const JsonbValue *value, tq_style style)
{
	char *text;

	if (tq_header_owner_of(name) != TQ_HEADER_SUBMITTER)
		refuse_part("headers", psprintf("\"%s\" cannot be set by a submitter", name));
	if (tq_style_owns(style, name))
		refuse_part("headers", psprintf("\"%s\" belongs to the header_style of the queue", name));
	if (tq_header_invalid(name, "") != NULL)
		refuse_part("headers", "a name is not an HTTP token");
	if (value->type != jbvString)
		refuse_part("headers", psprintf("the value of \"%s\" is not a string", name));
	text = pnstrdup(value->val.string.val, value->val.string.len);
	if (!pg_is_ascii(text) || tq_header_invalid(name, text) != NULL)
		refuse_part("headers", psprintf("the value of \"%s\" is not printable ASCII", name));
}

int
headers_find(const Jsonb *headers, const char *name, char **value)
{
	JsonbIterator *it = JsonbIteratorInit(unconstify(JsonbContainer *, &headers->root));
	JsonbValue v;
	JsonbIteratorToken token;
	bool named = false;
	int count = 0;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			named = v.val.string.len == (int) strlen(name) &&
					pg_strncasecmp(v.val.string.val, name, v.val.string.len) == 0;
			count += named;
		}
		else if (token == WJB_VALUE && named && value != NULL && v.type == jbvString)
			*value = pnstrdup(v.val.string.val, v.val.string.len);
	}
	return count;
}

char *
header_queue_value(const Queue *queue)
{
	StringInfoData value;

	initStringInfo(&value);
	for (const char *p = queue->name; *p != '\0'; p++)
	{
		if (IS_HIGHBIT_SET(*p))
			appendStringInfo(&value, "%%%02X", (unsigned char) *p);
		else
			appendStringInfoChar(&value, *p);
	}
	return value.data;
}

char *
header_key_value(const Row *task)
{
	char *key = TextDatumGetCString(task->values[TASK_KEY]);
	StringInfoData value;

	if (GetDatabaseEncoding() != PG_SQL_ASCII)
		key = pg_server_to_any(key, strlen(key), PG_UTF8);
	initStringInfo(&value);
	for (const unsigned char *p = (unsigned char *) key; *p != '\0'; p++)
	{
		if (*p <= ' ' || *p > '~' || *p == '%')
			appendStringInfo(&value, "%%%02X", *p);
		else
			appendStringInfoChar(&value, *p);
	}
	return value.data;
}

void
headers_check(Datum headers, tq_style style)
{
	Jsonb *jsonb = DatumGetJsonbP(headers);
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	JsonbValue v;
	JsonbIteratorToken token;
	char *name = NULL;
	int count = 0;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		refuse_part("headers", "they are not a JSON object");
	if (VARSIZE_ANY(jsonb) > MAX_HEADERS_SIZE)
		refuse_part("headers", psprintf("they have more than %d bytes", MAX_HEADERS_SIZE));
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(v.val.string.val, v.val.string.len);
		else if (token == WJB_VALUE)
		{
			check_header(name, &v, style);
			if (headers_find(jsonb, name, NULL) > 1)
				refuse_part("headers", psprintf("the name \"%s\" occurs twice", name));
		}
		if (token == WJB_KEY && ++count > MAX_HEADERS)
			refuse_part("headers", psprintf("there are more than %d", MAX_HEADERS));
	}
}

/* Arguments: headers, the header_style of their queue. */
PG_FUNCTION_INFO_V1(taskq_check_headers);
Datum
taskq_check_headers(PG_FUNCTION_ARGS)
{
	tq_style style = TQ_STYLE_TASKQ;

	if (!PG_ARGISNULL(1))
		style = tq_style_of_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	if (!PG_ARGISNULL(0))
		headers_check(PG_GETARG_DATUM(0), style);
	PG_RETURN_VOID();
}

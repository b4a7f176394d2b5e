/*
 * headers.c
 *		HTTP headers as jsonb objects: what submitters and administrators give.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/errors.h"
#include "core/request.h"
#include "push/headers.h"

#define MAX_HEADERS      100
#define MAX_HEADERS_SIZE 32768 /* bytes of the jsonb */

void
invalid_request(const char *what, const char *wrong)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("invalid %s", what),
			 errdetail("The %s cannot be used: %s.", what, wrong),
			 errhint("See the comment of taskq.submit_http().")));
}

/* What goes into a request line or header as it is: ASCII alone. */
bool
is_ascii(const char *value)
{
	for (; *value != '\0'; value++)
	{
		if (IS_HIGHBIT_SET(*value))
			return false;
	}
	return true;
}

/* Of a header that is refused only the name is told, and that only if it is harmless. */
static void
check_header(const char *name, const JsonbValue *value)
{
	char *text;

	if (tq_header_owner_of(name) != TQ_HEADER_SUBMITTER)
		invalid_request("headers", psprintf("\"%s\" is not the submitter's to set", name));
	if (tq_header_invalid(name, "") != NULL)
		invalid_request("headers", "a name is not an HTTP token");
	if (value->type != jbvString)
		invalid_request("headers", psprintf("the value of \"%s\" is not a string", name));
	text = pnstrdup(value->val.string.val, value->val.string.len);
	if (!is_ascii(text) || tq_header_invalid(name, text) != NULL)
		invalid_request("headers", psprintf("the value of \"%s\" is not printable ASCII", name));
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

void
headers_check(Datum headers)
{
	Jsonb *jsonb = DatumGetJsonbP(headers);
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	JsonbValue v;
	JsonbIteratorToken token;
	char *name = NULL;
	int count = 0;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		invalid_request("headers", "they are not a JSON object");
	if (VARSIZE_ANY(jsonb) > MAX_HEADERS_SIZE)
		invalid_request("headers", psprintf("they have more than %d bytes", MAX_HEADERS_SIZE));
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(v.val.string.val, v.val.string.len);
		else if (token == WJB_VALUE)
		{
			check_header(name, &v);
			if (headers_find(jsonb, name, NULL) > 1)
				invalid_request("headers", psprintf("there are two of the name \"%s\"", name));
		}
		if (token == WJB_KEY && ++count > MAX_HEADERS)
			invalid_request("headers", psprintf("there are more than %d", MAX_HEADERS));
	}
}

PG_FUNCTION_INFO_V1(taskq_check_headers);
Datum
taskq_check_headers(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(0))
		headers_check(PG_GETARG_DATUM(0));
	PG_RETURN_VOID();
}

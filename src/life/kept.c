/*
 * kept.c
 *		What is kept of a task's headers and of its submission, for those who look at it later.
 *
 * A viewer of a queue sees what was sent, but not the credentials of the sender.  No rule
 * knows every secret header, so a header is left out when its name looks like one of a secret.
 * The history keeps all headers of a task that can be retried; the views leave these out.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonb.h"

#include "core/request.h"
#include "life/kept.h"

/* ---- the submission ---------------------------------------------------------------- */

static void
add_value(JsonbParseState **state, const char *name, JsonbValue *value)
{
	JsonbValue key = {.type = jbvString};

	key.val.string.val = pstrdup(name);
	key.val.string.len = strlen(name);
	(void) pushJsonbValue(state, WJB_KEY, &key);
	(void) pushJsonbValue(state, WJB_VALUE, value);
}

/* Leaves out what is empty, and a name of a role that is not text in this database. */
static void
add_text(JsonbParseState **state, const char *name, const char *text)
{
	JsonbValue value = {.type = jbvString};

	if (text == NULL || text[0] == '\0' || !pg_verifymbstr(text, strlen(text), true))
		return;
	value.val.string.val = pstrdup(text);
	value.val.string.len = strlen(text);
	add_value(state, name, &value);
}

static void
add_number(JsonbParseState **state, const char *name, int number)
{
	JsonbValue value = {.type = jbvNumeric};

	value.val.numeric =
		DatumGetNumeric(DirectFunctionCall1(int4_numeric, Int32GetDatum(number)));
	add_value(state, name, &value);
}

/* NULL: the session has no client, or one on a Unix socket. */
static const char *
client_address(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	Datum address;

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	address = inet_client_addr(fcinfo);
	return fcinfo->isnull ? NULL : DatumGetCString(DirectFunctionCall1(inet_out, address));
}

Datum
kept_origin(void)
{
	JsonbParseState *state = NULL;
	JsonbValue *origin;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	add_text(&state, "role", GetUserNameFromId(GetUserId(), true));
	if (GetSessionUserId() != GetUserId())
		add_text(&state, "session_role", GetUserNameFromId(GetSessionUserId(), true));
	add_text(&state, "application", application_name);
	add_text(&state, "address", client_address());
	add_number(&state, "pid", MyProcPid);
	origin = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(origin));
}

/* ---- headers --------------------------------------------------------------------------- */

Datum
kept_headers(Datum headers)
{
	Jsonb *all = DatumGetJsonbP(headers);
	JsonbParseState *state = NULL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue key;
	JsonbValue value;
	int count = 0;

	if (!JB_ROOT_IS_OBJECT(all))
		return 0;
	it = JsonbIteratorInit(&all->root);
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		if (tq_header_may_be_secret(pnstrdup(key.val.string.val, key.val.string.len)))
			continue;
		(void) pushJsonbValue(&state, WJB_KEY, &key);
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
		count++;
	}
	if (count == 0)
		return 0;
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

PG_FUNCTION_INFO_V1(taskq_shown_headers);
Datum
taskq_shown_headers(PG_FUNCTION_ARGS)
{
	Datum shown = kept_headers(PG_GETARG_DATUM(0));

	if (shown == 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(shown);
}

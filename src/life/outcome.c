/*
 * outcome.c
 *		The outcome of a task, as its follow-ups get it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/jsontext.h"
#include "base/settings.h"
#include "life/outcome.h"

/* The parts that are left out one after another. */
typedef enum Whole
{
	ALL,
	NO_PAYLOAD,
	NO_RESULT,
	NO_ERROR
} Whole;

static void
add_value(JsonbParseState **state, const char *name, JsonbValue *value)
{
	JsonbValue key = {.type = jbvString};

	key.val.string.val = pstrdup(name);
	key.val.string.len = strlen(name);
	(void) pushJsonbValue(state, WJB_KEY, &key);
	(void) pushJsonbValue(state, WJB_VALUE, value);
}

static void
add_string(JsonbParseState **state, const char *name, const char *string)
{
	JsonbValue value = {.type = jbvNull};

	if (string != NULL)
	{
		value.type = jbvString;
		value.val.string.val = unconstify(char *, string);
		value.val.string.len = strlen(string);
	}
	add_value(state, name, &value);
}

static void
add_text(JsonbParseState **state, const char *name, Datum datum)
{
	add_string(state, name, datum != 0 ? TextDatumGetCString(datum) : NULL);
}

static void
add_number(JsonbParseState **state, const char *name, int64 number)
{
	JsonbValue value = {.type = jbvNumeric};

	value.val.numeric = int64_to_numeric(number);
	add_value(state, name, &value);
}

/* In UTC, as in JSON everywhere. */
static void
add_time(JsonbParseState **state, const char *name, TimestampTz time)
{
	char *text = palloc(MAXDATELEN + 1);
	int utc = 0;

	add_string(state, name,
			   JsonEncodeDateTime(text, TimestampTzGetDatum(time), TIMESTAMPTZOID, &utc));
}

static void
add_json(JsonbParseState **state, const char *name, Datum datum)
{
	JsonbValue value = {.type = jbvNull};

	if (datum != 0)
	{
		Jsonb *json = DatumGetJsonbP(datum);

		value.type = jbvBinary;
		value.val.binary.data = &json->root;
		value.val.binary.len = VARSIZE(json) - VARHDRSZ;
	}
	add_value(state, name, &value);
}

static Datum
json_of(const Outcome *o, Whole whole)
{
	JsonbParseState *state = NULL;
	JsonbValue truncated = {.type = jbvBool, .val.boolean = true};

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	add_number(&state, "id", o->id);
	add_string(&state, "queue", o->queue);
	add_text(&state, "kind", o->kind);
	add_text(&state, "key", o->key);
	add_text(&state, "group_key", o->group_key);
	add_string(&state, "state", o->state);
	add_number(&state, "attempt", o->attempt);
	add_time(&state, "submitted_at", o->submitted_at);
	add_time(&state, "ended_at", o->ended_at);
	if (whole < NO_RESULT)
		add_json(&state, "result", o->result);
	if (whole < NO_ERROR)
		add_text(&state, "error", o->error);
	if (o->status != 0)
		add_number(&state, "status", o->status);
	else
		add_json(&state, "status", 0);
	if (!o->finished && !o->truncated && whole < NO_PAYLOAD)
		add_json(&state, "payload", o->payload);
	if (o->truncated || whole != ALL)
		add_value(&state, "truncated", &truncated);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

static Datum
payload_of(const Outcome *o, Datum of_template, Whole whole)
{
	JsonbParseState *state = NULL;
	Datum outcome = json_of(o, whole);
	Datum wrapped;

	if (of_template == 0)
		return outcome;
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	add_json(&state, "task", outcome);
	wrapped = JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
	return DirectFunctionCall2(jsonb_concat, of_template, wrapped);
}

static bool
fits(Datum json)
{
	Size size;

	return VARSIZE(DatumGetPointer(json)) - VARHDRSZ <= (Size) setting_max_payload &&
		   !jsonb_text_exceeds(json, setting_max_payload, &size);
}

Datum
outcome_payload(const Outcome *outcome, Datum of_template)
{
	Datum payload = payload_of(outcome, of_template, ALL);

	for (int whole = NO_PAYLOAD; whole <= NO_ERROR && !fits(payload); whole++)
	{
		if (whole == NO_PAYLOAD && (outcome->finished || outcome->truncated))
			continue;
		payload = payload_of(outcome, of_template, (Whole) whole);
	}
	return payload;
}

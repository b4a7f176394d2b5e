/*
 * outcome.c
 *		The outcome of a task, as its follow-ups get it.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "base/jsonmake.h"
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

static Datum
json_of(const Outcome *o, Whole whole)
{
	JsonbParseState *state = NULL;
	JsonbValue truncated = {.type = jbvBool, .val.boolean = true};

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	json_add_number(&state, "id", o->id);
	json_add_string(&state, "queue", o->queue);
	json_add_text(&state, "kind", o->kind);
	json_add_text(&state, "key", o->key);
	json_add_text(&state, "group_key", o->group_key);
	json_add_string(&state, "state", o->state);
	json_add_number(&state, "attempt", o->attempt);
	json_add_time(&state, "submitted_at", o->submitted_at);
	json_add_time(&state, "ended_at", o->ended_at);
	if (whole < NO_RESULT)
		json_add_json(&state, "result", o->result);
	if (whole < NO_ERROR)
		json_add_text(&state, "error", o->error);
	if (o->status != 0)
		json_add_number(&state, "status", o->status);
	else
		json_add_json(&state, "status", 0);
	if (!o->finished && !o->truncated && whole < NO_PAYLOAD)
		json_add_json(&state, "payload", o->payload);
	if (o->truncated || whole != ALL)
		json_add(&state, "truncated", &truncated);
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
	json_add_json(&state, "task", outcome);
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

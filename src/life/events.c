/*
 * events.c
 *		What happens to tasks, as events.
 *
 * An event is a row that is written in the transaction of what it tells of: committed together, or
 * neither.  A queue that wants no events costs a look at a bit of its settings.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "base/jsonmake.h"
#include "hints/wakeup.h"
#include "life/events.h"

/* A result that is longer is left out of the event; result() has it. */
#define MAX_RESULT_BYTES 8192

static bool
wants(const Queue *queue, EventKind kind)
{
	return queue != NULL && (queue->events & EVENT_BIT(kind)) != 0;
}

/* ---- data ------------------------------------------------------------------------------ */

static JsonbParseState *
begin_data(void)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	return state;
}

static Datum
end_data(JsonbParseState *state)
{
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* Adds the column if it is not NULL. */
static void
add_text(JsonbParseState **state, const char *name, const Row *row, int column)
{
	if (!row->nulls[column])
		json_add_text(state, name, row->values[column]);
}

/* Adds the result if it is not too long. */
static void
add_result(JsonbParseState **state, Datum result)
{
	JsonbValue truncated = {.type = jbvBool, .val.boolean = true};

	if (result == 0)
		return;
	if (VARSIZE_ANY_EXHDR(DatumGetJsonbP(result)) <= MAX_RESULT_BYTES)
		json_add_json(state, "result", result);
	else
		json_add(state, "truncated", &truncated);
}

static void
append_event(EventKind kind, int64 task_id, const char *queue, Datum data)
{
	Event event = {
		.kind = kind,
		.task_id = task_id,
		.queue = queue,
		.data = data,
		.streamed = true,
	};

	event_append(&event);
	wakeup_events_at_commit();
}

/* ---- events ---------------------------------------------------------------------------- */

void
event_submitted(const Row *task, const Queue *queue)
{
	JsonbParseState *data;

	if (!wants(queue, EVENT_SUBMITTED))
		return;
	data = begin_data();
	add_text(&data, "kind", task, TASK_KIND);
	add_text(&data, "key", task, TASK_KEY);
	add_text(&data, "group_key", task, TASK_GROUP_KEY);
	append_event(EVENT_SUBMITTED, ROW_INT64(task, TASK_ID), queue->name, end_data(data));
}

void
event_started(const Row *lease, const Queue *queue)
{
	JsonbParseState *data;

	if (!wants(queue, EVENT_STARTED))
		return;
	data = begin_data();
	json_add_number(&data, "attempt", ROW_INT32(lease, LEASE_ATTEMPT));
	add_text(&data, "worker", lease, LEASE_WORKER);
	append_event(EVENT_STARTED, ROW_INT64(lease, LEASE_ID), queue->name, end_data(data));
}

static void
add_fraction(JsonbParseState **state, const Row *lease)
{
	JsonbValue fraction = {.type = jbvNumeric};

	if (lease->nulls[LEASE_FRACTION])
		return;
	fraction.val.numeric =
		DatumGetNumeric(DirectFunctionCall1(float8_numeric, lease->values[LEASE_FRACTION]));
	json_add(state, "fraction", &fraction);
}

void
event_progress(const Row *lease, const Queue *queue)
{
	JsonbParseState *data;

	if (!wants(queue, EVENT_PROGRESS))
		return;
	data = begin_data();
	add_fraction(&data, lease);
	add_text(&data, "message", lease, LEASE_MESSAGE);
	append_event(EVENT_PROGRESS, ROW_INT64(lease, LEASE_ID), queue->name, end_data(data));
}

void
event_attempt(EventKind kind, const Row *lease, const char *class, text *error)
{
	const Queue *queue = queue_by_id(ROW_INT32(lease, LEASE_QUEUE_ID));
	JsonbParseState *data;

	if (!wants(queue, kind))
		return;
	data = begin_data();
	json_add_number(&data, "attempt", ROW_INT32(lease, LEASE_ATTEMPT));
	if (class != NULL && kind == EVENT_FAILED)
		json_add_string(&data, "class", class);
	if (error != NULL && kind == EVENT_FAILED)
		json_add_text(&data, "error", PointerGetDatum(error));
	append_event(kind, ROW_INT64(lease, LEASE_ID), queue->name, end_data(data));
}

static const EventKind kind_of_end[] = {
	[STATE_FINISHED] = EVENT_FINISHED,
	[STATE_DEAD] = EVENT_DEAD,
	[STATE_CANCELLED] = EVENT_CANCELLED,
	[STATE_EXPIRED] = EVENT_EXPIRED,
};

void
event_ended(const Row *task, const Row *lease, const Ending *ending, const Keeping *keeping)
{
	EventKind kind = kind_of_end[ending->state];
	int32 attempt = lease != NULL ? ROW_INT32(lease, LEASE_ATTEMPT) : ROW_INT32(task, TASK_ATTEMPT);
	JsonbParseState *data;

	if ((keeping->events & EVENT_BIT(kind)) == 0)
		return;
	data = begin_data();
	json_add_number(&data, "attempt", attempt);
	add_result(&data, ending->result);
	if (ending->error != NULL)
		json_add_text(&data, "error", PointerGetDatum(ending->error));
	append_event(kind, ROW_INT64(task, TASK_ID), keeping->name, end_data(data));
}

/* ---- values ---------------------------------------------------------------------------- */

void
event_value(int64 task_id, const Queue *queue, int n, Datum value)
{
	Event event = {
		.kind = EVENT_VALUE,
		.task_id = task_id,
		.queue = queue->name,
		.data = value,
		.n = n,
		.streamed = wants(queue, EVENT_VALUE),
	};

	event_append(&event);
	if (event.streamed)
		wakeup_events_at_commit();
	wakeup_task_at_commit(task_id);
}

Datum
event_value_data(int n, Datum value)
{
	JsonbParseState *data = begin_data();

	json_add_number(&data, "n", n);
	json_add_json(&data, "value", value);
	return end_data(data);
}

/*
 * wait_events.c
 *		Procedures that wait for events, for values, and for a want.
 *
 * The executor wakes those that wait for events, for all commits within taskq.notify_interval
 * together (process/notify.c).  A commit itself wakes those that wait for a task.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/memutils.h"

#include "base/arg.h"
#include "hints/wakeup.h"
#include "life/lease.h"
#include "life/stream.h"
#include "life/values.h"
#include "life/wait.h"

/* ---- events --------------------------------------------------------------------------- */

/* The reader whose cursor passes what the caller may not view, and its memory. */
typedef struct AwaitedEvents
{
	EventReader reader;
	MemoryContext context;
} AwaitedEvents;

static uint64
look_at_events(void *what, int64 *next_ms)
{
	AwaitedEvents *a = what;
	MemoryContext old = MemoryContextSwitchTo(a->context);
	int found;

	wakeup_wait_for(topic_of_events());
	found = events_read(&a->reader, 1, NULL, NULL);
	MemoryContextSwitchTo(old);
	return found > 0 ? topic_of_events() : 0;
}

PG_FUNCTION_INFO_V1(taskq_wait_events);
Datum
taskq_wait_events(PG_FUNCTION_ARGS)
{
	int64 timeout_us = arg_interval_us(fcinfo, 1, "timeout", 0, RANGE_WAIT);
	AwaitedEvents a = {.context = CurrentMemoryContext};
	Datum values[1];
	bool nulls[1] = {false};

	event_reader_init(&a.reader, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0));
	require_free_transaction(fcinfo, "taskq.wait_events()");
	values[0] = BoolGetDatum(look_until(look_at_events, &a, timeout_us));
	return procedure_result(fcinfo, values, nulls);
}

/* ---- values --------------------------------------------------------------------------- */

typedef struct AwaitedValue
{
	int64 id;
	int after;
	int newest; /* 0: the task has ended without another one */
} AwaitedValue;

/* Looks first whether the task lives: what it emits before its end is there when it has ended. */
static uint64
look_for_value(void *what, int64 *next_ms)
{
	AwaitedValue *a = what;
	uint64 topic = topic_of_task(a->id);
	HotRelation tasks;
	bool lives;

	wakeup_wait_for(topic);
	hot_open(&tasks, HOT_TASK);
	lives = task_lives(&tasks, a->id);
	hot_close(&tasks);
	a->newest = value_newest(a->id, a->after);
	return a->newest > 0 || !lives ? topic : 0;
}

PG_FUNCTION_INFO_V1(taskq_wait_emitted);
Datum
taskq_wait_emitted(PG_FUNCTION_ARGS)
{
	AwaitedValue a = {
		.id = arg_id(fcinfo, 0, "id"),
		.after = arg_int32(fcinfo, 1, "after", 0, 0, PG_INT32_MAX),
	};
	int64 timeout_us = arg_interval_us(fcinfo, 2, "timeout", 0, RANGE_WAIT);
	Datum values[1];
	bool nulls[1];

	require_free_transaction(fcinfo, "taskq.wait_emitted()");
	(void) look_until(look_for_value, &a, timeout_us);
	values[0] = Int32GetDatum(a.newest);
	nulls[0] = a.newest == 0;
	return procedure_result(fcinfo, values, nulls);
}

/* ---- wants ------------------------------------------------------------------------------ */

typedef struct AwaitedWant
{
	int64 id;
	int64 token;
	int n;
	bool lost; /* the lease was */
	bool wanted;
} AwaitedWant;

static uint64
look_for_want(void *what, int64 *next_ms)
{
	AwaitedWant *a = what;
	uint64 topic = topic_of_task(a->id);

	wakeup_wait_for(topic);
	a->lost = !lease_is_own(a->id, a->token);
	a->wanted = value_wanted(a->id) >= a->n;
	return a->lost || a->wanted ? topic : 0;
}

PG_FUNCTION_INFO_V1(taskq_wait_wanted);
Datum
taskq_wait_wanted(PG_FUNCTION_ARGS)
{
	AwaitedWant a = {
		.id = arg_id(fcinfo, 0, "id"),
		.token = arg_id(fcinfo, 1, "token"),
		.n = arg_int32(fcinfo, 2, "n", 0, 1, PG_INT32_MAX),
	};
	int64 timeout_us = arg_interval_us(fcinfo, 3, "timeout", 0, RANGE_WAIT);
	Datum values[1];
	bool nulls[1];

	require_argument(fcinfo, 2, "n");
	require_free_transaction(fcinfo, "taskq.wait_wanted()");
	(void) look_until(look_for_want, &a, timeout_us);
	values[0] = BoolGetDatum(a.wanted);
	nulls[0] = a.lost;
	return procedure_result(fcinfo, values, nulls);
}

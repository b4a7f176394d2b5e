/*
 * wait.c
 *		Waiting in the server: wait() for the end of a task, wait_ready() for work.
 *
 * Both are procedures, because only procedures can commit.  They commit before each
 * sleep: a sleeping session holds no snapshot, lock or transaction that would be in
 * the way of others.  What the session waits for stands in shared memory, in the place of
 * its backend, where the commit that brings it finds it (wakeup.c).  It is
 * written before the look that may find nothing, so nothing is missed between
 * look and sleep.  Without shared memory, and for what no commit announces,
 * such as the tasks of a prepared transaction, the look is repeated.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/datum.h"

#include "base/arg.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/settings.h"
#include "core/clock.h"
#include "hints/wakeup.h"
#include "life/acquire.h"
#include "life/due.h"
#include "life/result.h"
#include "tables/queue.h"

#define MAX_WAIT_US US_PER_DAY

/* One look.  True: what is waited for is there.  *next_ms: when to look again at the latest. */
typedef bool (*Look)(void *what, int64 *next_ms);

/* TQ009 unless the procedure may commit here, and the transaction has nothing to commit. */
static void
require_free_transaction(FunctionCallInfo fcinfo, const char *procedure)
{
	bool atomic = fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
				  ((CallContext *) fcinfo->context)->atomic;

	if (atomic || TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
				 errmsg("%s cannot run in this transaction", procedure),
				 errdetail("It commits to let go of its snapshot while it waits; in a transaction "
						   "block, in a function, or after changes it cannot."),
				 errhint("Commit first, then CALL it by itself.")));
}

static void
sleep_ms(int64 ms)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = compat_wait_event("TaskqWait");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, (long) ms,
					 wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Looks until the thing is there (true) or the time is up. */
static bool
look_until(uint64 topic, Look look, void *what, int64 timeout_us)
{
	int64 until = tq_clock_ms() + timeout_us / US_PER_MS;
	bool there;

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	for (;;)
	{
		int64 next_ms = setting_poll_interval;
		int64 left;

		wakeup_wait_for(topic);
		there = look(what, &next_ms);
		SPI_commit();
		left = until - tq_clock_ms();
		if (there || left <= 0)
			break;
		sleep_ms(Min(left, next_ms));
	}
	wakeup_stop_waiting(there);
	SPI_finish();
	return there;
}

static Datum
answer(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* What wait() looks for and finds. */
typedef struct Awaited
{
	int64 id;
	MemoryContext context; /* for what is found */
	bool known;
	Datum values[RESULT_NCOLUMNS];
	bool nulls[RESULT_NCOLUMNS];
} Awaited;

static bool
look_at_task(void *what, int64 *next_ms)
{
	Awaited *a = what;
	MemoryContext old = MemoryContextSwitchTo(a->context);

	a->known = task_result(a->id, a->values, a->nulls);
	MemoryContextSwitchTo(old);
	return !a->known || !a->nulls[RESULT_ENDED_AT];
}

PG_FUNCTION_INFO_V1(taskq_wait);
Datum
taskq_wait(PG_FUNCTION_ARGS)
{
	int64 timeout_us = arg_interval_us(fcinfo, 1, "timeout", 0, 0, MAX_WAIT_US);
	Awaited a = {.id = arg_id(fcinfo, 0, "id"), .context = CurrentMemoryContext};

	require_free_transaction(fcinfo, "taskq.wait()");
	(void) look_until(topic_of_task(a.id), look_at_task, &a, timeout_us);
	if (!a.known)
		a.nulls[0] = a.nulls[1] = true;
	return answer(fcinfo, a.values, a.nulls);
}

static bool
look_at_queue(void *what, int64 *next_ms)
{
	const Queue *queue = queue_by_id(*(const int32 *) what);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next;

	if (queue == NULL || task_is_due(queue, now, &next))
		return queue != NULL;
	if (next != DT_NOEND)
		*next_ms = Min(*next_ms, (next - now) / US_PER_MS + 1);
	return false;
}

PG_FUNCTION_INFO_V1(taskq_wait_ready);
Datum
taskq_wait_ready(PG_FUNCTION_ARGS)
{
	int64 timeout_us = arg_interval_us(fcinfo, 1, "timeout", 0, 0, MAX_WAIT_US);
	int32 id;
	Datum values[1];
	bool nulls[1] = {false};

	require_writable("taskq.wait_ready()");
	id = queue_to_acquire(fcinfo)->id;
	require_free_transaction(fcinfo, "taskq.wait_ready()");
	values[0] = BoolGetDatum(look_until(topic_of_queue(id), look_at_queue, &id, timeout_us));
	return answer(fcinfo, values, nulls);
}

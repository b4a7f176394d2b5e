/*
 * wait.c
 *		Procedures that wait: for the end of tasks, and for a due task.
 *
 * All are procedures, because only procedures can commit.  They commit before each
 * sleep: a sleeping session holds no snapshot, lock or transaction that could block other
 * sessions.  The session writes the topic it waits for into its backend's place in shared
 * memory, where a commit finds it and wakes the session (wakeup.c).  It writes the topic
 * before it looks, so it misses nothing between the look and the sleep.  The look is
 * repeated from time to time, because there may be no shared memory, and because some
 * changes wake no session, such as those of a prepared transaction.
 *
 * wait_all() waits for the tasks one after the other, in the order of their ids in the argument:
 * when the one for which it waits has ended, it goes on to the next one that has not.  So it looks
 * at each task once, and is woken at most once for each.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "base/arg.h"
#include "base/compat.h"
#include "base/database.h"
#include "base/errors.h"
#include "base/settings.h"
#include "core/clock.h"
#include "hints/wakeup.h"
#include "life/acquire.h"
#include "life/due.h"
#include "life/result.h"
#include "life/wait.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/rows.h"

void
require_free_transaction(FunctionCallInfo fcinfo, const char *procedure)
{
	bool atomic = fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
				  ((CallContext *) fcinfo->context)->atomic;

	if (atomic || TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
				 errmsg("%s cannot run in this transaction", procedure),
				 errdetail("It must commit to release its snapshot while it waits. In a "
						   "transaction block, in a function, or after changes it cannot."),
				 errhint("Commit first, then CALL it by itself.")));
}

void
wait_sleep(int64 ms)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = compat_wait_event("TaskqWait");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, (long) ms,
					 wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

#define STATEMENT_SLACK_MS 100

/*
 * How long the statement may wait such that it returns before statement_timeout would end it with
 * an error.  The timer runs on over the commits of a procedure.
 */
static int64
statement_time_left_ms(void)
{
	int64 left;

	if (!get_timeout_active(STATEMENT_TIMEOUT))
		return PG_INT64_MAX / 2;
	left = (get_timeout_finish_time(STATEMENT_TIMEOUT) - GetCurrentTimestamp()) / US_PER_MS;
	return Max(left - Min(left / 4, STATEMENT_SLACK_MS), 0);
}

bool
look_until(Look look, void *what, int64 timeout_us)
{
	int64 until = tq_clock_ms() + Min(timeout_us / US_PER_MS, statement_time_left_ms());
	uint64 found;

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	for (;;)
	{
		int64 next_ms = setting_poll_interval;
		int64 left;

		found = look(what, &next_ms);
		SPI_commit();
		left = until - tq_clock_ms();
		if (found != 0 || left <= 0)
			break;
		wait_sleep(Min(left, next_ms));
	}
	wakeup_stop_waiting(found);
	SPI_finish();
	return found != 0;
}

Datum
procedure_result(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* ---- the end of a task --------------------------------------------------------------- */

/* The task for which wait() waits, and its result. */
typedef struct Awaited
{
	int64 id;
	MemoryContext context; /* of the result */
	bool known;
	Datum values[RESULT_NCOLUMNS];
	bool nulls[RESULT_NCOLUMNS];
} Awaited;

static uint64
look_at_task(void *what, int64 *next_ms)
{
	Awaited *a = what;
	uint64 topic = topic_of_task(a->id);
	MemoryContext old = MemoryContextSwitchTo(a->context);

	wakeup_wait_for(topic);
	a->known = task_result(a->id, a->values, a->nulls);
	MemoryContextSwitchTo(old);
	return !a->known || !a->nulls[RESULT_ENDED_AT] ? topic : 0;
}

PG_FUNCTION_INFO_V1(taskq_wait);
Datum
taskq_wait(PG_FUNCTION_ARGS)
{
	int64 timeout_us = arg_interval_us(fcinfo, 1, "timeout", 0, RANGE_WAIT);
	Awaited a = {.id = arg_id(fcinfo, 0, "id"), .context = CurrentMemoryContext};

	require_free_transaction(fcinfo, "taskq.wait()");
	(void) look_until(look_at_task, &a, timeout_us);
	if (!a.known)
		a.nulls[0] = a.nulls[1] = true;
	return procedure_result(fcinfo, a.values, a.nulls);
}

/* ---- the end of many tasks ----------------------------------------------------------- */

/* The tasks for which wait_all() waits. */
typedef struct AwaitedTasks
{
	const int64 *ids;
	int count;
	int ended; /* the tasks before this one have ended */
} AwaitedTasks;

bool
task_lives(HotRelation *tasks, int64 id)
{
	const Queue *queue = NULL;
	Row task;

	if (row_fetch(tasks, id, &task))
		queue = queue_by_id(ROW_INT32(&task, TASK_QUEUE_ID));
	return queue != NULL && queue_may(queue, PRIVILEGE_SUBMIT | PRIVILEGE_VIEW);
}

/*
 * Returns how many tasks from number "from" on, less than "until", have ended.  first_live: only
 * those before the first one that lives.
 */
static int
count_ended(const AwaitedTasks *a, int from, int until, bool first_live)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "taskq task",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	HotRelation tasks;
	int ended = 0;

	hot_open(&tasks, HOT_TASK);
	hot_begin_looks(&tasks);
	old = MemoryContextSwitchTo(context);
	for (int i = from; i < until; i++)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		if (!task_lives(&tasks, a->ids[i]))
			ended++;
		else if (first_live)
			break;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	hot_end_looks(&tasks);
	hot_close(&tasks);
	return ended;
}

/*
 * One look at many tasks has one snapshot, which may be older than the wait for the next topic.
 * So the task of that topic is looked at once more.
 */
static uint64
look_at_tasks(void *what, int64 *next_ms)
{
	AwaitedTasks *a = what;
	uint64 topic = topic_of_task(a->ids[a->count - 1]);

	for (;;)
	{
		a->ended += count_ended(a, a->ended, a->count, true);
		if (a->ended == a->count)
			return topic;
		topic = topic_of_task(a->ids[a->ended]);
		wakeup_wait_for(topic);
		if (count_ended(a, a->ended, a->ended + 1, true) == 0)
			return 0;
	}
}

PG_FUNCTION_INFO_V1(taskq_wait_all);
Datum
taskq_wait_all(PG_FUNCTION_ARGS)
{
	int64 timeout_us = arg_interval_us(fcinfo, 1, "timeout", 0, RANGE_WAIT);
	AwaitedTasks a = {0};
	int64 *ids;
	Datum values[1];
	bool nulls[1] = {false};

	a.count = arg_ids(fcinfo, 0, "ids", &ids);
	a.ids = ids;
	require_free_transaction(fcinfo, "taskq.wait_all()");
	if (a.count > 0 && !look_until(look_at_tasks, &a, timeout_us))
		a.ended += count_ended(&a, a.ended, a.count, false);
	values[0] = Int32GetDatum(a.ended);
	return procedure_result(fcinfo, values, nulls);
}

/* ---- a due task ---------------------------------------------------------------------- */

/*
 * *next_ms: lowered to when a task of the queue becomes due, if that is known.  The transaction has
 * begun before the wait, so the session learns of changes of the queue here.
 */
static bool
is_ready(int32 queue_id, int64 *next_ms)
{
	const Queue *queue;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next;

	AcceptInvalidationMessages();
	queue = queue_by_id(queue_id);
	if (queue == NULL || task_is_due(queue, now, &next))
		return queue != NULL;
	if (next != DT_NOEND)
		*next_ms = Min(*next_ms, (next - now) / US_PER_MS + 1);
	return false;
}

static uint64
look_at_queue(void *what, int64 *next_ms)
{
	int32 id = *(const int32 *) what;
	uint64 topic = topic_of_queue(id);

	wakeup_wait_for(topic);
	return is_ready(id, next_ms) ? topic : 0;
}

PG_FUNCTION_INFO_V1(taskq_wait_ready);
Datum
taskq_wait_ready(PG_FUNCTION_ARGS)
{
	int64 timeout_us = arg_interval_us(fcinfo, 1, "timeout", 0, RANGE_WAIT);
	int32 id;
	Datum values[1];
	bool nulls[1] = {false};

	require_writable("taskq.wait_ready()");
	id = queue_to_acquire(arg_name(fcinfo, 0, "queue"))->id;
	require_free_transaction(fcinfo, "taskq.wait_ready()");
	values[0] = BoolGetDatum(look_until(look_at_queue, &id, timeout_us));
	return procedure_result(fcinfo, values, nulls);
}

/* The queues for which wait_ready_any() waits. */
typedef struct AwaitedQueues
{
	int count;
	int32 ids[MAX_TOPICS];
	uint64 topics[MAX_TOPICS];
	uint64 list; /* the topics together */
	int ready;
} AwaitedQueues;

static uint64
look_at_queues(void *what, int64 *next_ms)
{
	AwaitedQueues *a = what;

	wakeup_wait_for(a->list);
	for (a->ready = 0; a->ready < a->count; a->ready++)
	{
		if (is_ready(a->ids[a->ready], next_ms))
			return a->topics[a->ready];
	}
	return 0;
}

PG_FUNCTION_INFO_V1(taskq_wait_ready_any);
Datum
taskq_wait_ready_any(PG_FUNCTION_ARGS)
{
	int64 timeout_us = arg_interval_us(fcinfo, 1, "timeout", 0, RANGE_WAIT);
	AwaitedQueues a;
	Datum *names;
	Datum values[1] = {0};
	bool nulls[1];

	require_writable("taskq.wait_ready_any()");
	names = arg_names(fcinfo, 0, "queues", MAX_TOPICS, &a.count);
	for (int i = 0; i < a.count; i++)
	{
		a.ids[i] = queue_to_acquire(DatumGetTextPP(names[i]))->id;
		a.topics[i] = topic_of_queue(a.ids[i]);
	}
	require_free_transaction(fcinfo, "taskq.wait_ready_any()");
	a.list = topic_of_list(a.topics, a.count);
	nulls[0] = !look_until(look_at_queues, &a, timeout_us);
	if (!nulls[0])
		values[0] = names[a.ready];
	return procedure_result(fcinfo, values, nulls);
}

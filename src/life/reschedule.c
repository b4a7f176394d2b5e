/*
 * reschedule.c
 *		reschedule(): gives a pending task another time, and another priority.
 *
 * A pending task may be claimed at any moment.  So its row is deleted and inserted anew, in one
 * transaction: the deletion keeps it from being claimed, as the end of a task does.  The attempts,
 * the submission time and with it the Idempotency-Key, and the key stay as they are.
 *
 * A task that waits for others goes on waiting; the time is that before which it is not due then.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/arg.h"
#include "base/errors.h"
#include "life/pending.h"
#include "life/submit.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/rows.h"

/* Whether the task lives and the caller may change it; TQ004 if it cannot have the priority. */
static bool
may_reschedule(int64 id, int32 priority)
{
	const Queue *queue = NULL;
	Row task;

	if (row_read(HOT_TASK, id, &task))
		queue = queue_by_id(ROW_INT32(&task, TASK_QUEUE_ID));
	if (queue == NULL || !queue_may(queue, PRIVILEGE_SUBMIT | PRIVILEGE_CONTROL))
		return false;
	submission_check_priority(queue, priority);
	return true;
}

/* TQ004 if the task could start in time now, but not at its run_at. */
static void
check_start(const Row *task, TimestampTz now)
{
	if (!task->nulls[TASK_START_BY] && ROW_TIME(task, TASK_START_BY) > now &&
		ROW_TIME(task, TASK_START_BY) <= ROW_TIME(task, TASK_RUN_AT))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("run_at is after the end of start_within"),
				 errdetail("Task " INT64_FORMAT " would always expire.",
						   ROW_INT64(task, TASK_ID)),
				 errhint("Pass an earlier run_at, or cancel the task.")));
}

static void
set_time(Row *task, TimestampTz run_at)
{
	row_set(task, TASK_RUN_AT, TimestampTzGetDatum(run_at));
	task->nulls[TASK_RETRY_AT] = true;
}

PG_FUNCTION_INFO_V1(taskq_reschedule);
Datum
taskq_reschedule(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	int32 priority = arg_int32(fcinfo, 2, "priority", 0, MIN_PRIORITY, MAX_PRIORITY);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz run_at = PG_ARGISNULL(1) ? now : not_before(PG_GETARG_TIMESTAMPTZ(1), now);
	Row task;

	client_call("taskq.reschedule()");
	if (!may_reschedule(id, priority) || pending_take(id, true, &task) != ROW_DONE)
		PG_RETURN_BOOL(false);
	if (task_waits(&task))
		row_set(&task, TASK_RETRY_AT, TimestampTzGetDatum(run_at));
	else
		set_time(&task, run_at);
	if (!PG_ARGISNULL(2))
		row_set(&task, TASK_PRIORITY, Int16GetDatum(priority));
	check_start(&task, now);
	pending_insert_again(&task);
	PG_RETURN_BOOL(true);
}

/*
 * cancel.c
 *		How a task is ended from outside: cancel(), and the same for purge and drop.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "base/arg.h"
#include "base/database.h"
#include "hints/wakeup.h"
#include "life/finish.h"
#include "life/history.h"
#include "life/lease.h"
#include "life/pending.h"
#include "tables/grant.h"
#include "tables/key.h"
#include "tables/queue.h"
#include "tables/rows.h"
#include "tables/state.h"

#define MAX_LOOKS 1000

/* Ends a pending task.  Results as of pending_take(). */
static RowResult
end_pending(int64 id, text *reason)
{
	Ending ending = {.state = STATE_CANCELLED, .error = reason};
	Row task;
	RowResult result = pending_take(id, true, &task);

	if (result == ROW_DONE)
		task_end(&task, NULL, &ending);
	return result;
}

/* Marks a running task; its worker, or the executor, will find the mark. */
static RowResult
cancel_running(int64 id, text *reason)
{
	RowResult result = lease_mark_cancelled(id, reason);

	if (result == ROW_DONE)
		wakeup_at_commit(WANT_CANCELS);
	return result;
}

/*
 * The task may change hands between two looks at it, so they are repeated
 * until the task or its lease was ours, the task has ended, or it runs and that
 * is to be left alone.
 */
static bool
cancel_task(int64 id, text *reason, bool running)
{
	for (int looks = 0; looks < MAX_LOOKS; looks++)
	{
		Row task;
		Row lease;

		CHECK_FOR_INTERRUPTS();
		if (!row_read(HOT_TASK, id, &task) ||
			!queue_may(queue_by_id(ROW_INT32(&task, TASK_QUEUE_ID)),
					   PRIVILEGE_SUBMIT | PRIVILEGE_CONTROL))
			return false;
		if (end_pending(id, reason) == ROW_DONE)
			return true;
		if (running && cancel_running(id, reason) == ROW_DONE)
			return true;
		if (!running && row_read(HOT_LEASE, id, &lease))
			return false;
	}
	elog(ERROR, "task " INT64_FORMAT " is neither pending nor running", id);
	return false; /* not reached */
}

PG_FUNCTION_INFO_V1(taskq_cancel);
Datum
taskq_cancel(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	text *reason = arg_error(fcinfo, 1);

	client_call("taskq.cancel()");
	PG_RETURN_BOOL(cancel_task(id, reason, true));
}

/* For drop_queue(): the attempt of a running task is ended too. */
PG_FUNCTION_INFO_V1(taskq_cancel_task);
Datum
taskq_cancel_task(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	text *reason = arg_error(fcinfo, 1);
	Row lease;

	if (!cancel_task(id, reason, true))
		PG_RETURN_BOOL(false);
	if (row_read(HOT_LEASE, id, &lease) &&
		lease_take(id, ROW_INT64(&lease, LEASE_TOKEN), &lease, true) == ROW_DONE)
		(void) task_lost(&lease);
	PG_RETURN_BOOL(true);
}

PG_FUNCTION_INFO_V1(taskq_cancel_key);
Datum
taskq_cancel_key(PG_FUNCTION_ARGS)
{
	text *key = arg_key(fcinfo, 1);
	const Queue *queue;
	int64 id;

	client_call("taskq.cancel_key()");
	queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
	queue_require(queue, PRIVILEGE_SUBMIT | PRIVILEGE_CONTROL);
	require_argument(fcinfo, 1, "key");
	id = key_holder(queue, key);
	PG_RETURN_BOOL(id != 0 && cancel_task(id, NULL, true));
}

PG_FUNCTION_INFO_V1(taskq_purge_task);
Datum
taskq_purge_task(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(cancel_task(arg_id(fcinfo, 0, "id"), NULL, false));
}

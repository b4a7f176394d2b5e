/*
 * cancel.c
 *		Ends tasks on behalf of sessions that do not own them: cancel(), cancel_many(), and purge.
 *
 * A pending task ends at once.  A running task belongs to its worker, which may be about to
 * finish it; so the lease is only marked, and the worker or the executor ends the attempt.
 *
 * cancel_many() takes its locks in the common order: leases in the order of ids, then pending tasks
 * in the order of their keys, as submit_many() takes these.  A task that is claimed or given back
 * meanwhile is cancelled in its turn all the same.  Then two such calls can wait for each other,
 * and the server ends one of them.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/database.h"
#include "hints/wakeup.h"
#include "life/end.h"
#include "life/finish.h"
#include "life/lease.h"
#include "life/pending.h"
#include "tables/backlog.h"
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

/* Marks a running task; its worker or the executor will find the mark. */
static RowResult
cancel_running(int64 id, text *reason)
{
	RowResult result = lease_mark_cancelled(id, reason);

	if (result == ROW_DONE)
		wakeup_at_commit(WANT_CANCELS);
	return result;
}

/* A task whose queue was dropped is cancelled already. */
static bool
may_cancel(const Row *task)
{
	const Queue *queue = queue_by_id(ROW_INT32(task, TASK_QUEUE_ID));

	return queue != NULL && queue_may(queue, PRIVILEGE_SUBMIT | PRIVILEGE_CONTROL);
}

/*
 * The task may be claimed or given back between two looks at it.  So the looks are repeated
 * until the task was cancelled or marked, has ended, or runs and is to be left alone
 * (running is false).
 */
static bool
cancel_task(int64 id, text *reason, bool running)
{
	for (int looks = 0; looks < MAX_LOOKS; looks++)
	{
		Row task;
		Row lease;

		CHECK_FOR_INTERRUPTS();
		if (!row_read(HOT_TASK, id, &task) || !may_cancel(&task))
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

/* ---- many tasks ---------------------------------------------------------------------- */

/* One task of cancel_many(). */
typedef struct CancelItem
{
	int64 id;
	bool running;
	bool cancelled;
	text *key; /* of a pending task; or NULL */
} CancelItem;

static int
compare_ids(const void *a, const void *b)
{
	int64 x = ((const CancelItem *) a)->id;
	int64 y = ((const CancelItem *) b)->id;

	return x < y ? -1 : x > y;
}

/* Running tasks first, by id; then pending tasks by key, those without a key last. */
static int
compare_locks(const void *a, const void *b)
{
	const CancelItem *x = *(CancelItem *const *) a;
	const CancelItem *y = *(CancelItem *const *) b;
	int order = y->running - x->running;

	if (order == 0)
		order = (x->key == NULL) - (y->key == NULL);
	if (order == 0 && x->key != NULL)
		order = key_compare(x->key, y->key);
	return order != 0 ? order : compare_ids(x, y);
}

/* Sorts the items by id, each id once; returns their number. */
static int
sort_items(CancelItem *items, int count)
{
	int n = 0;

	qsort(items, count, sizeof(CancelItem), compare_ids);
	for (int i = 0; i < count; i++)
	{
		if (n == 0 || items[i].id != items[n - 1].id)
			items[n++] = items[i];
	}
	return n;
}

static text *
copy_key(MemoryContext context, const Row *task)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	text *key = DatumGetTextPCopy(task->values[TASK_KEY]);

	MemoryContextSwitchTo(old);
	return key;
}

/* Finds out what decides about the order of the items; "found" are the tasks that live. */
static int
look_at_items(CancelItem *items, int count, CancelItem **found)
{
	MemoryContext result = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(result, "taskq task", ALLOCSET_DEFAULT_SIZES);
	Backlog b;
	int n = 0;

	backlog_open(&b);
	hot_begin_looks(&b.task);
	MemoryContextSwitchTo(context);
	for (int i = 0; i < count; i++)
	{
		Row task;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		if (!row_fetch(&b.task, items[i].id, &task) || !may_cancel(&task))
			continue;
		found[n++] = &items[i];
		items[i].running = backlog_has_lease(&b, items[i].id);
		if (!items[i].running && !task.nulls[TASK_KEY])
			items[i].key = copy_key(result, &task);
	}
	MemoryContextSwitchTo(result);
	hot_end_looks(&b.task);
	backlog_close(&b);
	MemoryContextDelete(context);
	return n;
}

static void
cancel_items(CancelItem **items, int count, text *reason)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "taskq task",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (int i = 0; i < count; i++)
	{
		MemoryContextReset(context);
		items[i]->cancelled = cancel_task(items[i]->id, reason, true);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

PG_FUNCTION_INFO_V1(taskq_cancel_many);
Datum
taskq_cancel_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	text *reason = arg_error(fcinfo, 1);
	int64 *ids;
	int count = arg_ids(fcinfo, 0, "ids", &ids);
	CancelItem *items = palloc0_array(CancelItem, count);
	CancelItem **found = palloc_array(CancelItem *, count);
	int nfound;

	client_call("taskq.cancel_many()");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < count; i++)
		items[i].id = ids[i];
	count = sort_items(items, count);
	nfound = look_at_items(items, count, found);
	qsort(found, nfound, sizeof(CancelItem *), compare_locks);
	cancel_items(found, nfound, reason);
	for (int i = 0; i < count; i++)
	{
		Datum value = Int64GetDatum(items[i].id);
		bool isnull = false;

		if (items[i].cancelled)
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
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

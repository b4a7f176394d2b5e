/*
 * pending.c
 *		Pending tasks: makes, holds and takes them.
 *
 * A task is pending while its row exists and no lease has its id.  A session that claims,
 * changes or ends a pending task must be sure of both at the same moment.  So it
 * holds the task's lock meanwhile: a lock on the id, for some microseconds (when
 * tokens run out, for a flush of the log), during which it waits for no other session.
 *
 * Under the lock the session looks for a lease first, and for the row after that.  No other
 * session can insert a lease in between.  A transaction that had a lease and has ended the
 * task has deleted the row together with the lease, so the row is not found.  (In the other
 * order, an end between the two looks would leave a task that seems pending.)  When the
 * lock is released, there is a lease or the row is deleted.  Other sessions see this
 * even before the commit, and leave the task to that transaction until it ends.
 *
 * The owner of a running task's lease needs no lock to change or end the task.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/rel.h"

#include "base/database.h"
#include "hints/counts.h"
#include "hints/dispatch.h"
#include "hints/offers.h"
#include "hints/wakeup.h"
#include "life/pending.h"
#include "tables/backlog.h"
#include "tables/queue.h"
#include "tables/rows.h"

/* ---- the lock ------------------------------------------------------------------ */

#define TASK_LOCK ExclusiveLock

/* The lock tag of an object: its class is the table of tasks, its number the id's lower 48 bits. */
static LOCKTAG
lock_of(const Backlog *b, int64 id)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationGetRelid(b->task.heap), (uint32) id,
					   (uint16) ((uint64) id >> 32));
	return tag;
}

static bool
lock_task(const Backlog *b, int64 id, bool wait)
{
	LOCKTAG tag = lock_of(b, id);

	return LockAcquire(&tag, TASK_LOCK, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

void
pending_let_go(const Backlog *b, int64 id)
{
	LOCKTAG tag = lock_of(b, id);

	(void) LockRelease(&tag, TASK_LOCK, false);
}

/* ---- holding -------------------------------------------------------------------- */

RowResult
pending_hold(Backlog *b, const Candidate *c, bool wait, Row *task)
{
	RowResult result = ROW_GONE;

	/* This check needs no lock and finds most candidates that cannot be claimed. */
	if (!backlog_stands(b, c))
		return ROW_GONE;
	ExecClearTuple(b->slot);
	if (!lock_task(b, c->id, wait))
		return ROW_BUSY;
	if (!backlog_has_lease(b, c->id) && backlog_stands(b, c))
	{
		row_from_slot(&b->task, b->slot, task);
		row_remember_place(&b->task, task);
		ExecClearTuple(b->slot);
		result = ROW_DONE;
	}
	else
		pending_let_go(b, c->id);
	return result;
}

/*
 * One try, under the lock.  ROW_BUSY: the open transaction *holder has inserted, claimed or ended
 * the task.  ROW_GONE: the task is not pending.  A running task is not pending either while an
 * open transaction ends its attempt: there is no need to wait for that transaction.
 */
static RowResult
look_under_lock(Backlog *b, int64 id, Row *task, TransactionId *holder)
{
	Hands hands;

	if (row_look(&b->lease, id, NULL, &hands))
		*holder = hands.inserter;
	else if (row_look(&b->task, id, task, &hands))
	{
		*holder = TransactionIdIsValid(hands.inserter) ? hands.inserter : hands.deleter;
		if (!TransactionIdIsValid(*holder))
			return ROW_DONE;
	}
	else
		*holder = InvalidTransactionId;
	return TransactionIdIsValid(*holder) ? ROW_BUSY : ROW_GONE;
}

RowResult
pending_hold_by_id(Backlog *b, int64 id, bool wait, Row *task)
{
	for (;;)
	{
		TransactionId holder;
		RowResult result;

		CHECK_FOR_INTERRUPTS();
		if (!lock_task(b, id, wait))
			return ROW_BUSY;
		result = look_under_lock(b, id, task, &holder);
		if (result == ROW_DONE)
			return result;
		pending_let_go(b, id);
		if (result == ROW_GONE || !wait)
			return result;
		XactLockTableWait(holder, NULL, NULL, XLTW_None);
	}
}

void
pending_taken(Backlog *b, const Row *task)
{
	int32 queue_id = ROW_INT32(task, TASK_QUEUE_ID);
	const Queue *queue;
	Candidate c = candidate_of(task);

	if (task_waits(task))
		return; /* no session would claim it */
	if (task->nulls[TASK_GROUP_ID])
	{
		dispatch_taken(b->task.heap, queue_id, &c);
		return;
	}
	queue = queue_by_id(queue_id);
	offers_taken(queue_id, ROW_INT64(task, TASK_GROUP_ID), &c, queue != NULL && queue->ordered);
}

RowResult
pending_delete(Backlog *b, const Row *task, bool locked)
{
	int32 queue_id = ROW_INT32(task, TASK_QUEUE_ID);
	Candidate c = candidate_of(task);
	RowResult result;

	pending_taken(b, task);
	result = row_delete(&b->task, task, locked);
	if (result == ROW_DONE)
		counts_pending(queue_id, -1);
	pending_let_go(b, c.id);
	return result;
}

RowResult
pending_take_in(Backlog *b, int64 id, bool wait, Row *task)
{
	RowResult result;
	bool locked = false;

	for (;;)
	{
		result = pending_hold_by_id(b, id, wait, task);
		if (result != ROW_DONE)
			break;
		result = pending_delete(b, task, locked);
		if (result == ROW_DONE || !wait)
			break;
		/* An administrator is changing the row: waits for that without holding the task. */
		locked = row_lock(&b->task, task, LockTupleExclusive, true) == ROW_DONE;
	}
	if (result == ROW_DONE)
		CommandCounterIncrement();
	return result;
}

RowResult
pending_take(int64 id, bool wait, Row *task)
{
	Backlog b;
	RowResult result;

	backlog_open(&b);
	result = pending_take_in(&b, id, wait, task);
	backlog_close(&b);
	return result;
}

/* ---- making ---------------------------------------------------------------------- */

/* At commit, wakes the processes that wait for such a task. */
static void
wake_processes(const Row *task)
{
	const Queue *queue = queue_by_id(ROW_INT32(task, TASK_QUEUE_ID));

	if (queue != NULL && queue->push && !queue->external)
		wakeup_at_commit(WANT_TASKS);
	else if (queue != NULL && queue->call)
		wakeup_at_commit(WANT_CALLS);
	else if (task_due_at(task) > GetCurrentTimestamp())
		wakeup_at_commit(WANT_TIMERS);
	else
		wakeup_arrival_at_commit(ROW_INT32(task, TASK_QUEUE_ID));
}

/* One that waits for others is offered when it need not wait any more. */
static void
made(const HotRelation *tasks, const Row *task)
{
	Candidate c = candidate_of(task);

	counts_pending(ROW_INT32(task, TASK_QUEUE_ID), 1);
	if (task_waits(task))
	{
		CommandCounterIncrement();
		return;
	}
	if (task->nulls[TASK_GROUP_ID])
		dispatch_inserted(tasks->heap, ROW_INT32(task, TASK_QUEUE_ID), &c);
	else
		offers_made(ROW_INT32(task, TASK_QUEUE_ID), ROW_INT64(task, TASK_GROUP_ID), &c,
					task_due_at(task));
	CommandCounterIncrement();
	wake_processes(task);
}

void
pending_insert(Row *task)
{
	HotRelation r;

	hot_open(&r, HOT_TASK);
	row_insert(&r, task);
	made(&r, task);
	hot_close(&r);
}

void
pending_insert_again(Row *task)
{
	HotRelation r;

	hot_open(&r, HOT_TASK);
	row_insert_again(&r, task);
	made(&r, task);
	hot_close(&r);
}

void
pending_made(const Row *task)
{
	HotRelation r;

	hot_open(&r, HOT_TASK);
	made(&r, task);
	hot_close(&r);
}

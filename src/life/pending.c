/*
 * pending.c
 *		Pending tasks: how one is made, held and taken.
 *
 * A task is pending while its row stands and no lease has its id.  A session that claims,
 * changes or ends a pending task must be sure of both at one moment.  So it
 * holds the task's lock meanwhile: a lock on its id, for some microseconds (when
 * tokens run out, for a flush of the log), in which it waits for no other session.
 *
 * Under the lock the session looks for a lease first, and for the row then.  No other
 * session can insert a lease in between.  A transaction that had a lease and has ended the
 * task has deleted the row together with the lease, so the row is not found.  (In the other
 * order, an end between the two looks would leave a task that seems pending.)  When the
 * lock is released, there is a lease, or the row is deleted: by that, other sessions see
 * that the task is in the hands of a transaction until that ends.
 *
 * The owner of a running task's lease needs no lock to change or end the task.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/database.h"
#include "hints/counts.h"
#include "hints/dispatch.h"
#include "hints/wakeup.h"
#include "life/pending.h"
#include "tables/backlog.h"
#include "tables/queue.h"
#include "tables/rows.h"

/* ---- the lock ------------------------------------------------------------------ */

#define TASK_LOCK ExclusiveLock

/* The lock of an object in the class "our table", whose number is the lower 48 bits of the id. */
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

	/* Most candidates that cannot be claimed are recognised without the lock. */
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
 * One try, under the lock.  ROW_BUSY: the transaction *holder has the task in hand.  If
 * that transaction is about to end the attempt of a running task, it is not waited for:
 * the task is not pending.
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

RowResult
pending_delete(Backlog *b, const Row *task, bool locked)
{
	int32 queue_id = ROW_INT32(task, TASK_QUEUE_ID);
	Candidate c = candidate_of(task);
	RowResult result;

	dispatch_taken(b->task.heap, queue_id, &c);
	result = row_delete(&b->task, task, locked);
	if (result == ROW_DONE)
		counts_pending(queue_id, -1);
	pending_let_go(b, c.id);
	return result;
}

RowResult
pending_take(int64 id, bool wait, Row *task)
{
	Backlog b;
	RowResult result;
	bool locked = false;

	backlog_open(&b);
	for (;;)
	{
		result = pending_hold_by_id(&b, id, wait, task);
		if (result != ROW_DONE)
			break;
		result = pending_delete(&b, task, locked);
		if (result == ROW_DONE || !wait)
			break;
		/* An administrator is changing the row: wait for that, without holding the task. */
		locked = row_lock(&b.task, task, LockTupleExclusive, true) == ROW_DONE;
	}
	backlog_close(&b);
	if (result == ROW_DONE)
		CommandCounterIncrement();
	return result;
}

/* ---- making ---------------------------------------------------------------------- */

/* At commit the processes are woken that wait for such a task. */
static void
wake_processes(const Row *task)
{
	const Queue *queue = queue_by_id(ROW_INT32(task, TASK_QUEUE_ID));

	if (queue != NULL && queue->push && !queue->external)
		wakeup_at_commit(WANT_TASKS);
	else if (ROW_TIME(task, TASK_RUN_AT) > GetCurrentTimestamp())
		wakeup_at_commit(WANT_TIMERS);
	else
		wakeup_arrival_at_commit(ROW_INT32(task, TASK_QUEUE_ID));
}

static void
made(const HotRelation *tasks, const Row *task)
{
	Candidate c = candidate_of(task);

	counts_pending(ROW_INT32(task, TASK_QUEUE_ID), 1);
	dispatch_inserted(tasks->heap, ROW_INT32(task, TASK_QUEUE_ID), &c);
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
pending_made(const Row *task)
{
	HotRelation r;

	hot_open(&r, HOT_TASK);
	made(&r, task);
	hot_close(&r);
}

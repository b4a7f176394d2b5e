/*
 * pending.c
 *		Pending tasks: those that have no lease.  How one is looked at, held and taken.
 *
 * A task is pending while its row stands and no lease has its id.  Who claims,
 * changes or ends a pending task must be sure of both at one moment, so he
 * holds the task's lock meanwhile: a lock on its id, for some microseconds (when
 * tokens run out, for a flush of the log), in which he waits for nobody.  Under
 * it he looks for a lease first and for the row then.  Nobody else can insert a
 * lease in between; and who had one and has ended the task has taken the row
 * away together with it, so that the row is not found.  (In the other order an
 * end between the looks would leave a task that seems pending.)  When the lock
 * is let go, there is a lease, or the row is deleted, and by that everybody sees
 * that the task is in somebody's hands until his transaction ends.
 *
 * Who has the lease of a running task needs no lock to change or end it.
 */
#include "dispatch.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* ---- the lock ------------------------------------------------------------------ */

#define TASK_LOCK ExclusiveLock

/* The id as an object of the database, of a class that is our table; 48 bits of it, which do. */
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

/* ---- looking ------------------------------------------------------------------- */

void
backlog_open(Backlog *b)
{
	hot_open(&b->task, HOT_TASK);
	hot_open(&b->lease, HOT_LEASE);
	b->order = index_open(b->task.order, RowExclusiveLock);
	b->slot = table_slot_create(b->task.heap, NULL);
}

void
backlog_close(Backlog *b)
{
	ExecDropSingleTupleTableSlot(b->slot);
	index_close(b->order, NoLock);
	hot_close(&b->lease);
	hot_close(&b->task);
}

Candidate
candidate_of(const Row *task)
{
	return (Candidate){
		.run_at = ROW_TIME(task, TASK_RUN_AT),
		.id = ROW_INT64(task, TASK_ID),
		.tid = task->tid,
		.priority = ROW_INT16(task, TASK_PRIORITY),
	};
}

static Datum
column(TupleTableSlot *slot, int n)
{
	bool isnull;

	return slot_getattr(slot, n + 1, &isnull);
}

static Candidate
candidate_in(TupleTableSlot *slot)
{
	return (Candidate){
		.run_at = DatumGetTimestampTz(column(slot, TASK_RUN_AT)),
		.id = DatumGetInt64(column(slot, TASK_ID)),
		.tid = slot->tts_tid,
		.priority = DatumGetInt16(column(slot, TASK_PRIORITY)),
	};
}

/*
 * Whether the row that a candidate speaks of stands, and nobody is about to insert
 * or delete it; b->slot has it then.  An administrator who updates it does not
 * take it away, and who else does has its lease.
 */
static bool
stands(Backlog *b, const Candidate *c)
{
	Candidate found;

	if (!row_at(&b->task, &c->tid, b->slot))
		return false;
	found = candidate_in(b->slot);
	if (found.id == c->id && found.run_at == c->run_at && found.priority == c->priority)
		return true;
	ExecClearTuple(b->slot);
	return false;
}

static bool
has_lease(Backlog *b, int64 id)
{
	Hands hands;

	return row_look(&b->lease, id, NULL, &hands);
}

bool
pending_is_there(Backlog *b, const Candidate *c)
{
	bool there = stands(b, c);

	ExecClearTuple(b->slot);
	return there && !has_lease(b, c->id);
}

/* ---- holding -------------------------------------------------------------------- */

RowResult
pending_hold(Backlog *b, const Candidate *c, bool wait, Row *task)
{
	RowResult result = ROW_GONE;

	/* Most that cannot be claimed are seen without the lock. */
	if (!stands(b, c))
		return ROW_GONE;
	ExecClearTuple(b->slot);
	if (!lock_task(b, c->id, wait))
		return ROW_BUSY;
	if (!has_lease(b, c->id) && stands(b, c))
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
 * One try, under the lock.  ROW_BUSY: *holder has the task in hand.  Who is about
 * to end the attempt of a running task is not waited for: it is not pending.
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
		stats_pending(queue_id, -1);
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
		/* An administrator is at the row.  He is waited for without holding the task. */
		locked = row_lock(&b.task, task, LockTupleExclusive, true) == ROW_DONE;
	}
	backlog_close(&b);
	if (result == ROW_DONE)
		CommandCounterIncrement();
	return result;
}

/* ---- making ---------------------------------------------------------------------- */

static void
wake_who_waits(const Row *task)
{
	const Queue *queue = queue_by_id(ROW_INT32(task, TASK_QUEUE_ID));

	if (queue != NULL && queue->push && !queue->external)
		wakeup_executor_at_commit();
	else if (ROW_TIME(task, TASK_RUN_AT) > GetCurrentTimestamp())
		wakeup_timers_at_commit();
	else
		wakeup_arrival_at_commit(ROW_INT32(task, TASK_QUEUE_ID));
}

static void
made(const HotRelation *tasks, const Row *task)
{
	Candidate c = candidate_of(task);

	stats_pending(ROW_INT32(task, TASK_QUEUE_ID), 1);
	dispatch_inserted(tasks->heap, ROW_INT32(task, TASK_QUEUE_ID), &c);
	CommandCounterIncrement();
	wake_who_waits(task);
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

/* ---- walking ------------------------------------------------------------------------ */

/*
 * One lane: the tasks of (queue, priority) up to now.  Its first row may
 * belong to a lower lane (a greater priority value); *priority says which.
 * False when see() wants no more; *future becomes the lane's next run_at.
 */
static bool
walk_lane(Backlog *b, IndexScanDesc scan, TupleTableSlot *slot, int16 *priority,
		  TimestampTz now, TimestampTz *future, TaskSeer see, void *arg)
{
	bool first = true;

	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		Candidate c = candidate_in(slot);

		CHECK_FOR_INTERRUPTS();
		if (first)
			*priority = c.priority;
		first = false;
		if (c.priority != *priority)
			return true; /* the lane ends here */
		if (c.run_at > now)
		{
			*future = c.run_at;
			return true;
		}
		if (!has_lease(b, c.id) && !see(b, &c, arg))
			return false;
	}
	if (first)
		*priority = PG_INT16_MAX; /* no lane is left */
	return true;
}

TimestampTz
backlog_walk(Backlog *b, int32 queue_id, TimestampTz now, TaskSeer see, void *arg)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(b->task.heap, NULL);
	IndexScanDesc scan = index_beginscan_compat(b->task.heap, b->order, snapshot, 2);
	TimestampTz next_due = DT_NOEND;
	int16 priority = PG_INT16_MIN;
	bool more = true;

	while (more && priority < PG_INT16_MAX)
	{
		ScanKeyData keys[2];
		TimestampTz future = DT_NOEND;

		ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(queue_id));
		ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_INT2GT, Int16GetDatum(priority));
		index_rescan(scan, keys, 2, NULL, 0);
		more = walk_lane(b, scan, slot, &priority, now, &future, see, arg);
		next_due = Min(next_due, future);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	return next_due;
}

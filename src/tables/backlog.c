/*
 * backlog.c
 *		Looking at pending tasks: which there are, and whether one still is.
 *
 * Nothing here holds a task: what is seen may have changed when the caller acts.
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

#include "base/compat.h"
#include "tables/backlog.h"
#include "tables/rows.h"

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
 * A row that an administrator is updating stands: other updates are made under a lease,
 * which backlog_has_lease() finds.
 */
bool
backlog_stands(Backlog *b, const Candidate *c)
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

bool
backlog_has_lease(Backlog *b, int64 id)
{
	Hands hands;

	return row_look(&b->lease, id, NULL, &hands);
}

bool
backlog_is_pending(Backlog *b, const Candidate *c)
{
	bool there = backlog_stands(b, c);

	ExecClearTuple(b->slot);
	return there && !backlog_has_lease(b, c->id);
}

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
		if (!backlog_has_lease(b, c.id) && !see(b, &c, arg))
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

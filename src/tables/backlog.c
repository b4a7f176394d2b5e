/*
 * backlog.c
 *		Looking at pending tasks: which there are, and whether one still is.
 *
 * Nothing here holds a task: what is seen may have changed when the caller acts.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/tableam.h"
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

/* ---- from lane to lane ------------------------------------------------------------ */

/* A lane, which is a queue and a priority, and when its first entry is due. */
typedef struct LaneHead
{
	int32 queue_id;
	int16 priority;
	TimestampTz run_at;
} LaneHead;

/* The head of the first lane behind (queue_id, priority) that has an entry; false: none has. */
static bool
next_lane(IndexScanDesc scan, int32 queue_id, int16 priority, LaneHead *head)
{
	ScanKeyData row[2];
	ScanKeyData key = {
		.sk_flags = SK_ROW_HEADER,
		.sk_attno = 1,
		.sk_strategy = BTGreaterStrategyNumber,
		.sk_argument = PointerGetDatum(row),
	};
	IndexTuple entry;
	bool isnull;

	ScanKeyEntryInitialize(&row[0], SK_ROW_MEMBER, 1, BTGreaterStrategyNumber, InvalidOid,
						   InvalidOid, F_BTINT4CMP, Int32GetDatum(queue_id));
	ScanKeyEntryInitialize(&row[1], SK_ROW_MEMBER | SK_ROW_END, 2, BTGreaterStrategyNumber,
						   InvalidOid, InvalidOid, F_BTINT2CMP, Int16GetDatum(priority));
	index_rescan(scan, &key, 1, NULL, 0);
	if (index_getnext_tid(scan, ForwardScanDirection) == NULL)
		return false;
	entry = scan->xs_itup;
	head->queue_id = DatumGetInt32(index_getattr(entry, 1, scan->xs_itupdesc, &isnull));
	head->priority = DatumGetInt16(index_getattr(entry, 2, scan->xs_itupdesc, &isnull));
	head->run_at = DatumGetTimestampTz(index_getattr(entry, 3, scan->xs_itupdesc, &isnull));
	return true;
}

/* No row is looked at, so the snapshot does not matter. */
static IndexScanDesc
begin_lanes(Backlog *b)
{
	IndexScanDesc scan = index_beginscan_compat(b->task.heap, b->order, SnapshotAny, 1);

	scan->xs_want_itup = true;
	return scan;
}

uint32
backlog_lanes(Backlog *b, int32 queue_id, int lowest)
{
	IndexScanDesc scan = begin_lanes(b);
	LaneHead head = {.priority = PG_INT16_MIN};
	uint32 lanes = 0;

	while (next_lane(scan, queue_id, head.priority, &head) && head.queue_id == queue_id)
	{
		CHECK_FOR_INTERRUPTS();
		if (head.priority >= lowest && head.priority < lowest + 32)
			lanes |= UINT32_C(1) << (head.priority - lowest);
	}
	index_endscan(scan);
	return lanes;
}

/*
 * Goes from lane to lane, so that its cost is that of the lanes that have entries: queues
 * without any are passed over together.
 */
void
backlog_survey(Backlog *b, const int32 *ids, int count, TimestampTz now, TimestampTz *due)
{
	IndexScanDesc scan = begin_lanes(b);
	int32 queue_id = count > 0 ? ids[0] : 0;
	int16 priority = PG_INT16_MIN;
	LaneHead head;
	int i = 0;

	for (int n = 0; n < count; n++)
		due[n] = DT_NOEND;
	while (i < count && next_lane(scan, queue_id, priority, &head))
	{
		CHECK_FOR_INTERRUPTS();
		while (i < count && ids[i] < head.queue_id)
			i++;
		if (i == count)
			break;
		queue_id = ids[i];
		priority = PG_INT16_MIN;
		if (head.queue_id != queue_id)
			continue;
		due[i] = Min(due[i], head.run_at);
		priority = due[i] > now ? head.priority : PG_INT16_MAX;
	}
	index_endscan(scan);
}

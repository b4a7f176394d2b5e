/*
 * group_scan.c
 *		The entries of tasks with a group.
 *
 * They stand in the index task_group, in the order of queue, group, priority, run_at and id.  A
 * GroupScan reads index entries only, so its snapshot does not matter, and begins where the caller
 * has stopped the last time.  The index is open during a scan only: a claim of tasks without a
 * group needs neither it nor its lock.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "tables/group_scan.h"

/* The columns of the index, from one. */
enum GroupIndexColumn
{
	GROUP_QUEUE_ID = 1,
	GROUP_GROUP_ID,
	GROUP_PRIORITY,
	GROUP_RUN_AT,
	GROUP_ID
};

static void
open_scan(GroupScan *gs, Backlog *b, int nkeys)
{
	gs->index = index_open(b->task.group, b->task.lock);
	gs->scan = index_beginscan_compat(b->task.heap, gs->index, SnapshotAny, nkeys);
	gs->scan->xs_want_itup = true;
}

void
group_scan_open(GroupScan *gs, Backlog *b)
{
	open_scan(gs, b, 2);
}

void
group_scan_close(GroupScan *gs)
{
	index_endscan(gs->scan);
	index_close(gs->index, NoLock);
}

/* One member of the comparison of rows. */
static void
set_member(GroupScan *gs, int column, RegProcedure compare, Datum value)
{
	ScanKeyEntryInitialize(&gs->place[column - GROUP_GROUP_ID],
						   SK_ROW_MEMBER | (column == GROUP_ID ? SK_ROW_END : 0), column,
						   BTGreaterStrategyNumber, InvalidOid, InvalidOid, compare, value);
}

void
group_scan_begin(GroupScan *gs, int32 queue_id, const GroupPlace *behind)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], GROUP_QUEUE_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(queue_id));
	set_member(gs, GROUP_GROUP_ID, F_BTINT8CMP, Int64GetDatum(behind->group_id));
	set_member(gs, GROUP_PRIORITY, F_BTINT2CMP, Int16GetDatum(behind->priority));
	set_member(gs, GROUP_RUN_AT, F_TIMESTAMPTZ_CMP, TimestampTzGetDatum(behind->run_at));
	set_member(gs, GROUP_ID, F_BTINT8CMP, Int64GetDatum(behind->id));
	MemSet(&keys[1], 0, sizeof(ScanKeyData));
	keys[1].sk_flags = SK_ROW_HEADER;
	keys[1].sk_attno = GROUP_GROUP_ID;
	keys[1].sk_strategy = BTGreaterStrategyNumber;
	keys[1].sk_argument = PointerGetDatum(gs->place);
	index_rescan(gs->scan, keys, 2, NULL, 0);
}

static Datum
entry_column(const GroupScan *gs, int n)
{
	bool isnull;

	return index_getattr(gs->scan->xs_itup, n, gs->scan->xs_itupdesc, &isnull);
}

bool
group_scan_next(GroupScan *gs, GroupPlace *place, Candidate *c)
{
	ItemPointer tid = index_getnext_tid(gs->scan, ForwardScanDirection);

	if (tid == NULL)
		return false;
	*place = (GroupPlace){
		.group_id = DatumGetInt64(entry_column(gs, GROUP_GROUP_ID)),
		.priority = DatumGetInt16(entry_column(gs, GROUP_PRIORITY)),
		.run_at = DatumGetTimestampTz(entry_column(gs, GROUP_RUN_AT)),
		.id = DatumGetInt64(entry_column(gs, GROUP_ID)),
	};
	*c = (Candidate){
		.run_at = place->run_at,
		.id = place->id,
		.tid = *tid,
		.priority = place->priority,
	};
	return true;
}

/* When a task is due that will be tried again, if its run_at is past; b->slot holds its row. */
static TimestampTz
retry_at(Backlog *b)
{
	bool isnull;
	Datum value = slot_getattr(b->slot, TASK_RETRY_AT + 1, &isnull);

	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
}

/* The time at which the task becomes due, DT_NOBEGIN if it is; DT_NOEND: it is not pending. */
static TimestampTz
look_at_due(Backlog *b, const Candidate *c, TimestampTz now)
{
	TimestampTz due;

	if (!backlog_stands(b, c))
		return DT_NOEND;
	due = retry_at(b);
	ExecClearTuple(b->slot);
	if (backlog_has_lease(b, c->id))
		return DT_NOEND;
	return due > now ? due : DT_NOBEGIN;
}

TimestampTz
group_walk(Backlog *b, int32 queue_id, int64 group_id, TimestampTz now, TaskSeer see, void *arg)
{
	GroupPlace place = group_id == 0 ? GROUP_PLACE_START : GROUP_PLACE_BEHIND(group_id - 1);
	TimestampTz next_due = DT_NOEND;
	GroupScan gs;
	Candidate c;

	group_scan_open(&gs, b);
	group_scan_begin(&gs, queue_id, &place);
	for (int n = 0; n < GROUP_WALK_ENTRIES && group_scan_next(&gs, &place, &c); n++)
	{
		TimestampTz due;

		CHECK_FOR_INTERRUPTS();
		if (group_id != 0 && place.group_id != group_id)
			break;
		due = c.run_at > now ? c.run_at : look_at_due(b, &c, now);
		if (due == DT_NOBEGIN && !see(b, &c, arg))
			break;
		if (due != DT_NOBEGIN)
			next_due = Min(next_due, due);
		if (c.run_at <= now)
			continue;
		/* On to the next priority of the group. */
		place.run_at = DT_NOEND;
		place.id = PG_INT64_MAX;
		group_scan_begin(&gs, queue_id, &place);
	}
	group_scan_close(&gs);
	return next_due;
}

void
group_survey(Backlog *b, const int32 *ids, int count, TimestampTz now, TimestampTz *due)
{
	GroupScan gs;
	int i = 0;

	open_scan(&gs, b, 1);
	while (i < count)
	{
		ScanKeyData key;
		int32 queue_id;

		CHECK_FOR_INTERRUPTS();
		ScanKeyInit(&key, GROUP_QUEUE_ID, BTGreaterEqualStrategyNumber, F_INT4GE,
					Int32GetDatum(ids[i]));
		index_rescan(gs.scan, &key, 1, NULL, 0);
		if (index_getnext_tid(gs.scan, ForwardScanDirection) == NULL)
			break;
		queue_id = DatumGetInt32(entry_column(&gs, GROUP_QUEUE_ID));
		while (i < count && ids[i] < queue_id)
			i++;
		if (i < count && ids[i] == queue_id)
		{
			due[i] = Min(due[i], now);
			i++;
		}
	}
	group_scan_close(&gs);
}

bool
group_exists(Backlog *b, int32 queue_id)
{
	Relation index = index_open(b->task.group, b->task.lock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(b->task.heap, NULL);
	IndexScanDesc scan = index_beginscan_compat(b->task.heap, index, snapshot, 1);
	ScanKeyData key;
	bool exists;

	ScanKeyInit(&key, GROUP_QUEUE_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(queue_id));
	index_rescan(scan, &key, 1, NULL, 0);
	exists = index_getnext_slot(scan, ForwardScanDirection, slot);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	index_close(index, NoLock);
	return exists;
}

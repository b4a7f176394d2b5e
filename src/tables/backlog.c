/*
 * backlog.c
 *		Looks at pending tasks: which tasks are pending, and whether a given task still is.
 *
 * No function here locks a task: a result may be out of date when the caller uses it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "tables/backlog.h"
#include "tables/rows.h"

void
backlog_open(Backlog *b)
{
	hot_open(&b->task, HOT_TASK);
	hot_open(&b->lease, HOT_LEASE);
	b->order = index_open(b->task.order, b->task.lock);
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

TimestampTz
task_due_at(const Row *task)
{
	TimestampTz run_at = ROW_TIME(task, TASK_RUN_AT);

	return task->nulls[TASK_RETRY_AT] ? run_at : Max(run_at, ROW_TIME(task, TASK_RETRY_AT));
}

/* No other task with a retry_at has infinity as its run_at: a task that has run was due. */
bool
task_waits(const Row *task)
{
	return !task->nulls[TASK_RETRY_AT] && ROW_TIME(task, TASK_RUN_AT) == DT_NOEND;
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

Candidate
candidate_in(TupleTableSlot *slot)
{
	return (Candidate){
		.run_at = DatumGetTimestampTz(column(slot, TASK_RUN_AT)),
		.id = DatumGetInt64(column(slot, TASK_ID)),
		.tid = slot->tts_tid,
		.priority = DatumGetInt16(column(slot, TASK_PRIORITY)),
	};
}

static bool
is_candidate(TupleTableSlot *slot, const Candidate *c)
{
	Candidate found = candidate_in(slot);

	return found.id == c->id && found.run_at == c->run_at && found.priority == c->priority;
}

bool
backlog_stands(Backlog *b, const Candidate *c)
{
	if (!row_at(&b->task, &c->tid, b->slot))
		return false;
	if (is_candidate(b->slot, c))
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

/* Found by its place: a row that is moved has the id as well, and stands elsewhere. */
bool
backlog_is_ending(Backlog *b, const Candidate *c)
{
	bool ending = row_is_being_deleted(&b->task, &c->tid, b->slot) && is_candidate(b->slot, c);

	ExecClearTuple(b->slot);
	return ending;
}

bool
backlog_is_pending(Backlog *b, const Candidate *c)
{
	bool there = backlog_stands(b, c);

	ExecClearTuple(b->slot);
	return there && !backlog_has_lease(b, c->id);
}

/*
 * Walks one lane: the tasks of (queue, priority) up to now.  The first row may
 * belong to a later lane (a greater priority value); *priority becomes that of the row.
 * False if see() has returned false; *future becomes the lane's next run_at.
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

/* The head of the first lane after (queue_id, priority) that has an entry; false: none has. */
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

/* The scan reads no rows, so the snapshot does not matter. */
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
 * Goes from lane to lane, so the cost grows with the number of lanes that have entries: queues
 * without entries are skipped together.
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

/* ---- a look at many queues --------------------------------------------------------- */

void
lane_look_open(LaneLook *look, Backlog *b)
{
	look->b = b;
	look->snapshot = RegisterSnapshot(GetLatestSnapshot());
	look->slot = table_slot_create(b->task.heap, NULL);
	look->lanes = begin_lanes(b);
	look->rows = index_beginscan_compat(b->task.heap, b->order, look->snapshot, 3);
	look->next.queue_id = PG_INT32_MIN;
}

void
lane_look_close(LaneLook *look)
{
	index_endscan(look->rows);
	index_endscan(look->lanes);
	ExecDropSingleTupleTableSlot(look->slot);
	UnregisterSnapshot(look->snapshot);
}

/* Goes on to the first lane behind this one. */
static void
step_lane(LaneLook *look, int32 queue_id, int16 priority)
{
	if (!next_lane(look->lanes, queue_id, priority, &look->next))
		look->next.queue_id = PG_INT32_MAX;
}

/* Begins with the rows of a lane that are due, or with the others. */
static void
begin_rows(LaneLook *look, int32 queue_id, int16 priority, TimestampTz now, bool due)
{
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(queue_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(priority));
	if (due)
		ScanKeyInit(&keys[2], 3, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE,
					TimestampTzGetDatum(now));
	else
		ScanKeyInit(&keys[2], 3, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT,
					TimestampTzGetDatum(now));
	index_rescan(look->rows, keys, 3, NULL, 0);
}

uint32
lane_look_later(LaneLook *look, int32 queue_id, int lowest, TimestampTz now, int max, int *count)
{
	LaneHead *head = &look->next;
	uint32 lanes = 0;

	*count = 0;
	if (head->queue_id < queue_id)
		step_lane(look, queue_id, PG_INT16_MIN);
	for (; head->queue_id == queue_id; step_lane(look, queue_id, head->priority))
	{
		if (head->priority < lowest || head->priority >= lowest + 32)
			continue;
		lanes |= UINT32_C(1) << (head->priority - lowest);
		begin_rows(look, queue_id, head->priority, now, false);
		while (*count < max && index_getnext_slot(look->rows, ForwardScanDirection, look->slot))
		{
			CHECK_FOR_INTERRUPTS();
			(*count)++;
		}
	}
	ExecClearTuple(look->slot);
	return lanes;
}

/* The first pending task of a lane that is due. */
static TimestampTz
first_due_in(LaneLook *look, int32 queue_id, int16 priority, TimestampTz now)
{
	begin_rows(look, queue_id, priority, now, true);
	while (index_getnext_slot(look->rows, ForwardScanDirection, look->slot))
	{
		Candidate c = candidate_in(look->slot);

		CHECK_FOR_INTERRUPTS();
		if (!backlog_has_lease(look->b, c.id))
			return c.run_at;
	}
	return DT_NOEND;
}

TimestampTz
lane_look_oldest(LaneLook *look, int32 queue_id, int lowest, uint32 lanes, TimestampTz now)
{
	TimestampTz oldest = DT_NOEND;

	for (int n = 0; n < 32; n++)
	{
		if ((lanes & (UINT32_C(1) << n)) != 0)
			oldest = Min(oldest, first_due_in(look, queue_id, lowest + n, now));
	}
	ExecClearTuple(look->slot);
	return oldest;
}

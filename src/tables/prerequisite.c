/*
 * prerequisite.c
 *		Which tasks wait for which: the rows of the table "prerequisite".
 *
 * The primary key is read by those that end a task, the second index by those that look at a
 * dependent.  The latter has the state before the task: so the rows of tasks that have ended
 * without having finished come first, and the others can be read from any task on.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "tables/prerequisite.h"

/* Columns of the index by dependent, from one. */
#define ORDER_DEPENDENT 1
#define ORDER_STATE     2
#define ORDER_TASK      3

static void
read_row(TupleTableSlot *slot, Prerequisite *p)
{
	bool isnull;

	p->task_id = DatumGetInt64(slot_getattr(slot, PREREQUISITE_TASK + 1, &isnull));
	p->dependent = DatumGetInt64(slot_getattr(slot, PREREQUISITE_DEPENDENT + 1, &isnull));
	p->state = slot_getattr(slot, PREREQUISITE_STATE + 1, &isnull);
	p->ended = !isnull;
	p->tid = slot->tts_tid;
}

static Row
row_of(const Prerequisite *p)
{
	Row row;

	row_init(&row);
	row.tid = p->tid;
	row_set(&row, PREREQUISITE_TASK, Int64GetDatum(p->task_id));
	row_set(&row, PREREQUISITE_DEPENDENT, Int64GetDatum(p->dependent));
	if (p->ended)
		row_set(&row, PREREQUISITE_STATE, p->state);
	return row;
}

/* Reads by an index in the latest snapshot; see() returns whether it wants more. */
static void
read_by(HotRelation *r, Relation index, ScanKey keys, int nkeys,
		bool (*see)(HotRelation *r, TupleTableSlot *slot, void *arg), void *arg)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(r->heap, NULL);
	IndexScanDesc scan = index_beginscan_compat(r->heap, index, snapshot, nkeys);

	index_rescan(scan, keys, nkeys, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (!see(r, slot, arg))
			break;
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
}

/* A seer and its argument. */
typedef struct Seer
{
	PrerequisiteSeer see;
	void *arg;
} Seer;

static bool
see_each(HotRelation *r, TupleTableSlot *slot, void *arg)
{
	const Seer *seer = arg;
	Prerequisite p;

	read_row(slot, &p);
	ExecClearTuple(slot); /* lets go of the page, which see() may lock */
	seer->see(r, &p, seer->arg);
	return true;
}

void
prerequisites_of_task(HotRelation *r, int64 task_id, PrerequisiteSeer see, void *arg)
{
	Seer seer = {see, arg};
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(task_id));
	read_by(r, r->index, &key, 1, see_each, &seer);
}

/* Of a dependent; ended: those with a state. */
static void
read_by_dependent(HotRelation *r, int64 dependent, bool ended,
				  bool (*see)(HotRelation *r, TupleTableSlot *slot, void *arg), void *arg)
{
	Relation index = index_open(r->order, r->lock);
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], ORDER_DEPENDENT, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(dependent));
	ScanKeyEntryInitialize(&keys[1], SK_ISNULL | SK_SEARCHNOTNULL, ORDER_STATE, InvalidStrategy,
						   InvalidOid, InvalidOid, InvalidOid, (Datum) 0);
	read_by(r, index, keys, ended ? 2 : 1, see, arg);
	index_close(index, NoLock);
}

void
prerequisites_of_dependent(HotRelation *r, int64 dependent, PrerequisiteSeer see, void *arg)
{
	Seer seer = {see, arg};

	read_by_dependent(r, dependent, false, see_each, &seer);
}

static bool
see_first(HotRelation *r, TupleTableSlot *slot, void *arg)
{
	read_row(slot, arg);
	return false;
}

bool
prerequisite_first_ended(HotRelation *r, int64 dependent, Prerequisite *p)
{
	p->ended = false;
	read_by_dependent(r, dependent, true, see_first, p);
	return p->ended;
}

static bool
see_any(HotRelation *r, TupleTableSlot *slot, void *arg)
{
	*(bool *) arg = true;
	return false;
}

bool
prerequisite_any(HotRelation *r)
{
	bool any = false;

	read_by(r, r->index, NULL, 0, see_any, &any);
	return any;
}

bool
prerequisite_any_of(HotRelation *r, int64 dependent)
{
	bool any = false;

	read_by_dependent(r, dependent, false, see_any, &any);
	return any;
}

bool
prerequisite_waited_for(HotRelation *r, int64 task_id)
{
	return row_look(r, task_id, NULL, &(Hands){0});
}

bool
prerequisite_exists(HotRelation *r, int64 task_id, int64 dependent)
{
	SnapshotData dirty;
	IndexScanDesc scan;
	ScanKeyData keys[2];
	TupleTableSlot *slot = table_slot_create(r->heap, NULL);
	bool found;

	InitDirtySnapshot(dirty);
	scan = index_beginscan_compat(r->heap, r->index, &dirty, lengthof(keys));
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(task_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(dependent));
	index_rescan(scan, keys, lengthof(keys), NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

/* ---- walks ------------------------------------------------------------------------------ */

void
prerequisite_walk_begin(PrerequisiteWalk *w, HotRelation *r, int64 dependent, int64 from)
{
	ScanKeyData keys[3];

	w->r = r;
	w->index = index_open(r->order, r->lock);
	w->dirty = palloc_object(SnapshotData);
	InitDirtySnapshot(*w->dirty);
	w->slot = table_slot_create(r->heap, NULL);
	w->scan = index_beginscan_compat(r->heap, w->index, w->dirty, lengthof(keys));
	ScanKeyInit(&keys[0], ORDER_DEPENDENT, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(dependent));
	ScanKeyEntryInitialize(&keys[1], SK_ISNULL | SK_SEARCHNULL, ORDER_STATE, InvalidStrategy,
						   InvalidOid, InvalidOid, InvalidOid, (Datum) 0);
	ScanKeyInit(&keys[2], ORDER_TASK, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));
	index_rescan(w->scan, keys, lengthof(keys), NULL, 0);
}

bool
prerequisite_walk_next(PrerequisiteWalk *w, Prerequisite *p, Hands *hands)
{
	CHECK_FOR_INTERRUPTS();
	if (!index_getnext_slot(w->scan, ForwardScanDirection, w->slot))
		return false;
	*hands = (Hands){.inserter = w->dirty->xmin, .deleter = w->dirty->xmax};
	read_row(w->slot, p);
	ExecClearTuple(w->slot);
	return true;
}

void
prerequisite_walk_end(PrerequisiteWalk *w)
{
	index_endscan(w->scan);
	ExecDropSingleTupleTableSlot(w->slot);
	pfree(w->dirty);
	index_close(w->index, NoLock);
}

/* ---- changes ---------------------------------------------------------------------------- */

RowResult
prerequisite_delete(HotRelation *r, const Prerequisite *p)
{
	Row row = row_of(p);

	return row_delete(r, &row, false);
}

RowResult
prerequisite_set_state(HotRelation *r, const Prerequisite *p, Datum state)
{
	Row row = row_of(p);

	row_set(&row, PREREQUISITE_STATE, state);
	return row_update(r, &row, false);
}

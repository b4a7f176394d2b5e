/*
 * own.c
 *		Finds the tasks that this transaction has made pending.
 *
 * No other session sees them, so they are no candidates (dispatch.c).  A claim of the same
 * transaction reads them from the index.  Until the transaction ends, nothing removes the
 * index entries of the tasks that it has claimed or ended.  If each claim read them again, the
 * cost of the transaction would grow with the square of its tasks.  So the session remembers
 * for each lane a position up to which none of these tasks is pending.
 *
 * The positions are made by the first claim that needs them.  From then on, each task
 * that becomes pending moves the position of its lane back before itself: one that is
 * submitted, has failed or was released, and one that was taken after a savepoint to which the
 * transaction is rolled back.
 *
 * A task that an administrator has changed by hand in the same transaction, to make it due,
 * moves no position back.  So a walk that finds nothing begins again at the left edges, but only so
 * often that the cost of each walk stays bounded on average.
 */
#include "postgres.h"

#include "access/relscan.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "hints/own.h"

static OwnTasks *all_own = NULL;

OwnTasks *
own_find(int32 queue_id)
{
	OwnTasks *own = all_own;

	while (own != NULL && own->queue_id != queue_id)
		own = own->next;
	return own;
}

OwnTasks *
own_make(int32 queue_id)
{
	OwnTasks *own = MemoryContextAllocZero(TopTransactionContext, sizeof(OwnTasks));

	own->queue_id = queue_id;
	own->next = all_own;
	all_own = own;
	return own;
}

#define ENTRIES_IN_VAIN 1024

bool
own_begin_anew(OwnTasks *own)
{
	own->in_vain += ENTRIES_IN_VAIN;
	if (own->in_vain < own->passed)
		return false;
	own->in_vain = 0;
	own->lanes = PG_UINT32_MAX;
	for (int i = 0; i < NLANES; i++)
		own->behind[i] = (Position){DT_NOBEGIN, 0};
	return true;
}

void
own_forget(void)
{
	all_own = NULL;
}

void
own_pending(int32 queue_id, const Candidate *c)
{
	OwnTasks *own = own_find(queue_id);
	Position *behind;
	uint32 lane;

	if (own == NULL || LANE_OF(c) < 0 || LANE_OF(c) >= NLANES)
		return;
	lane = UINT32_C(1) << LANE_OF(c);
	behind = &own->behind[LANE_OF(c)];
	if ((own->lanes & lane) == 0 || position_compare(c->run_at, c->id, behind) <= 0)
		*behind = (Position){c->run_at, c->id - 1};
	own->lanes |= lane;
}

/* ---- walking -------------------------------------------------------------------------- */

/* Goes to the first lane from this one on that has such tasks. */
static void
enter_lane(OwnWalk *w, int lane)
{
	while (lane < NLANES && (w->own->lanes & (UINT32_C(1) << lane)) == 0)
		lane++;
	w->lane = lane;
	if (lane < NLANES)
		lane_scan_begin(&w->scan, w->own->queue_id, lane, &w->own->behind[lane]);
}

void
own_walk_begin(OwnWalk *w, Backlog *b, OwnTasks *own, TimestampTz now)
{
	w->backlog = b;
	w->own = own;
	w->now = now;
	w->next_due = DT_NOEND;
	w->there = false;
	/* Unlike a scan for candidates it reads rows, and so marks dead entries as dead. */
	w->snapshot = RegisterSnapshot(GetLatestSnapshot());
	w->slot = table_slot_create(b->task.heap, NULL);
	w->scan.scan = index_beginscan_compat(b->task.heap, b->order, w->snapshot, 3);
	enter_lane(w, 0);
}

/* Reads on in the lane; false: it has no other task that is due. */
static bool
next_in_lane(OwnWalk *w)
{
	while (index_getnext_slot(w->scan.scan, ForwardScanDirection, w->slot))
	{
		CHECK_FOR_INTERRUPTS();
		w->first = candidate_in(w->slot);
		if (w->first.run_at > w->now)
		{
			w->next_due = Min(w->next_due, w->first.run_at);
			return false;
		}
		if (!backlog_has_lease(w->backlog, w->first.id))
			return true;
		own_walk_pass(w);
	}
	return false;
}

bool
own_walk_first(OwnWalk *w, Candidate *c)
{
	while (!w->there && w->lane < NLANES)
	{
		w->there = next_in_lane(w);
		if (!w->there)
			enter_lane(w, w->lane + 1);
	}
	*c = w->first;
	return w->there;
}

void
own_walk_pass(OwnWalk *w)
{
	w->own->behind[w->lane] = (Position){w->first.run_at, w->first.id};
	w->own->passed++;
	w->there = false;
}

TimestampTz
own_walk_end(OwnWalk *w)
{
	index_endscan(w->scan.scan);
	ExecDropSingleTupleTableSlot(w->slot);
	UnregisterSnapshot(w->snapshot);
	return w->next_due;
}

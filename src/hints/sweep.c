/*
 * sweep.c
 *		Looks for pending tasks behind the lanes' positions that no session has offered.
 *
 * Prepared transactions, logical replication, and statements of a restore or of an
 * administrator leave such rows.  A sweep walks the read
 * part of every lane, in steps; the process remembers where the next step continues.  A
 * pending row that it finds becomes a candidate unless it is one already; so the invariant
 * in dispatch.c holds again.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/compat.h"
#include "base/database.h"
#include "base/shmem.h"
#include "hints/idle.h"
#include "hints/lanes.h"
#include "hints/sweep.h"
#include "hints/wakeup.h"
#include "tables/backlog.h"

#define SWEEP_FOUND 64 /* missed rows that one step can offer */

#define SWEEP_ENTRIES 10000 /* entries of one step, which take some milliseconds */

/* A step of a sweep: a part of one lane. */
typedef struct Sweep
{
	int32 queue_id;
	int lane;
	Position from;
	Position to; /* the lane was read up to there when the step began */
	int budget;  /* entries that may still be looked at */
	bool at_end;
	bool is_unread;   /* there is an entry behind "to" */
	Candidate unread; /* the first such entry */
	int count;
	Candidate found[SWEEP_FOUND];
} Sweep;

static const Position lane_start = {DT_NOBEGIN, 0};

/* Where the next step of this process continues. */
static int sweep_slot = 0;
static int sweep_lane = 0;
static int32 sweep_queue = 0;
static Position sweep_from = {DT_NOBEGIN, 0};

/* False: the slot is not of this database. */
static bool
sweep_begin(int n, Sweep *w)
{
	LaneSlot *s = (LaneSlot *) hint_lock_if_ours(&lanes_table, n);

	if (s == NULL)
		return false;
	w->queue_id = s->entry.number;
	w->from = w->queue_id == sweep_queue ? sweep_from : lane_start;
	w->to = s->lanes[w->lane].read;
	w->at_end = false;
	w->is_unread = false;
	w->count = 0;
	slot_unlock(s);
	return true;
}

static void
sweep_entries(Backlog *b, LaneScan *scan, Sweep *w)
{
	Candidate c;

	lane_scan_begin(scan, w->queue_id, w->lane, &w->from);
	while (w->budget-- > 0 && w->count < SWEEP_FOUND)
	{
		CHECK_FOR_INTERRUPTS();
		w->at_end = !lane_scan_next(scan, w->lane, &c);
		if (w->at_end)
			break;
		if (position_compare(c.run_at, c.id, &w->to) > 0)
		{
			w->at_end = true;
			w->is_unread = true;
			w->unread = c;
			break;
		}
		w->from.run_at = c.run_at;
		w->from.id = c.id;
		if (backlog_is_pending(b, &c))
			w->found[w->count++] = c;
	}
}

/* Removes the rows that are candidates already. */
static void
drop_known(const LaneSlot *s, Sweep *w)
{
	int kept = 0;

	for (int i = 0; i < w->count; i++)
	{
		if (!slot_has(s, &w->found[i]))
			w->found[kept++] = w->found[i];
	}
	w->count = kept;
}

static void
sweep_end(uint32 relfile, Sweep *w)
{
	LaneSlot *s = slot_lock(w->queue_id);

	if (s == NULL || s->relfile != relfile)
		w->count = 0;
	else
	{
		if (w->is_unread)
			slot_lower(s, &w->unread); /* the position may have moved past it meanwhile */
		drop_known(s, w);
		for (int i = 0; i < w->count; i++)
			slot_push(s, &w->found[i]);
	}
	if (s != NULL)
		slot_unlock(s);
}

static void
tell_found(const Sweep *w)
{
	for (int i = 0; i < w->count; i++)
		wakeup_arrival_at_commit(w->queue_id);
	if (w->count > 0)
		wakeup_at_commit(WANT_TASKS | WANT_CALLS);
	if (w->is_unread)
		wakeup_at_commit(WANT_TIMERS);
}

static void
sweep_on(const Sweep *w, bool slot_done)
{
	bool lane_done = slot_done || w->at_end;

	sweep_queue = w->queue_id;
	sweep_from = lane_done ? lane_start : w->from;
	if (lane_done)
		sweep_lane++;
	if (!slot_done && sweep_lane < NLANES)
		return;
	sweep_lane = 0;
	sweep_slot++;
}

static void
sweep_begin_anew(void)
{
	sweep_slot = sweep_lane = 0;
	sweep_from = lane_start;
}

/*
 * A sweep does not look at queues without a slot, because nothing was read of their lanes.
 * Claimers look at the whole index of such queues again.
 */
static void
tell_beginning(void)
{
	idle_end_all();
	database_hints_changed();
	wakeup_at_commit(WANT_TASKS | WANT_CALLS);
}

static bool
sweep_step(Backlog *b, int max_entries)
{
	Sweep w = {.budget = max_entries};
	LaneScan scan;

	if (!slots_are_shared())
		return true;
	if (sweep_slot == 0 && sweep_lane == 0)
		tell_beginning();
	lane_scan_open(&scan, b);
	while (w.budget > 0 && sweep_slot < slot_count())
	{
		bool ours;

		w.lane = sweep_lane;
		ours = sweep_begin(sweep_slot, &w);
		if (ours)
		{
			sweep_entries(b, &scan, &w);
			sweep_end(compat_relfile(b->task.heap), &w);
			if (w.count > 0 || w.is_unread)
			{
				idle_end(w.queue_id);
				database_hints_changed();
			}
			tell_found(&w);
		}
		sweep_on(&w, !ours);
	}
	index_endscan(scan.scan);
	if (sweep_slot < slot_count())
		return false;
	sweep_slot = 0;
	return true;
}

/* One step of a sweep; true: the sweep is complete. */
PG_FUNCTION_INFO_V1(taskq_sweep);
Datum
taskq_sweep(PG_FUNCTION_ARGS)
{
	Backlog b;
	bool done;

	backlog_open(&b);
	done = sweep_step(&b, SWEEP_ENTRIES);
	backlog_close(&b);
	PG_RETURN_BOOL(done);
}

void
sweep_if_wanted(void)
{
	TaskqDatabase *db = database_mine();
	Backlog b;

	if (db == NULL || !database_take_want(db, WANT_SWEEP))
		return;
	PG_TRY();
	{
		sweep_begin_anew();
		backlog_open(&b);
		while (!sweep_step(&b, SWEEP_ENTRIES))
			CHECK_FOR_INTERRUPTS();
		backlog_close(&b);
	}
	PG_CATCH();
	{
		database_want(db, WANT_SWEEP);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

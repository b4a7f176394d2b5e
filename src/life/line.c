/*
 * line.c
 *		Claims the tasks of one group that have the same priority.
 *
 * It reads the index of tasks with a group.  An entry whose task has a lease, or is in the hands of
 * an open transaction, is passed: that transaction will offer the task again.
 *
 * In an ordered queue, a task that will be tried again lets no later one pass, and neither does one
 * that an open transaction is ending: if that rolls back, the task is the next one.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "hints/dispatch.h"
#include "life/line.h"
#include "life/pending.h"

typedef struct Walk
{
	Backlog *b;
	Claiming *c;
	bool ordered;
	TimestampTz now; /* not before the line was chosen */
	int held;
	LineSeen *seen;
} Walk;

static Row *
next_row(Walk *w)
{
	return &w->c->claims[w->c->count + w->held].task;
}

static void
claim_those(Walk *w)
{
	int before = w->c->count;

	claim_held(w->b, w->c, w->held);
	w->seen->taken += w->c->count - before;
	w->held = 0;
}

/* If another session holds the task, waits for it, but only after it has let go its own ones. */
static RowResult
hold_entry(Walk *w, const Candidate *c)
{
	RowResult result = pending_hold(w->b, c, w->held == 0, next_row(w));

	if (result != ROW_BUSY)
		return result;
	claim_those(w);
	return pending_hold(w->b, c, true, next_row(w));
}

/* Takes the task of the entry if it can be claimed; false: the line ends here for now. */
static bool
take_entry(Walk *w, const Candidate *c)
{
	Row *task;

	if (c->run_at > w->now)
	{
		w->seen->next_due = c->run_at;
		return false;
	}
	if (hold_entry(w, c) != ROW_DONE)
		return !w->ordered || !backlog_is_ending(w->b, c);
	task = next_row(w);
	if (!task->nulls[TASK_RETRY_AT] && ROW_TIME(task, TASK_RETRY_AT) > w->now)
	{
		w->seen->next_due = ROW_TIME(task, TASK_RETRY_AT);
		pending_let_go(w->b, c->id);
		return false;
	}
	pending_taken(w->b, task);
	w->held++;
	return true;
}

/*
 * The next entry of the line; false: there is none.  Sets the place that was seen to just before
 * it, and not behind the entry before: a task that keeps its place has an entry for each version of
 * its row, all with the same run_at and id.
 */
static bool
next_of_line(Walk *w, GroupScan *scan, const GroupPlace *line, Candidate *c)
{
	GroupPlace place;

	if (!group_scan_next(scan, &place, c) || place.group_id != line->group_id ||
		place.priority != line->priority)
		return false;
	w->seen->after_run_at = c->run_at;
	w->seen->after_id = c->id - 1;
	return true;
}

static void
walk(Walk *w, GroupScan *scan, const GroupPlace *line, int max)
{
	Candidate c;

	while (w->seen->taken + w->held < max)
	{
		CHECK_FOR_INTERRUPTS();
		w->seen->at_end = !next_of_line(w, scan, line, &c) || !take_entry(w, &c);
		if (w->seen->at_end)
			break;
		w->seen->after_id = c.id;
		if (w->held == MAX_TAKEN)
			claim_those(w);
	}
	claim_those(w);
}

void
line_claim(Backlog *b, Claiming *c, int32 queue_id, const GroupPlace *behind, bool ordered, int max,
		   LineSeen *seen)
{
	Walk w = {
		.b = b,
		.c = c,
		.ordered = ordered,
		.now = GetCurrentTimestamp(),
		.seen = seen,
	};
	GroupScan scan;

	*seen = (LineSeen){
		.after_run_at = behind->run_at,
		.after_id = behind->id,
		.next_due = DT_NOEND,
	};
	group_scan_open(&scan, b);
	group_scan_begin(&scan, queue_id, behind);
	walk(&w, &scan, behind, max);
	group_scan_close(&scan);
}

/*
 * turns.c
 *		Claims tasks of a queue that has limits or groups.
 *
 * A claim takes permits of the queue first.  Then it takes one task after the other: of the group
 * whose turn it is (hints/groups.c), or one without a group.  It waits for no permit: if there is
 * none, it has no task.
 *
 * Claims of a queue with limits or order commit durably.  A crash must not forget a lease whose
 * worker goes on, because the limit counts on it.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/arg.h"
#include "base/durability.h"
#include "hints/dispatch.h"
#include "hints/listing.h"
#include "hints/permits.h"
#include "hints/running.h"
#include "life/alone.h"
#include "life/limits.h"
#include "life/line.h"
#include "life/turns.h"

#define LOOK_AGAIN_US (50 * US_PER_MS) /* when the leases cannot be counted for a moment */

bool
turns_matter(const Queue *queue)
{
	FlowQueue *q = flow_make(queue->id);

	return limits_exist(queue) || q == NULL || groups_any(q) || q->sweeps != flow_sweeps();
}

static void
heed_sweep(FlowQueue *q)
{
	if (q->sweeps != flow_sweeps())
		groups_begin_anew(q);
}

/* ---- groups -------------------------------------------------------------------------- */

static void
claim_line(Backlog *b, Claiming *c, const LineLook *look)
{
	GroupPlace behind = {look->group_id, look->priority, look->after_run_at, look->after_id};
	LineSeen seen;

	line_claim(b, c, look->queue->queue_id, &behind, look->ordered, look->permits, &seen);
	permits_end_look(look, &seen);
	if (seen.taken > 0 && limits_leave_marks(&look->rate))
		limits_mark(look->queue->queue_id, look->group_id, look->tat);
}

/* The priority of the first due task without a group; NO_LANES if there is none. */
static int16
first_in_lanes(Backlog *b, const Claiming *c, int32 queue_id, TimestampTz *next_due)
{
	Candidate first;

	return dispatch_first(b, queue_id, c->now, &first, next_due) ? first.priority : NO_LANES;
}

static void
claim_one_of_lanes(Backlog *b, Claiming *c, int32 queue_id, TimestampTz *next_due)
{
	Candidate taken;

	if (dispatch_take(b, queue_id, c->now, &taken, 1, next_due) > 0)
		claim_taken(b, queue_id, c, &taken, 1);
}

/* In turns with the tasks without a group, as long as a line is ready. */
static void
claim_of_lines(Backlog *b, FlowQueue *q, int64 group_id, Claiming *c, TimestampTz *next_due)
{
	int16 lanes = NO_LANES;

	while (c->count < c->max)
	{
		LineLook look;

		CHECK_FOR_INTERRUPTS();
		if (group_id == 0)
			lanes = first_in_lanes(b, c, q->queue_id, next_due);
		switch (permits_begin_look(q, group_id, lanes, c->max - c->count, &look))
		{
			case TURN_LINE:
				claim_line(b, c, &look);
				break;
			case TURN_LANES:
				claim_one_of_lanes(b, c, q->queue_id, next_due);
				break;
			case TURN_LIMITS:
				limits_read_group(q, look.group_id);
				break;
			case TURN_NOBODY:
				return;
		}
	}
}

/* Tasks of groups in which this transaction has ended attempts: their permits go on. */
static void
claim_handed(Backlog *b, FlowQueue *q, Claiming *c)
{
	int cursor = 0;
	LineLook look;
	Turn turn;

	while (c->count < c->max &&
		   (turn = permits_begin_handed(q, &cursor, &look)) != TURN_NOBODY)
	{
		CHECK_FOR_INTERRUPTS();
		if (turn == TURN_LIMITS)
			limits_read_group(q, look.group_id);
		else
		{
			claim_line(b, c, &look);
			cursor++;
		}
	}
}

static void
claim_of_queue(Backlog *b, FlowQueue *q, int64 group_id, Claiming *c, TimestampTz *next_due)
{
	OwnTasks *own = group_id == 0 ? dispatch_own(q->queue_id) : NULL;
	TimestampTz lines_due;

	limits_place_kept(q);
	(void) listing_read_on(q, b);
	if (own != NULL)
		claim_with_own(b, own, c, next_due);
	/* Without groups there are no turns, and tasks are claimed together. */
	if (groups_any(q))
	{
		do
		{
			claim_of_lines(b, q, group_id, c, next_due);
		} while (c->count < c->max && listing_read_on(q, b));
	}
	if (c->count < c->max && own == NULL && group_id == 0)
		claim_candidates(b, q->queue_id, c, next_due);
	if (c->count < c->max && group_id == 0)
		claim_handed(b, q, c);
	lines_due = groups_next_due(q, c->now);
	*next_due = Min(*next_due, lines_due);
}

/* ---- queues -------------------------------------------------------------------------- */

/* The bucket of a queue that takes long to fill is as the newest mark says. */
static QueueLimit
limit_with_mark(const Queue *queue, FlowQueue *q)
{
	QueueLimit limit = limits_of_queue(queue);

	if (limits_leave_marks(&limit.rate) && q->rate.interval_ns == 0)
		limit.tat = limits_newest_mark(queue->id, 0);
	return limit;
}

static void
claim_with_permits(Backlog *b, const Queue *queue, FlowQueue *q, int64 group_id, Claiming *c,
				   TimestampTz *next_due)
{
	QueueLimit limit = limit_with_mark(queue, q);
	int32 queue_id = queue->id;
	int before = c->count;
	int max = c->max;

	if (!running_is_known(q))
	{
		*next_due = c->now + LOOK_AGAIN_US;
		return;
	}
	durability_require();
	c->max = before + permits_take(q, &limit, max - before, next_due);
	c->permitted = true;
	if (c->max > before)
		claim_of_queue(b, q, group_id, c, next_due);
	permits_give_back(q, &limit, c->max - c->count);
	if (c->count > before && limits_leave_marks(&limit.rate))
		limits_mark(queue_id, 0, permits_tat(q));
	if (c->count == c->max && c->count > before && c->count < max)
		*next_due = permits_open(q, &limit, c->now);
	c->max = max;
	c->permitted = false;
}

void
claim_in_turns(Backlog *b, const Queue *queue, int64 group_id, Claiming *c, TimestampTz *next_due)
{
	FlowQueue *q = flow_make(queue->id);

	if (q == NULL)
	{
		claim_alone(b, queue, group_id, c, next_due);
		return;
	}
	q->push = queue->push || queue->call;
	heed_sweep(q);
	if (limits_exist(queue))
		claim_with_permits(b, queue, q, group_id, c, next_due);
	else
		claim_of_queue(b, q, group_id, c, next_due);
}

/* ---- looks --------------------------------------------------------------------------- */

TimestampTz
turns_open(const Queue *queue, TimestampTz now)
{
	FlowQueue *q = flow_make(queue->id);
	QueueLimit limit;

	if (!limits_exist(queue))
		return now;
	if (q == NULL)
		return alone_opens(queue, now);
	limit = limit_with_mark(queue, q);
	return permits_open(q, &limit, now);
}

static bool
lines_are_due(Backlog *b, FlowQueue *q, TimestampTz now, TimestampTz *next_due)
{
	TimestampTz lines_due;

	limits_place_kept(q);
	do
	{
		if (groups_ready(q))
			return true;
	} while (listing_read_on(q, b));
	lines_due = groups_next_due(q, now);
	*next_due = Min(*next_due, lines_due);
	return false;
}

bool
turns_are_due(Backlog *b, const Queue *queue, TimestampTz now, TimestampTz *next_due)
{
	FlowQueue *q = flow_make(queue->id);
	int32 queue_id = queue->id;

	if (q != NULL)
		heed_sweep(q);
	*next_due = turns_open(queue, now);
	if (*next_due > now)
		return false;
	if (q == NULL)
		return dispatch_look(b, queue_id, now, next_due) ||
			   alone_is_due(b, queue, now, next_due);
	return dispatch_look(b, queue_id, now, next_due) || lines_are_due(b, q, now, next_due);
}

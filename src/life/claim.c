/*
 * claim.c
 *		A claim under way: holds tasks, and gives leases for those that it holds.
 *
 * pending.c knows whether a task can be claimed.  A claim holds the task and inserts its lease,
 * and writes nothing else.  Another claimer of the same task finds the lock or the lease, and
 * goes on to the next task.
 *
 * A claim that uses a task's last attempt commits durably.  So a task with max_attempts => 1
 * never starts twice, whatever crashes.
 */
#include "postgres.h"

#include "base/arg.h"
#include "base/durability.h"
#include "hints/counts.h"
#include "hints/dispatch.h"
#include "hints/permits.h"
#include "life/claim.h"
#include "life/events.h"
#include "life/expire.h"
#include "life/lease.h"
#include "life/pending.h"
#include "tables/backlog.h"
#include "tables/rows.h"
#include "tables/token.h"

/* Of a row that was changed by hand. */
#define MAX_TIMEOUT_US (36525 * US_PER_DAY)
#define MAX_LATE       64 /* tasks that one claim lets expire */

/* Until when heartbeats may extend the lease: started + timeout, if the task has one. */
static TimestampTz
deadline_of(const Claiming *c, const Row *task)
{
	int64 timeout_us;

	if (c->push || task->nulls[TASK_TIMEOUT])
		return DT_NOEND;
	timeout_us = interval_us(DatumGetIntervalP(task->values[TASK_TIMEOUT]));
	return c->now + Min(timeout_us, MAX_TIMEOUT_US);
}

static void
fill_lease(Row *lease, const Claiming *c, const Row *task)
{
	TimestampTz deadline = deadline_of(c, task);

	row_init(lease);
	row_set(lease, LEASE_ID, task->values[TASK_ID]);
	row_set(lease, LEASE_TOKEN, Int64GetDatum(token_next()));
	row_set(lease, LEASE_STARTED_AT, TimestampTzGetDatum(c->now));
	row_set(lease, LEASE_UNTIL, TimestampTzGetDatum(Min(c->now + c->lease_us, deadline)));
	row_set(lease, LEASE_QUEUE_ID, task->values[TASK_QUEUE_ID]);
	row_set(lease, LEASE_ATTEMPT,
			Int32GetDatum(Min(ROW_INT32(task, TASK_ATTEMPT), PG_INT32_MAX - 1) + 1));
	row_set(lease, LEASE_CANCEL_REQUESTED, BoolGetDatum(false));
	if (deadline != DT_NOEND)
		row_set(lease, LEASE_DEADLINE, TimestampTzGetDatum(deadline));
	row_set_text(lease, LEASE_WORKER, c->worker);
	lease->values[LEASE_GROUP_ID] = task->values[TASK_GROUP_ID];
	lease->nulls[LEASE_GROUP_ID] = task->nulls[TASK_GROUP_ID];
}

/*
 * Tasks that are too late to start end after the claim, because a task whose end fails becomes
 * a candidate again, and this claim would take it again and again.  At most MAX_LATE tasks end
 * here; the others are left to expire.c.
 */
static void
note_late(Claiming *c, const Row *task)
{
	if (c->late == NULL)
		c->late = palloc_array(Row, MAX_LATE);
	if (c->nlate < MAX_LATE)
		c->late[c->nlate++] = *task;
}

/* Whether the attempt that begins with this lease is the last one that the task has. */
static bool
is_last_attempt(const Row *lease, const Row *task)
{
	return ROW_INT32(lease, LEASE_ATTEMPT) >= ROW_INT32(task, TASK_MAX_ATTEMPTS);
}

static void
tell_started(Row **leases, int n)
{
	const Queue *queue = n > 0 ? queue_by_id(ROW_INT32(leases[0], LEASE_QUEUE_ID)) : NULL;

	for (int i = 0; i < n; i++)
		event_started(leases[i], queue);
}

/*
 * Claims the held tasks, which stand in claims[] after the claimed ones, except those that are too
 * late to start, and ends their holds.
 */
void
claim_held(Backlog *b, Claiming *c, int held)
{
	Row *leases[MAX_TAKEN];
	int64 ids[MAX_TAKEN];
	int n = 0;

	for (int i = 0; i < held; i++)
	{
		Claim *claim = &c->claims[c->count + n];
		Row task = c->claims[c->count + i].task;

		ids[i] = ROW_INT64(&task, TASK_ID);
		if (task_start_expired(&task, c->now))
		{
			note_late(c, &task);
			continue;
		}
		claim->task = task;
		fill_lease(&claim->lease, c, &task);
		if (is_last_attempt(&claim->lease, &task))
			durability_require();
		leases[n++] = &claim->lease;
	}
	if (n > 0 && !c->permitted)
		permits_count(ROW_INT32(leases[0], LEASE_QUEUE_ID), n);
	lease_give(&b->lease, leases, n);
	for (int i = 0; i < held; i++)
		pending_let_go(b, ids[i]);
	tell_started(leases, n);
	if (n > 0)
		counts_pending(ROW_INT32(leases[0], LEASE_QUEUE_ID), -n);
	c->count += n;
}

/* Whether this session holds the task already: dispatch.c may return a candidate twice. */
static bool
is_held(const Claiming *c, int held, int64 id)
{
	for (int i = 0; i < held; i++)
	{
		if (ROW_INT64(&c->claims[c->count + i].task, TASK_ID) == id)
			return true;
	}
	return false;
}

/*
 * Holds the candidates and claims them together.  If another session holds one of them, this
 * session waits for it, but only after it has claimed, and so released, those that it holds.
 */
void
claim_taken(Backlog *b, int32 queue_id, Claiming *c, const Candidate *taken, int n)
{
	int held = 0;

	for (int i = 0; i < n; i++)
	{
		RowResult result = ROW_GONE;

		if (!is_held(c, held, taken[i].id))
			result = pending_hold(b, &taken[i], held == 0, &c->claims[c->count + held].task);
		if (result == ROW_BUSY)
		{
			claim_held(b, c, held);
			held = 0;
			result = pending_hold(b, &taken[i], true, &c->claims[c->count].task);
		}
		if (result == ROW_DONE)
			held++;
		else
			dispatch_not_taken(queue_id, &taken[i]);
	}
	claim_held(b, c, held);
}

void
claim_candidates(Backlog *b, int32 queue_id, Claiming *c, TimestampTz *next_due)
{
	Candidate taken[MAX_TAKEN];
	int n = 1;

	while (c->count < c->max && n > 0)
	{
		n = dispatch_take(b, queue_id, c->now, taken, Min(c->max - c->count, MAX_TAKEN),
						  next_due);
		claim_taken(b, queue_id, c, taken, n);
	}
}

/* Claims a task that this transaction has made pending. */
static void
claim_own(Backlog *b, int32 queue_id, Claiming *c, const Candidate *own)
{
	if (pending_hold(b, own, true, &c->claims[c->count].task) != ROW_DONE)
		return;
	dispatch_taken(b->task.heap, queue_id, own);
	claim_held(b, c, 1);
}

/*
 * Claims tasks that this transaction has made pending, which no other session sees, and those of
 * other sessions, in their common order.
 */
void
claim_with_own(Backlog *b, OwnTasks *own, Claiming *c, TimestampTz *next_due)
{
	OwnWalk walk;
	TimestampTz own_due;
	bool anew = false;

	own_walk_begin(&walk, b, own, c->now);
	while (c->count < c->max)
	{
		Candidate mine;
		Candidate other;
		bool any = own_walk_first(&walk, &mine);

		if (dispatch_look_beside_own(b, own->queue_id, c->now, &other, next_due) &&
			(!any || candidate_before(&other, &mine)))
		{
			int n = dispatch_take(b, own->queue_id, c->now, &other, 1, next_due);

			claim_taken(b, own->queue_id, c, &other, n);
		}
		else if (any)
		{
			own_walk_pass(&walk);
			claim_own(b, own->queue_id, c, &mine);
		}
		else if (c->count == 0 && !anew && own_begin_anew(own))
		{
			anew = true;
			(void) own_walk_end(&walk);
			own_walk_begin(&walk, b, own, c->now);
		}
		else
			break;
	}
	own_due = own_walk_end(&walk);
	*next_due = Min(*next_due, own_due);
}

/*
 * alone.c
 *		Claims tasks of a queue that has limits or groups, without shared memory.
 *
 * This is for servers that have not preloaded the library, and for queues for which shared memory
 * has no place.  Only one transaction at a time claims from a queue with limits or order: the
 * others get no task meanwhile.  It counts the leases, and each start of a rate leaves a mark.
 * An end that has not been committed still counts, so the limits are exact here, too.
 *
 * Groups have their turns by their numbers: a session begins behind the group from which it has
 * claimed last.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/arg.h"
#include "base/durability.h"
#include "base/locks.h"
#include "core/clock.h"
#include "hints/dispatch.h"
#include "life/alone.h"
#include "life/limits.h"
#include "life/line.h"
#include "tables/group_scan.h"

#define LOOK_AGAIN_US (50 * US_PER_MS) /* when another session claims from the queue */

/* The leases of the queue, by group; 0 stands for all. */
typedef struct Running
{
	int32 queue_id;
	HTAB *groups;
} Running;

typedef struct Alone
{
	Backlog *b;
	const Queue *queue;
	int32 queue_id;
	Claiming *c;
	bool limited;
	Running running;
	TimestampTz *next_due;
} Alone;

/* The group from which this session has claimed last, and its queue. */
static int32 last_queue = 0;
static int64 last_group = 0;

/* ---- what runs ----------------------------------------------------------------------- */

static int32 *
running_in(Running *running, int64 group_id)
{
	bool found;
	GroupCount *group = hash_search(running->groups, &group_id, HASH_ENTER, &found);

	if (!found)
		group->running = 0;
	return &group->running;
}

static void
count_lease(const Row *lease, void *arg)
{
	Running *running = arg;

	if (ROW_INT32(lease, LEASE_QUEUE_ID) != running->queue_id)
		return;
	(*running_in(running, 0))++;
	if (!lease->nulls[LEASE_GROUP_ID])
		(*running_in(running, ROW_INT64(lease, LEASE_GROUP_ID)))++;
}

static void
count_running(Running *running, int32 queue_id)
{
	HASHCTL how = {
		.keysize = sizeof(int64),
		.entrysize = sizeof(GroupCount),
		.hcxt = CurrentMemoryContext,
	};

	running->queue_id = queue_id;
	running->groups =
		hash_create("taskq groups", 64, &how, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	row_for_each(HOT_LEASE, count_lease, running);
}

/* ---- limits -------------------------------------------------------------------------- */

/* How many tasks may start, at most max; *tat is the state of the bucket before that. */
static int
room(Alone *a, int64 group_id, int32 max_running, const tq_gcra_limit *rate, int max, int64 *tat)
{
	if (max_running != NO_LIMIT)
		max = Min(max, Max(max_running - *running_in(&a->running, group_id), 0));
	if (max == 0 || rate->interval_ns == 0)
		return max;
	*tat = limits_newest_mark(a->queue_id, group_id);
	max = tq_gcra_room(*tat, rate, max, tq_clock_ns());
	if (max == 0)
	{
		TimestampTz opens =
			a->c->now + (tq_gcra_opens(*tat, rate) - tq_clock_ns()) / 1000 + 1;

		*a->next_due = Min(*a->next_due, opens);
	}
	return max;
}

static void
note_started(Alone *a, int64 group_id, const tq_gcra_limit *rate, int count, int64 tat)
{
	if (count == 0)
		return;
	*running_in(&a->running, group_id) += count;
	if (rate->interval_ns > 0)
		limits_mark(a->queue_id, group_id, tq_gcra_take(tat, rate, count, tq_clock_ns()));
}

/* ---- groups -------------------------------------------------------------------------- */

/* The first group of the queue behind this one; false: there is none. */
static bool
next_group(Alone *a, int64 behind, int64 *group_id)
{
	GroupPlace place = behind == PG_INT64_MIN ? GROUP_PLACE_START : GROUP_PLACE_BEHIND(behind);
	GroupScan scan;
	Candidate c;
	bool found;

	group_scan_open(&scan, a->b);
	group_scan_begin(&scan, a->queue_id, &place);
	found = group_scan_next(&scan, &place, &c);
	group_scan_close(&scan);
	*group_id = place.group_id;
	return found;
}

/* Claims up to max tasks of the group, by priority. */
static int
claim_lines(Alone *a, int64 group_id, bool ordered, int max)
{
	GroupPlace place = GROUP_PLACE_BEHIND(group_id - 1);
	GroupScan scan;
	Candidate c;
	int taken = 0;

	group_scan_open(&scan, a->b);
	for (;;)
	{
		LineSeen seen;

		CHECK_FOR_INTERRUPTS();
		group_scan_begin(&scan, a->queue_id, &place);
		if (taken == max || !group_scan_next(&scan, &place, &c) || place.group_id != group_id)
			break;
		place.run_at = DT_NOBEGIN;
		place.id = PG_INT64_MIN;
		line_claim(a->b, a->c, a->queue_id, &place, ordered, max - taken, &seen);
		taken += seen.taken;
		*a->next_due = Min(*a->next_due, seen.next_due);
		place.run_at = DT_NOEND;
		place.id = PG_INT64_MAX;
	}
	group_scan_close(&scan);
	return taken;
}

static int
claim_of_group(Alone *a, int64 group_id, int max)
{
	GroupLimits limits = limits_of_group(a->queue, group_id);
	int32 most = limits.max_running;
	int64 tat = 0;
	int taken = 0;

	if (limits.ordered)
		most = most == NO_LIMIT ? 1 : Min(most, 1);
	if (a->limited)
		max = room(a, group_id, most, &limits.rate, max, &tat);
	if (max > 0)
		taken = claim_lines(a, group_id, limits.ordered, max);
	if (a->limited)
		note_started(a, group_id, &limits.rate, taken, tat);
	if (taken > 0)
		last_group = group_id;
	return taken;
}

/* One task of each group, once around from behind this one; false: no group has one. */
static bool
claim_once_around(Alone *a, int64 begin)
{
	int64 at = begin;
	bool again = false;
	bool any = false;

	while (a->c->count < a->c->max)
	{
		CHECK_FOR_INTERRUPTS();
		if (next_group(a, at, &at))
		{
			if (again && at > begin)
				break;
			any |= claim_of_group(a, at, 1) > 0;
		}
		else if (again || begin == PG_INT64_MIN)
			break;
		else
		{
			again = true;
			at = PG_INT64_MIN;
		}
	}
	return any;
}

static void
claim_of_groups(Alone *a)
{
	int64 begin = last_queue == a->queue_id ? last_group : PG_INT64_MIN;

	while (a->c->count < a->c->max && claim_once_around(a, begin))
		begin = last_group;
	last_queue = a->queue_id;
}

/* ---- the queue ----------------------------------------------------------------------- */

static void
claim_of_queue(Alone *a, int64 group_id)
{
	OwnTasks *own = dispatch_own(a->queue_id);
	static bool groups_first = false;

	if (group_id != 0)
	{
		(void) claim_of_group(a, group_id, a->c->max - a->c->count);
		return;
	}
	groups_first = !groups_first;
	if (groups_first && own == NULL)
		claim_of_groups(a);
	if (a->c->count < a->c->max && own != NULL)
		claim_with_own(a->b, own, a->c, a->next_due);
	else if (a->c->count < a->c->max)
		claim_candidates(a->b, a->queue_id, a->c, a->next_due);
	if (!groups_first && a->c->count < a->c->max)
		claim_of_groups(a);
}

/* The lock stays until the transaction ends.  False: another session has it. */
static bool
lock_claims(int32 queue_id)
{
	LOCKTAG tag = lock_tag(LOCK_CLAIM, MyDatabaseId, queue_id);

	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

static void
claim_limited(Alone *a, int64 group_id)
{
	QueueLimit limit = limits_of_queue(a->queue);
	int before = a->c->count;
	int max = a->c->max;
	int64 tat = 0;

	if (!lock_claims(a->queue_id))
	{
		*a->next_due = a->c->now + LOOK_AGAIN_US;
		return;
	}
	durability_require();
	count_running(&a->running, a->queue_id);
	a->c->max = before + room(a, 0, limit.max_running, &limit.rate, max - before, &tat);
	if (a->c->max > before)
		claim_of_queue(a, group_id);
	note_started(a, 0, &limit.rate, a->c->count - before, tat);
	a->c->max = max;
}

void
claim_alone(Backlog *b, const Queue *queue, int64 group_id, Claiming *c, TimestampTz *next_due)
{
	Alone a = {
		.b = b,
		.queue = queue,
		.queue_id = queue->id,
		.c = c,
		.limited = limits_exist(queue),
		.next_due = next_due,
	};

	if (a.limited)
		claim_limited(&a, group_id);
	else
		claim_of_queue(&a, group_id);
}

/* ---- states -------------------------------------------------------------------------- */

static bool
note_due(Backlog *b, const Candidate *c, void *arg)
{
	TimestampTz *due = arg;

	*due = Min(*due, c->run_at);
	return true;
}

/* When the first task of the group that waits is due. */
static TimestampTz
due_of_group(Alone *a, int64 group_id)
{
	TimestampTz due = DT_NOEND;
	TimestampTz next = group_walk(a->b, a->queue_id, group_id, a->c->now, note_due, &due);

	return Min(due, next);
}

static KnownGroup
state_of_group(Alone *a, int64 group_id)
{
	GroupLimits limits = limits_of_group(a->queue, group_id);
	KnownGroup s = {
		.group_id = group_id,
		.running = *running_in(&a->running, group_id),
		.max_running = limits.ordered ? 1 : limits.max_running,
		.ordered = limits.ordered,
		.due = due_of_group(a, group_id),
		.opens = DT_NOBEGIN,
	};

	if (limits.rate.interval_ns > 0)
	{
		int64 tat = limits_newest_mark(a->queue_id, group_id);

		s.opens = a->c->now + (tq_gcra_opens(tat, &limits.rate) - tq_clock_ns()) / 1000 + 1;
	}
	return s;
}

KnownGroup *
alone_states(Backlog *b, const Queue *queue, int64 group_id, int *count)
{
	Claiming now = {.now = GetCurrentTimestamp()};
	Alone a = {.b = b, .queue = queue, .queue_id = queue->id, .c = &now};
	int room = 64;
	KnownGroup *states = palloc_array(KnownGroup, room);
	int64 at = group_id != 0 ? group_id - 1 : PG_INT64_MIN;

	*count = 0;
	count_running(&a.running, a.queue_id);
	while (next_group(&a, at, &at) && (group_id == 0 || at == group_id))
	{
		CHECK_FOR_INTERRUPTS();
		if (*count == room)
			states = repalloc_huge(states, mul_size(room *= 2, sizeof(KnownGroup)));
		states[*count] = state_of_group(&a, at);
		if (states[*count].due != DT_NOEND || states[*count].running > 0)
			(*count)++;
	}
	return states;
}

/* ---- looks --------------------------------------------------------------------------- */

TimestampTz
alone_opens(const Queue *queue, TimestampTz now)
{
	QueueLimit limit = limits_of_queue(queue);
	Running running;
	int64 opens_ns;

	count_running(&running, queue->id);
	if (limit.max_running != NO_LIMIT && *running_in(&running, 0) >= limit.max_running)
		return DT_NOEND;
	if (limit.rate.interval_ns == 0)
		return now;
	opens_ns = tq_gcra_opens(limits_newest_mark(queue->id, 0), &limit.rate);
	return opens_ns <= tq_clock_ns() ? now : now + (opens_ns - tq_clock_ns()) / 1000 + 1;
}

/* When a task of the group may start: now, later, or DT_NOEND. */
static TimestampTz
when_possible(const KnownGroup *s, TimestampTz now)
{
	if (s->max_running != NO_LIMIT && s->running >= s->max_running)
		return DT_NOEND;
	return Max(Max(s->due, s->opens), now);
}

bool
alone_is_due(Backlog *b, const Queue *queue, TimestampTz now, TimestampTz *next_due)
{
	int count;
	KnownGroup *states = alone_states(b, queue, 0, &count);

	for (int i = 0; i < count; i++)
	{
		TimestampTz when = when_possible(&states[i], now);

		if (when <= now)
			return true;
		*next_due = Min(*next_due, when);
	}
	return false;
}

/*
 * due.c
 *		Finds due tasks without claiming them.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/database.h"
#include "hints/dispatch.h"
#include "hints/idle.h"
#include "hints/wakeup.h"
#include "life/due.h"
#include "life/turns.h"
#include "tables/backlog.h"
#include "tables/group_scan.h"
#include "tables/queue.h"

/* The result of task_count_due(). */
typedef struct DueCount
{
	int count;
	int max;
	TimestampTz oldest;
} DueCount;

static bool
count_due(Backlog *b, const Candidate *c, void *arg)
{
	DueCount *due = arg;

	due->count++;
	due->oldest = Min(due->oldest, c->run_at);
	return due->count < due->max;
}

/* Counts up to max. */
static int
count_up_to(Backlog *b, int32 queue_id, TimestampTz now, int max, TimestampTz *oldest)
{
	DueCount due = {.max = max, .oldest = DT_NOEND};

	due.count = dispatch_count_due(b, queue_id, now, max, &due.oldest);
	if (due.count < 0)
	{
		due.count = 0;
		(void) backlog_walk(b, queue_id, now, count_due, &due);
	}
	if (due.count < max)
		(void) group_walk(b, queue_id, 0, now, count_due, &due);
	*oldest = due.oldest;
	return due.count;
}

int
task_count_due(Backlog *b, int32 queue_id, TimestampTz now, TimestampTz *oldest)
{
	return count_up_to(b, queue_id, now, MAX_COUNT_DUE, oldest);
}

#define MAX_LATER 1000

/* Whether a task of the queue has a group.  Most queues have no entry of such a task. */
static bool
has_groups(Backlog *b, int32 queue_id, TimestampTz now)
{
	TimestampTz due = DT_NOEND;

	group_survey(b, &queue_id, 1, now, &due);
	return due <= now && group_exists(b, queue_id);
}

int
task_gauge_due(LaneLook *look, int32 queue_id, TimestampTz now, int64 pending,
			   TimestampTz *oldest)
{
	int later;

	if (has_groups(look->b, queue_id, now))
		return count_up_to(look->b, queue_id, now, FEW_DUE, oldest);
	*oldest = dispatch_oldest(look, queue_id, now, MAX_LATER, &later);
	if (*oldest == DT_NOEND)
		return 0;
	if (later == MAX_LATER)
		return count_up_to(look->b, queue_id, now, FEW_DUE, oldest);
	/* The one that was found is due, whatever the other two numbers say. */
	return Max(Min(pending - later, MAX_COUNT_DUE), 1);
}

int
first_in_turn(const int32 *ids, int count, int32 last)
{
	int first = 0;

	while (first < count && ids[first] <= last)
		first++;
	return first < count ? first : 0;
}

#define FEW_QUEUES 8 /* so many queues are cheaper to look at one by one */

static int
count_unknown(const TimestampTz *due, int count)
{
	int unknown = 0;

	for (int i = 0; i < count; i++)
		unknown += due[i] == DT_NOBEGIN;
	return unknown;
}

/* Looks at all queues about which nothing is known, in one pass over the index. */
static void
survey_unknown(const int32 *ids, int count, TimestampTz now, TimestampTz *due)
{
	int *unknown = palloc_array(int, count);
	int32 *its_id = palloc_array(int32, count);
	uint32 *begun = palloc_array(uint32, count);
	TimestampTz *found = palloc_array(TimestampTz, count);
	Backlog b;
	int n = 0;

	for (int i = 0; i < count; i++)
	{
		if (due[i] != DT_NOBEGIN)
			continue;
		unknown[n] = i;
		its_id[n] = ids[i];
		begun[n++] = idle_begin(ids[i]);
	}
	backlog_open(&b);
	backlog_survey(&b, its_id, n, now, found);
	group_survey(&b, its_id, n, now, found);
	backlog_close(&b);
	for (int i = 0; i < n; i++)
	{
		due[unknown[i]] = found[i];
		if (found[i] > now)
			idle_remember(its_id[i], begun[i], found[i]);
	}
}

TimestampTz *
tasks_survey(const int32 *ids, int count, TimestampTz now)
{
	TimestampTz *due = palloc_array(TimestampTz, count);

	idle_read(ids, count, due);
	if (idle_is_possible() && count_unknown(due, count) > FEW_QUEUES)
		survey_unknown(ids, count, now, due);
	for (int i = 0; i < count && dispatch_has_any_own(); i++)
	{
		if (due[i] > now && dispatch_has_own(ids[i]))
			due[i] = now;
	}
	return due;
}

void
remember_idle(const Queue *queue, uint32 begun, TimestampTz now, TimestampTz next_due)
{
	if (turns_open(queue, now) <= now)
		idle_remember(queue->id, begun, next_due);
}

bool
task_is_due(const Queue *queue, TimestampTz now, TimestampTz *next_due)
{
	uint32 begun = idle_begin(queue->id);
	Backlog b;
	bool due;

	*next_due = DT_NOEND;
	if (queue->paused)
		return false;
	backlog_open(&b);
	if (turns_matter(queue))
		due = turns_are_due(&b, queue, now, next_due);
	else
		due = dispatch_look(&b, queue->id, now, next_due);
	backlog_close(&b);
	if (!due)
		remember_idle(queue, begun, now, *next_due);
	return due;
}

/* Finds out when a task of the queue becomes due: for the timers of an executor that starts. */
PG_FUNCTION_INFO_V1(taskq_look_ahead);
Datum
taskq_look_ahead(PG_FUNCTION_ARGS)
{
	const Queue *queue = queue_by_id(PG_GETARG_INT32(0));
	TimestampTz next_due;

	if (queue != NULL && task_is_due(queue, GetCurrentTimestamp(), &next_due) &&
		(!queue->push || queue->external) && !queue->call)
		wakeup_arrival_at_commit(queue->id);
	wakeup_at_commit(WANT_TIMERS);
	PG_RETURN_VOID();
}

/*
 * due.c
 *		Which tasks are due, without taking them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/database.h"
#include "hints/dispatch.h"
#include "hints/wakeup.h"
#include "life/due.h"
#include "tables/backlog.h"
#include "tables/queue.h"

/* What task_count_due() finds out. */
typedef struct DueCount
{
	int count;
	TimestampTz oldest;
} DueCount;

static bool
count_due(Backlog *b, const Candidate *c, void *arg)
{
	DueCount *due = arg;

	due->count++;
	due->oldest = Min(due->oldest, c->run_at);
	return due->count < MAX_COUNT_DUE;
}

int
task_count_due(int32 queue_id, TimestampTz now, TimestampTz *oldest)
{
	DueCount due = {.oldest = DT_NOEND};
	Backlog b;

	backlog_open(&b);
	due.count = dispatch_count_due(&b, queue_id, now, MAX_COUNT_DUE, &due.oldest);
	if (due.count < 0)
	{
		due.count = 0;
		(void) backlog_walk(&b, queue_id, now, count_due, &due);
	}
	backlog_close(&b);
	*oldest = due.oldest;
	return due.count;
}

bool
task_is_due(const Queue *queue, TimestampTz now, TimestampTz *next_due)
{
	Backlog b;
	bool due;

	*next_due = DT_NOEND;
	if (queue->paused)
		return false;
	backlog_open(&b);
	due = dispatch_look(&b, queue->id, now, next_due);
	backlog_close(&b);
	return due;
}

/* What becomes due when, of all queues: for the timers of an executor that has just started. */
PG_FUNCTION_INFO_V1(taskq_look_ahead);
Datum
taskq_look_ahead(PG_FUNCTION_ARGS)
{
	const Queue *queue = queue_by_id(PG_GETARG_INT32(0));
	TimestampTz next_due;

	if (queue != NULL && task_is_due(queue, GetCurrentTimestamp(), &next_due) &&
		(!queue->push || queue->external))
		wakeup_arrival_at_commit(queue->id);
	wakeup_at_commit(WANT_TIMERS);
	PG_RETURN_VOID();
}

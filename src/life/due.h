/*
 * due.h
 *		Which tasks are due, without taking them.
 */
#ifndef TASKQ_DUE_H
#define TASKQ_DUE_H

#include "tables/queue.h"

#define MAX_COUNT_DUE 10000

/* How many tasks of the queue are due, MAX_COUNT_DUE for more; *oldest: since when, DT_NOEND. */
extern int task_count_due(int32 queue_id, TimestampTz now, TimestampTz *oldest);

/*
 * A cheap look at many queues, whose ids ascend.  For each: no task of it is due before that
 * time, DT_NOEND if none is known to come.  At or before "now": task_is_due() must tell.  palloc'd.
 */
extern TimestampTz *tasks_survey(const int32 *ids, int count, TimestampTz now);

/* Whether a task of the queue could be claimed now; if not, *next_due is when, DT_NOEND. */
extern bool task_is_due(const Queue *queue, TimestampTz now, TimestampTz *next_due);

#endif

/*
 * due.h
 *		Finds due tasks without claiming them.
 */
#ifndef TASKQ_DUE_H
#define TASKQ_DUE_H

#include "tables/backlog.h"
#include "tables/queue.h"
#include "utils/timestamp.h"

#define MAX_COUNT_DUE 10000

/*
 * Returns the number of due tasks of the queue, at most MAX_COUNT_DUE; *oldest is the run_at of the
 * first of them, DT_NOEND if there is none.
 */
extern int task_count_due(Backlog *b, int32 queue_id, TimestampTz now, TimestampTz *oldest);

/*
 * The same at a cost that does not grow with the number of due tasks.  pending: how many tasks of
 * the queue are pending.  It counts those that are scheduled for later and subtracts them; only if
 * these are many, or if tasks have groups, due ones are counted, and up to FEW_DUE.
 */
#define FEW_DUE 1000
extern int task_gauge_due(LaneLook *look, int32 queue_id, TimestampTz now, int64 pending,
						  TimestampTz *oldest);

/*
 * Looks at many queues, whose ids ascend, at a low cost.  Returns for each queue a time before
 * which none of its tasks is due, DT_NOEND if no task is known to become due.  If that time is not
 * after "now", the caller must ask task_is_due().  palloc'd.
 */
extern TimestampTz *tasks_survey(const int32 *ids, int count, TimestampTz now);

/* The place of the first of these ids, which ascend, behind "last"; 0 if there is none. */
extern int first_in_turn(const int32 *ids, int count, int32 last);

/* Whether a task of the queue can be claimed now; if not, *next_due is when, DT_NOEND: unknown. */
extern bool task_is_due(const Queue *queue, TimestampTz now, TimestampTz *next_due);

/*
 * A look at the queue that began at this count of idle.c has found nothing that is due before
 * next_due.  It is remembered, unless the limit of the queue keeps tasks that are due.
 */
extern void remember_idle(const Queue *queue, uint32 begun, TimestampTz now, TimestampTz next_due);

#endif

/*
 * acquire.h
 *		How an attempt begins: one claim for pull and push tasks.
 */
#ifndef TASKQ_ACQUIRE_H
#define TASKQ_ACQUIRE_H

#include "fmgr.h"
#include "tables/queue.h"
#include "tables/rows.h"

typedef struct Claim
{
	Row task;
	Row lease;
} Claim;

/*
 * Claims up to max due tasks of the queue for worker (text or NULL) into
 * claims[]; returns how many.  *next_due: when the next one will be due, if that is known.
 */
extern int task_claim(const Queue *queue, int max, int64 lease_us, text *worker,
					  Claim *claims, TimestampTz *next_due);

/*
 * The queue that the first argument names: TQ005 for a push queue, TQ009 where the
 * transaction keeps its snapshot.
 */
extern const Queue *queue_to_acquire(FunctionCallInfo fcinfo);

/* Returns the rows of acquire(); max_tasks, lease_for and worker are arguments n to n + 2. */
extern void acquire_into(FunctionCallInfo fcinfo, const Queue *queue, int n);

#endif

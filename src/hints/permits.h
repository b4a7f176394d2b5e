/*
 * permits.h
 *		What open transactions do to the numbers of running tasks.
 */
#ifndef TASKQ_PERMITS_H
#define TASKQ_PERMITS_H

#include "hints/groups.h"

/* The limit of a queue. */
typedef struct QueueLimit
{
	int32 max_running; /* NO_LIMIT: none */
	tq_gcra_limit rate;
	int64 tat; /* of its bucket, if it takes long to fill and shared memory does not know it */
} QueueLimit;

/* This transaction gives leases of a queue that has no limit. */
extern void permits_count(int32 queue_id, int count);

/*
 * Takes permits and starts for at most max claims of a queue that has a limit; returns how many.
 * The queue must have been counted.  What this transaction has ended makes room as well.
 * 0: *opens is when the rate allows the next start, DT_NOEND: when an attempt ends.
 */
extern int permits_take(FlowQueue *q, const QueueLimit *limit, int max, TimestampTz *opens);

/* Gives back those of them that were not used. */
extern void permits_give_back(FlowQueue *q, const QueueLimit *limit, int count);

/* The state of the queue's bucket. */
extern int64 permits_tat(FlowQueue *q);

/* When the limit allows another claim: now, later, or DT_NOEND: when an attempt ends. */
extern TimestampTz permits_open(FlowQueue *q, const QueueLimit *limit, TimestampTz now);

/* This transaction has deleted a lease.  group_id: 0 if the task has no group. */
extern void permits_ended(int32 queue_id, int64 group_id);

/* As groups_begin() and groups_end(), with notes for the end of the transaction. */
extern Turn permits_begin_look(FlowQueue *q, int64 group_id, int16 lanes, int max, LineLook *look);
extern void permits_end_look(const LineLook *look, const LineSeen *seen);

/*
 * The same for a group of which this transaction has ended attempts, whose permits can be handed
 * on; *cursor is 0 at first.  TURN_NOBODY: there is no such group any more.
 */
extern Turn permits_begin_handed(FlowQueue *q, int *cursor, LineLook *look);

#endif

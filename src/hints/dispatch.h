/*
 * dispatch.h
 *		Where a queue's next tasks are: remembered positions and candidates.
 *
 * All of it is a hint: whether a candidate can be claimed is for pending.c to
 * say, and a candidate that is lost costs a look at the index.  What must hold is that
 * every committed, due task has one: see dispatch.c.
 */
#ifndef TASKQ_DISPATCH_H
#define TASKQ_DISPATCH_H

#include "tables/backlog.h"

/* A task has become pending: it becomes a candidate when the transaction commits. */
extern void dispatch_inserted(Relation tasks, int32 queue_id, const Candidate *candidate);

/* A candidate is taken: it becomes one again when that is rolled back. */
extern void dispatch_taken(Relation tasks, int32 queue_id, const Candidate *candidate);

/* Whether this transaction has made tasks of the queue pending, which no other session can see. */
extern bool dispatch_has_own(int32 queue_id);

/* The same of any queue. */
extern bool dispatch_has_any_own(void);

/*
 * Takes up to max candidates that are due, in the order of acquisition.  No other
 * session gets them, and they come back when the transaction rolls back.
 *
 * 0: there is none, and *next_due is when the next one will be, DT_NOEND if
 * none is known.
 */
extern int dispatch_take(Backlog *b, int32 queue_id, TimestampTz now, Candidate *taken,
						 int max, TimestampTz *next_due);

/* Whether there is one; it stays.  *next_due as above. */
extern bool dispatch_look(Backlog *b, int32 queue_id, TimestampTz now,
						  TimestampTz *next_due);

/*
 * How many tasks of the queue are due, at most max, and since when the first
 * one is, DT_NOEND if none; -1: nothing is remembered of this queue.
 */
extern int dispatch_count_due(Backlog *b, int32 queue_id, TimestampTz now, int max,
							  TimestampTz *oldest);

#endif

/*
 * dispatch.h
 *		Where a queue's next tasks are: remembered positions and candidates.
 *
 * All of it is a hint: whether a candidate can be claimed is for pending.c to
 * say, and one that is lost costs a look at the index.  What must hold is that
 * no committed, due task is without one: see dispatch.c.  Lanes, slots and sweeps
 * are in lanes.c and sweep.c.
 */
#ifndef TASKQ_DISPATCH_H
#define TASKQ_DISPATCH_H

#include "pending.h"

/* Shared memory and locks; called by taskq.c. */
extern Size dispatch_shared_size(void);
extern int dispatch_lock_count(void);
extern void dispatch_init_shared(void *memory, LWLockPadded *locks, bool found);

/* A task has become pending: it becomes a candidate when the transaction commits. */
extern void dispatch_inserted(Relation tasks, int32 queue_id, const Candidate *candidate);

/* One is taken: it becomes a candidate again when that is rolled back. */
extern void dispatch_taken(Relation tasks, int32 queue_id, const Candidate *candidate);

/* Whether this transaction has made tasks of the queue pending that no one else can see yet. */
extern bool dispatch_has_own(int32 queue_id);

/*
 * Takes up to max candidates that are due, in the order of acquisition; nobody
 * else gets them, and they come back when the transaction rolls back.
 *
 * 0: there is none, and *next_due is when the next one will be, DT_NOEND if
 * none is known.  -1: nothing is remembered of this queue, for want of memory;
 * the caller must walk the index.
 */
extern int dispatch_take(Backlog *b, int32 queue_id, TimestampTz now, Candidate *taken,
						 int max, TimestampTz *next_due);

/* Whether there is one, 1 or 0 or -1 as above; it stays. */
extern int dispatch_look(Backlog *b, int32 queue_id, TimestampTz now,
						 TimestampTz *next_due);

/*
 * How many tasks of the queue are due, at most max, and since when the first
 * one is, DT_NOEND if none; -1: nothing is remembered of this queue.
 */
extern int dispatch_count_due(Backlog *b, int32 queue_id, TimestampTz now, int max,
							  TimestampTz *oldest);

/* Sessions are to be notified of this queue.  Never fails. */
extern void dispatch_mark(int32 queue_id);

extern void dispatch_mark_all(void);

/* The queues of this database that are marked, no more than max; their marks are gone. */
extern int dispatch_take_marks(int32 *ids, int max);

/*
 * The queues of this database of which a task has become due by time since the
 * last call; they are marked, too.  *next is when that will happen next.
 */
extern int dispatch_become_due(TimestampTz now, int32 *ids, int max, TimestampTz *next);

/*
 * Looks behind the positions for rows that have come there without a hint, at
 * most so many index entries of them.  False: there is more to look at.
 */
extern bool dispatch_sweep(Backlog *b, int max_entries);

/* The next step is the first one of a sweep, whatever became of the last sweep. */
extern void dispatch_sweep_begin(void);

#endif

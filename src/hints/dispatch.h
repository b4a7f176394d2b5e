/*
 * dispatch.h
 *		Finds a queue's next tasks by remembered positions and candidates.
 *
 * Candidates are hints: pending.c decides whether one can be claimed, and a lost candidate
 * costs a look at the index.  But no committed, due task may be missed: dispatch.c has the
 * invariant.
 */
#ifndef TASKQ_DISPATCH_H
#define TASKQ_DISPATCH_H

#include "hints/own.h"
#include "tables/backlog.h"

#define MAX_TAKEN 16 /* candidates that are taken at once */

/* A task has become pending: it becomes a candidate when the transaction commits. */
extern void dispatch_inserted(Relation tasks, int32 queue_id, const Candidate *candidate);

/* A candidate was taken: it becomes a candidate again if this transaction rolls back. */
extern void dispatch_taken(Relation tasks, int32 queue_id, const Candidate *candidate);

/*
 * The candidate that this transaction has just taken cannot be claimed: its row is gone, or a
 * transaction that is still open will offer it.  It does not become a candidate again when
 * a part of this transaction rolls back: after each of many savepoints, all such candidates would
 * be looked at again.
 */
extern void dispatch_not_taken(int32 queue_id, const Candidate *candidate);

/* Whether this transaction has made tasks of the queue pending, which no other session can see. */
extern bool dispatch_has_own(int32 queue_id);

/* The same for any queue. */
extern bool dispatch_has_any_own(void);

/* Where these tasks of the queue stand; NULL if there are none. */
extern OwnTasks *dispatch_own(int32 queue_id);

/*
 * Takes up to max due candidates, at most MAX_TAKEN, in the order of acquisition, and returns
 * their number.  No other session gets them; they become candidates again if the transaction
 * rolls back.
 *
 * 0: no candidate is due, and *next_due is when the next one will be, DT_NOEND if
 * none is known.
 */
extern int dispatch_take(Backlog *b, int32 queue_id, TimestampTz now, Candidate *taken,
						 int max, TimestampTz *next_due);

/* Whether a task is due, without taking it.  *next_due as above. */
extern bool dispatch_look(Backlog *b, int32 queue_id, TimestampTz now,
						  TimestampTz *next_due);

/* The same; *first becomes the task. */
extern bool dispatch_first(Backlog *b, int32 queue_id, TimestampTz now, Candidate *first,
						   TimestampTz *next_due);

/*
 * The same.  Without shared memory this look does not begin anew when
 * nothing is found, so it may find a task of another session one poll interval later.
 */
extern bool dispatch_look_beside_own(Backlog *b, int32 queue_id, TimestampTz now, Candidate *first,
									 TimestampTz *next_due);

/*
 * Returns the number of due tasks of the queue, at most max; -1: nothing is remembered about
 * this queue.  *oldest is the run_at of the first of them, DT_NOEND if there is none.
 */
extern int dispatch_count_due(Backlog *b, int32 queue_id, TimestampTz now, int max,
							  TimestampTz *oldest);

/*
 * The run_at of the first due task of the queue without a group, DT_NOEND if there is none.  *later
 * becomes the number of those whose run_at is after "now", at most max.
 */
extern TimestampTz dispatch_oldest(LaneLook *look, int32 queue_id, TimestampTz now, int max,
								   int *later);

#endif

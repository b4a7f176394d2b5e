/*
 * idle.h
 *		Queues of which this session knows that no task is due: a look at a few bytes.
 *
 * To look for a due task takes microseconds.  A claim for thousands of push queues must
 * pass over those that have none in nanoseconds: each session remembers what its last
 * look at a queue has shown, and counters in shared memory tell whether a task has
 * come since.  Without that memory nothing is remembered.
 */
#ifndef TASKQ_IDLE_H
#define TASKQ_IDLE_H

#include "utils/timestamp.h"

/* Whether anything can be remembered. */
extern bool idle_is_possible(void);

/*
 * For each of the queues: no committed task of it is due before until[], which is
 * DT_NOEND if none is known to come, and DT_NOBEGIN if the session must look.
 */
extern void idle_read(const int32 *queue_ids, int count, TimestampTz *until);

/*
 * What a look has shown: idle_begin() goes before it, and idle_remember() gets its
 * result.  Tasks that come between the two are not overlooked.
 */
extern uint32 idle_begin(int32 queue_id);
extern void idle_remember(int32 queue_id, uint32 begun, TimestampTz until);

/* A task of the queue may be claimed by other sessions from now on.  Never fails. */
extern void idle_end(int32 queue_id);

/* The same of all queues: tasks may have come of which no session has told. */
extern void idle_end_all(void);

#endif

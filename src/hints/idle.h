/*
 * idle.h
 *		Remembers queues in which no task is due.
 *
 * To look for a due task takes microseconds.  A claim for thousands of push queues must
 * skip those without a due task in nanoseconds.  So each session remembers the result of its
 * last look at a queue, and counters in shared memory show whether a task has come since
 * then.  Without shared memory nothing is remembered.
 */
#ifndef TASKQ_IDLE_H
#define TASKQ_IDLE_H

#include "utils/timestamp.h"

/* Whether there is shared memory, without which nothing is remembered. */
extern bool idle_is_possible(void);

/*
 * Sets until[] for each of the queues: none of its committed tasks is due before that time.
 * DT_NOEND: no task is known to become due.  DT_NOBEGIN: the session must look.
 */
extern void idle_read(const int32 *queue_ids, int count, TimestampTz *until);

/*
 * The caller calls idle_begin() before a look at a queue and passes its result to idle_remember()
 * after the look.  A task that comes between the two calls is not missed.
 */
extern uint32 idle_begin(int32 queue_id);
extern void idle_remember(int32 queue_id, uint32 begun, TimestampTz until);

/* A task of the queue may be claimed by other sessions from now on.  Never fails. */
extern void idle_end(int32 queue_id);

/* The same for all queues: tasks may have come that no session has offered. */
extern void idle_end_all(void);

#endif

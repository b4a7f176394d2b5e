/*
 * alone.h
 *		Claims tasks of a queue that has limits or groups, without shared memory.
 */
#ifndef TASKQ_ALONE_H
#define TASKQ_ALONE_H

#include "hints/groups.h"
#include "life/claim.h"
#include "tables/queue.h"

/* As claim_in_turns(). */
extern void claim_alone(Backlog *b, const Queue *queue, int64 group_id, Claiming *c,
						TimestampTz *next_due);

/* When the limit of the queue lets the next task start: now, later, or DT_NOEND. */
extern TimestampTz alone_opens(const Queue *queue, TimestampTz now);

/* Whether a task with a group could be claimed; if not, *next_due is lowered to when one can. */
extern bool alone_is_due(Backlog *b, const Queue *queue, TimestampTz now, TimestampTz *next_due);

/* As groups_states(). */
extern KnownGroup *alone_states(Backlog *b, const Queue *queue, int64 group_id, int *count);

#endif

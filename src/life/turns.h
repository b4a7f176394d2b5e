/*
 * turns.h
 *		Claims tasks of a queue that has limits or groups.
 */
#ifndef TASKQ_TURNS_H
#define TASKQ_TURNS_H

#include "life/claim.h"
#include "tables/queue.h"

/* Whether claims of the queue need more than candidates: it has limits, or may have groups. */
extern bool turns_matter(const Queue *queue);

/*
 * Claims up to c->max tasks, of this group, or of any if group_id is 0.  If there are fewer,
 * *next_due is when to look again, DT_NOEND if that is not known.
 */
extern void claim_in_turns(Backlog *b, const Queue *queue, int64 group_id, Claiming *c,
						   TimestampTz *next_due);

/* Whether such a claim would probably find a task; if not, *next_due as above. */
extern bool turns_are_due(Backlog *b, const Queue *queue, TimestampTz now, TimestampTz *next_due);

/* When the queue's limit lets the next task start: now, later, or DT_NOEND: when one has ended. */
extern TimestampTz turns_open(const Queue *queue, TimestampTz now);

#endif

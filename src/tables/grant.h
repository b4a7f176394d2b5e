/*
 * grant.h
 *		Rights of the current user on queues.
 */
#ifndef TASKQ_GRANT_H
#define TASKQ_GRANT_H

#include "tables/queue.h"

/*
 * Whether the current user has one of these privileges (bits) on the queue; on no
 * queue (NULL) only an administrator has.
 */
extern bool queue_may(const Queue *queue, int privileges);

/* TQ007 when the current user has none of them. */
extern void queue_require(const Queue *queue, int privileges);

#endif

/*
 * grant.h
 *		Privileges of the current user on queues.
 */
#ifndef TASKQ_GRANT_H
#define TASKQ_GRANT_H

#include "tables/queue.h"

/*
 * Whether the current user has one of these privileges (bits) on the queue.  If queue is
 * NULL, only an administrator has.
 */
extern bool queue_may(const Queue *queue, int privileges);

/* Whether it has one of them on every queue, by a role of the extension. */
extern bool queue_may_all(int privileges);

/*
 * TQ007 if the current user has none of them.  TQ001, as if the queue did not exist, if it has no
 * privilege on the queue at all: then it must not learn which queues exist.
 */
extern void queue_require(const Queue *queue, int privileges);

#endif

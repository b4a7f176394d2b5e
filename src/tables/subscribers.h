/*
 * subscribers.h
 *		The queues that are subscribed to a topic.
 */
#ifndef TASKQ_SUBSCRIBERS_H
#define TASKQ_SUBSCRIBERS_H

#include "tables/queue.h"

/*
 * The ids of the queues that get a message of this kind, ascending; palloc'd.  kind: NULL for a
 * message without one.  Sees all subscriptions that were committed before the call.
 */
extern int32 *subscribers_of(const Queue *topic, const text *kind, int *count);

#endif

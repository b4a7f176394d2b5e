/*
 * limits.h
 *		The limits of queues and groups, as claims need them.
 */
#ifndef TASKQ_LIMITS_H
#define TASKQ_LIMITS_H

#include "hints/permits.h"
#include "tables/queue.h"
#include "utils/timestamp.h"

/* Whether claims of the queue are limited: also an endpoint's, which has a limit in any case. */
extern bool limits_exist(const Queue *queue);

/* The limit of the queue itself. */
extern QueueLimit limits_of_queue(const Queue *queue);

/* Those of a group of it. */
extern GroupLimits limits_of_group(const Queue *queue, int64 group_id);

/*
 * The same in shared memory, for claims that begin now; NULL: the queue was dropped meanwhile.  The
 * queue may have been read anew.
 */
extern void limits_read_group(FlowQueue *q, int64 group_id);

/* After a change of limits: the groups that the old ones have kept are placed anew. */
extern void limits_place_kept(FlowQueue *q);

/*
 * A bucket that takes long to fill must not be forgotten by a restart of the server.  So each start
 * of it leaves a mark, which commits with the claim.  group_id: 0 is the queue itself.
 */
extern bool limits_leave_marks(const tq_gcra_limit *rate);
extern void limits_mark(int32 queue_id, int64 group_id, int64 tat_ns);
extern int64 limits_newest_mark(int32 queue_id, int64 group_id);

#endif

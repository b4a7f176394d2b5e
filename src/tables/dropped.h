/*
 * dropped.h
 *		Queues that were dropped, as long as something is left of them.
 */
#ifndef TASKQ_DROPPED_H
#define TASKQ_DROPPED_H

#include "postgres.h"

/* What the end of a task needs to know of its queue. */
typedef struct DroppedQueue
{
	char *name;
	bool push; /* mode */
	int64 keep_finished_us;
	int64 keep_dead_us;
	uint32 events; /* kinds */
} DroppedQueue;

/* The queue that had this id, valid until the next call; NULL: nothing is known of it. */
extern const DroppedQueue *dropped_queue(int32 id);

#endif

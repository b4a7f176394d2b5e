/*
 * endpoint.h
 *		Decides when tasks of an endpoint may be sent.
 */
#ifndef TASKQ_ENDPOINT_H
#define TASKQ_ENDPOINT_H

#include "base/shmem.h"
#include "tables/queue.h"

extern HintTable endpoints_table;

/*
 * Returns how many tasks of a push queue, at most max, may be claimed now; max if the queue is
 * no endpoint.  After the claim the caller passes to endpoint_claimed() how many tasks were
 * claimed, and the id of the first.
 */
extern int endpoint_allow(const Queue *queue, int max, TimestampTz now);
extern void endpoint_claimed(const Queue *queue, int allowed, int count, int64 first);

/* Notes that a task was given back without having been sent. */
extern void endpoint_released(const Queue *queue, int64 task);

/* When the circuit lets a due task of the queue be claimed: now, a later time, or DT_NOEND. */
extern TimestampTz endpoint_opens(const Queue *queue, TimestampTz now);

/*
 * Notes the result of a request: its class, status (0: none) and Retry-After (-1: none).  gone:
 * the endpoint itself no longer exists.
 */
extern void endpoint_note(const Queue *queue, int64 task, const char *class, int status,
						  int64 retry_after_us, bool gone);

#endif

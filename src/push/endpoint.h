/*
 * endpoint.h
 *		When an endpoint may be sent to.
 */
#ifndef TASKQ_ENDPOINT_H
#define TASKQ_ENDPOINT_H

#include "base/shmem.h"
#include "tables/queue.h"

extern HintTable endpoints_table;

/*
 * How many of up to max tasks of a push queue may be claimed now; of any queue that is no
 * endpoint all may.  Afterwards endpoint_claimed() tells how many were claimed, and
 * which was the first.
 */
extern int endpoint_allow(const Queue *queue, int max, TimestampTz now);
extern void endpoint_claimed(const Queue *queue, int allowed, int count, int64 first);

/* A task was given back without having been sent. */
extern void endpoint_released(const Queue *queue, int64 task);

/*
 * When a task of the queue that is due may be claimed: now, later, or DT_NOEND; *limited: when
 * a request that is under way has ended.
 */
extern TimestampTz endpoint_opens(const Queue *queue, TimestampTz now, bool *limited);

/*
 * What became of a request: its class, status (0: none) and Retry-After (-1: none); gone: the
 * endpoint itself is no more.
 */
extern void endpoint_note(const Queue *queue, int64 task, const char *class, int status,
						  int64 retry_after_us, bool gone);

#endif

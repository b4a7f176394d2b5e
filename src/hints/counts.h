/*
 * counts.h
 *		How many tasks of each queue are pending, and how many have ended.
 */
#ifndef TASKQ_COUNTS_H
#define TASKQ_COUNTS_H

#include "base/shmem.h"
#include "tables/state.h"
#include "utils/timestamp.h"

/* What is known of a queue. */
typedef struct QueueCounts
{
	TimestampTz since; /* when counting began */
	int64 pending;
	int64 ended[NENDED]; /* since then; STATE_FINISHED is the first */
} QueueCounts;

extern HintTable counts_table;

/* Tasks that this transaction has made pending or, negative, that are so no more. */
extern void counts_pending(int32 queue_id, int change);

/* A task that this transaction has ended. */
extern void counts_ended(int32 queue_id, TaskState state);

/* Rows came or went of which no session has told. */
extern void counts_anew(void);

/*
 * The counts of a queue; false without shared memory.  count_pending() is called when
 * the number of pending tasks is not known: it counts them in a new snapshot.
 */
extern bool counts_read(int32 queue_id, int64 (*count_pending)(int32 queue_id),
						QueueCounts *counts);

#endif

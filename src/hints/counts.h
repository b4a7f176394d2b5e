/*
 * counts.h
 *		How many tasks of each queue are pending, run, were submitted, and have ended.
 */
#ifndef TASKQ_COUNTS_H
#define TASKQ_COUNTS_H

#include "base/shmem.h"
#include "tables/state.h"
#include "utils/timestamp.h"

/* The live tasks of a queue. */
typedef struct LiveCounts
{
	int64 pending;
	int64 running;
} LiveCounts;

/* The counts of a queue. */
typedef struct QueueCounts
{
	int32 queue_id;
	bool known;        /* all that follows is */
	bool exact;        /* else pending and running may be wrong for a minute */
	TimestampTz since; /* when counting began */
	LiveCounts live;
	int64 submitted;     /* since then */
	int64 ended[NENDED]; /* since then; STATE_FINISHED is the first */
} QueueCounts;

extern HintTable counts_table;

/* This transaction changes the number of pending, or of running, tasks. */
extern void counts_pending(int32 queue_id, int change);
extern void counts_running(int32 queue_id, int change);

/* This transaction makes a new task, or ends one. */
extern void counts_submitted(int32 queue_id);
extern void counts_ended(int32 queue_id, TaskState state);

/* Counts all queues again when they are read: rows came or went that no commit has counted. */
extern void counts_anew(void);

/* Sets live[] to the counts of these queues in a new snapshot. */
typedef void (*LiveCounter)(const int32 *queue_ids, int count, LiveCounts *live);

/*
 * Sets the counts of each of the queues, whose ids the caller has set; false without shared memory.
 * running includes the claims of this transaction; the other numbers leave out its
 * changes.  count_live() is called for the queues whose live tasks are not known.
 */
extern bool counts_read(QueueCounts *counts, int count, LiveCounter count_live);

#endif

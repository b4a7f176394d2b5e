/*
 * history.h
 *		Rows of ended tasks.
 */
#ifndef TASKQ_HISTORY_H
#define TASKQ_HISTORY_H

#include "tables/queue.h"
#include "tables/rows.h"
#include "tables/state.h"

/* An HTTP answer as it is stored.  Datums; NULL pointers for what is missing. */
typedef struct Answer
{
	bool present;
	int32 status;
	Datum headers; /* jsonb, or 0 */
	Datum body;    /* bytea, or 0 */
	bool truncated;
	Interval *elapsed;
	Datum times; /* jsonb, or 0: how long the phases of the exchange took */
} Answer;

/* The end of a task. */
typedef struct Ending
{
	TaskState state;
	TimestampTz at;       /* set by task_end() */
	Datum result;         /* jsonb, or 0 */
	text *error;          /* or NULL */
	const Answer *answer; /* of the last HTTP exchange, or NULL */
} Ending;

/* How an ended task is kept. */
typedef struct Keeping
{
	const Queue *queue; /* NULL: it does not exist */
	const char *name;   /* of the queue */
	bool push;
	int64 us;      /* for so long; 0: not at all */
	uint32 events; /* kinds of events that the queue wants */
} Keeping;

/* Rows of many tasks are collected and written together, the last ones by history_end_batch(). */
typedef struct HistoryBatch HistoryBatch;
extern HistoryBatch *history_begin_batch(void);
extern void history_end_batch(HistoryBatch *batch);

/*
 * Adds the row of a task, and takes its failed attempts.  batch: NULL writes the row at once.
 * lease: the last lease of the task; NULL: it was pending.
 */
extern void history_add(HistoryBatch *batch, const Row *task, const Row *lease,
						const Ending *ending, const Keeping *keeping);

#endif

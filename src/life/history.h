/*
 * history.h
 *		How a task leaves: its live rows go, what is to be kept is appended.
 */
#ifndef TASKQ_HISTORY_H
#define TASKQ_HISTORY_H

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
	Datum times; /* jsonb, or 0: of its phases */
} Answer;

/* How a task ended. */
typedef struct Ending
{
	TaskState state;
	Datum result;         /* jsonb, or 0 */
	text *error;          /* or NULL */
	const Answer *answer; /* of the last exchange, or NULL */
} Ending;

/*
 * Moves the task into history: its task row goes, what is kept is written.
 * lease is the one it last had, whose row the caller has deleted; NULL if it was
 * pending, and the task row has been deleted by the caller.
 */
extern void task_end(const Row *task, const Row *lease, const Ending *ending);

/*
 * The same for many: tasks is open, and rows of history are gathered, to be written together
 * with the last of them by history_end_batch().
 */
typedef struct HistoryBatch HistoryBatch;
extern HistoryBatch *history_begin_batch(HotRelation *tasks);
extern void task_end_in(HistoryBatch *batch, const Row *task, const Row *lease,
						const Ending *ending);
extern void history_end_batch(HistoryBatch *batch);

#endif

/*
 * end.c
 *		The end of a task: it leaves the hot tables, and its follow-ups are submitted.
 *
 * There is one way out for every end, whoever ends the task and whatever its last state is.  All of
 * it is one transaction: the row of history and the follow-ups exist if and only if the task has
 * ended.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arg.h"
#include "hints/counts.h"
#include "hints/wakeup.h"
#include "life/end.h"
#include "life/events.h"
#include "life/follow_up.h"
#include "life/history.h"
#include "life/prerequisites.h"
#include "tables/attached.h"
#include "tables/dropped.h"
#include "tables/key.h"
#include "tables/queue.h"
#include "tables/rows.h"
#include "tables/start_limit.h"
#include "tables/state.h"

struct EndBatch
{
	HotRelation *tasks; /* NULL: the table is not open */
	HistoryBatch *history;
	List *follow_ups;
};

static void
delete_task(HotRelation *tasks, const Row *task)
{
	HotRelation r;

	if (tasks == NULL)
		hot_open(&r, HOT_TASK);
	if (row_delete(tasks != NULL ? tasks : &r, task, true) != ROW_DONE)
		elog(ERROR, "task " INT64_FORMAT " was changed without its lease",
			 ROW_INT64(task, TASK_ID));
	if (tasks == NULL)
		hot_close(&r);
}

/* Of a queue that was dropped, or of which nothing is known any more. */
static Keeping
keeping_of_dropped(const Row *task, bool finished)
{
	const DroppedQueue *queue = dropped_queue(ROW_INT32(task, TASK_QUEUE_ID));

	if (queue == NULL)
		return (Keeping){.name = psprintf("%d", ROW_INT32(task, TASK_QUEUE_ID)),
						 .push = !task->nulls[TASK_METHOD],
						 .us = finished ? US_PER_DAY : 30 * US_PER_DAY};
	return (Keeping){.name = queue->name,
					 .push = queue->push,
					 .us = finished ? queue->keep_finished_us : queue->keep_dead_us,
					 .events = queue->events};
}

static Keeping
keeping_of(const Row *task, const Queue *queue, bool finished)
{
	if (queue == NULL)
		return keeping_of_dropped(task, finished);
	return (Keeping){.queue = queue,
					 .name = queue->name,
					 .push = queue->push,
					 .us = finished ? queue->keep_finished_us : queue->keep_dead_us,
					 .events = queue->events};
}

/* A live task without a queue was cancelled when the queue was dropped. */
static Ending
ending_of(const Queue *queue, const Ending *how)
{
	Ending ending = *how;

	ending.at = GetCurrentTimestamp();
	if (queue != NULL || ending.state == STATE_FINISHED)
		return ending;
	ending.state = STATE_CANCELLED;
	ending.error = cstring_to_text("queue dropped");
	return ending;
}

/* Removes the task from the hot tables. */
static void
remove_task(HotRelation *tasks, const Row *task, const Row *lease, TaskState state,
			const Queue *queue)
{
	if (lease != NULL)
		delete_task(tasks, task);
	else
		prerequisites_drop(task);
	if (state != STATE_EXPIRED)
		start_limit_drop(task); /* otherwise expire.c removes it */
	key_let_go(ROW_INT32(task, TASK_QUEUE_ID), queue != NULL ? queue->keep_key_us : 0, task);
}

void
task_end_in(EndBatch *batch, const Row *task, const Row *lease, const Ending *how)
{
	int32 queue_id = ROW_INT32(task, TASK_QUEUE_ID);
	const Queue *queue = queue_by_id(queue_id);
	Ending ending = ending_of(queue, how);
	Keeping keeping = keeping_of(task, queue, ending.state == STATE_FINISHED);
	Row whole;

	tables_require();
	if (lease != NULL && follow_ups_came_late(lease))
	{
		whole = *task;
		follow_ups_move(&whole, lease);
		task = &whole;
	}
	history_add(batch->history, task, lease, &ending, &keeping);
	event_ended(task, lease, &ending, &keeping);
	follow_ups_collect(&batch->follow_ups, task, lease, &ending, &keeping);
	remove_task(batch->tasks, task, lease, ending.state, queue);
	prerequisites_tell_end(ROW_INT64(task, TASK_ID), ending.state);
	counts_ended(queue_id, ending.state);
	wakeup_task_at_commit(ROW_INT64(task, TASK_ID));
}

void
task_end(const Row *task, const Row *lease, const Ending *ending)
{
	EndBatch one = {0};

	task_end_in(&one, task, lease, ending);
	CommandCounterIncrement();
	follow_ups_submit(one.follow_ups);
}

EndBatch *
end_batch_begin(HotRelation *tasks)
{
	EndBatch *batch = palloc0_object(EndBatch);

	batch->tasks = tasks;
	batch->history = history_begin_batch();
	return batch;
}

void
end_batch_finish(EndBatch *batch)
{
	history_end_batch(batch->history);
	CommandCounterIncrement();
	follow_ups_submit(batch->follow_ups);
	pfree(batch);
}

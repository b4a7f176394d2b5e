/*
 * end.h
 *		The end of a task.
 */
#ifndef TASKQ_END_H
#define TASKQ_END_H

#include "life/history.h"

/*
 * Ends the task: deletes its task row, writes its row of history, and submits its follow-ups.
 * lease: the last lease of the task, whose row the caller has deleted.  NULL: the task was
 * pending, and the caller has deleted the task row.
 */
extern void task_end(const Row *task, const Row *lease, const Ending *ending);

/*
 * The same for many tasks: history and follow-ups are written together, the last ones by
 * end_batch_finish().  The table "tasks" stays open meanwhile, and so do the memory of the rows
 * and of what the endings point to.
 */
typedef struct EndBatch EndBatch;
extern EndBatch *end_batch_begin(HotRelation *tasks);
extern void task_end_in(EndBatch *batch, const Row *task, const Row *lease,
						const Ending *ending);
extern void end_batch_finish(EndBatch *batch);

#endif

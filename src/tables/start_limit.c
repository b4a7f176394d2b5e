/*
 * start_limit.c
 *		The times by which tasks must have started.
 *
 * They stand in a table of their own, in the order of these times, so the search for tasks
 * that are too late reads nothing else.  A claim leaves the row alone; the end of the attempt or
 * of the task removes it.  If the executor is just changing the row, it will find out itself that
 * the task has started.
 */
#include "postgres.h"

#include "tables/start_limit.h"

void
start_limit_drop(const Row *task)
{
	HotRelation r;
	Row limit;

	if (task->nulls[TASK_START_BY])
		return;
	hot_open(&r, HOT_START);
	if (row_fetch_start(&r, ROW_TIME(task, TASK_START_BY), ROW_INT64(task, TASK_ID), &limit))
		(void) row_delete(&r, &limit, false);
	hot_close(&r);
}

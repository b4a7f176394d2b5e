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

#include "catalog/pg_type.h"

#include "base/sql.h"
#include "tables/start_limit.h"

static Statement insert_start_limit = {
	"insert into taskq_private.start_limit (start_by, id) values ($1, $2)",
	2,
	{TIMESTAMPTZOID, INT8OID},
	NULL,
};

void
start_limit_insert(const Row *task)
{
	Datum values[2] = {task->values[TASK_START_BY], task->values[TASK_ID]};

	if (!task->nulls[TASK_START_BY])
		(void) sql_as_owner(&insert_start_limit, values, NULL, NULL, NULL, 0);
}

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

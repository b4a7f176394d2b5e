/*
 * result.h
 *		The result of a task.
 */
#ifndef TASKQ_RESULT_H
#define TASKQ_RESULT_H

/* Columns of result(). */
enum ResultColumn
{
	RESULT_STATE,
	RESULT_RESULT,
	RESULT_ERROR,
	RESULT_ENDED_AT,
	RESULT_NCOLUMNS
};

/* Fills the columns that result() returns to the current user; false: it returns no row. */
extern bool task_result(int64 id, Datum *values, bool *nulls);

#endif

/*
 * result.c
 *		What became of a task: result(), response(), retry().
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/sql.h"
#include "life/result.h"
#include "tables/grant.h"
#include "tables/queue.h"

static Statement revive = {
	"select taskq_private.retry($1, $2)",
	2,
	{INT8OID, TIMESTAMPTZOID},
	NULL,
};
static Statement select_queue_of_ended = {
	"select h.queue from taskq_private.all_history h where h.id = $1",
	1,
	{INT8OID},
	NULL,
};
static Statement select_result = {
	"select r.queue, r.state, r.result, r.error, r.ended_at from taskq_private.result($1) r",
	1,
	{INT8OID},
	NULL,
};
static Statement select_response = {
	"select r.queue, r.status, r.headers, r.body, r.truncated, r.elapsed "
	"from taskq_private.response($1) r",
	1,
	{INT8OID},
	NULL,
};

/* Whether the caller has one of these privileges on the queue of that name. */
static bool
may_by_name(Datum queue, bool isnull, int privileges)
{
	return !isnull && queue_may(queue_of_row(DatumGetTextPP(queue)), privileges);
}

PG_FUNCTION_INFO_V1(taskq_retry);
Datum
taskq_retry(PG_FUNCTION_ARGS)
{
	Datum values[2] = {Int64GetDatum(arg_id(fcinfo, 0, "id"))};
	char nulls[3] = "  ";
	Datum result;
	bool isnull;

	client_call("taskq.retry()");
	if (!sql_as_owner(&select_queue_of_ended, values, NULL, &result, &isnull, 1) ||
		!may_by_name(result, isnull, PRIVILEGE_CONTROL))
		PG_RETURN_BOOL(false);
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	nulls[1] = PG_ARGISNULL(1) ? 'n' : ' ';
	PG_RETURN_BOOL(sql_as_owner(&revive, values, nulls, &result, &isnull, 1) &&
				   DatumGetBool(result));
}

#define MAX_LOOK_COLUMNS 6

/* One look at a task: false if there is nothing that the caller may see. */
static bool
look(Statement *statement, int64 id, Datum *values, bool *nulls, int ncols)
{
	Datum row[MAX_LOOK_COLUMNS];
	bool isnull[MAX_LOOK_COLUMNS];
	Datum argument = Int64GetDatum(id);

	if (!sql_as_owner(statement, &argument, NULL, row, isnull, ncols + 1) ||
		!may_by_name(row[0], isnull[0], PRIVILEGE_SUBMIT | PRIVILEGE_VIEW))
		return false;
	memcpy(values, row + 1, ncols * sizeof(Datum));
	memcpy(nulls, isnull + 1, ncols * sizeof(bool));
	return true;
}

bool
task_result(int64 id, Datum *values, bool *nulls)
{
	return look(&select_result, id, values, nulls, RESULT_NCOLUMNS);
}

static void
return_look(FunctionCallInfo fcinfo, Statement *statement, int ncols)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum values[MAX_LOOK_COLUMNS];
	bool nulls[MAX_LOOK_COLUMNS];

	InitMaterializedSRF(fcinfo, 0);
	if (!PG_ARGISNULL(0) && look(statement, PG_GETARG_INT64(0), values, nulls, ncols))
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(taskq_result);
Datum
taskq_result(PG_FUNCTION_ARGS)
{
	return_look(fcinfo, &select_result, RESULT_NCOLUMNS);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(taskq_response);
Datum
taskq_response(PG_FUNCTION_ARGS)
{
	return_look(fcinfo, &select_response, 5);
	return (Datum) 0;
}

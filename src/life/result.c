/*
 * result.c
 *		What became of a task: result(), response().
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/sql.h"
#include "life/result.h"
#include "tables/grant.h"
#include "tables/queue.h"

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

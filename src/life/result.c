/*
 * result.c
 *		result(), results() and response(): the results of tasks.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
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

/* Reads a task; false if there is none, or the caller may not see it. */
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

/* ---- many tasks ---------------------------------------------------------------------- */

/* So many ids go into one statement, whose rows are in memory all at once. */
#define IDS_AT_ONCE 1000

/* One row for each element of the array, in its order; without a queue if the id is not known. */
static Statement select_results = {
	"select r.n, r.id, r.queue, r.state, r.result, r.error, r.ended_at "
	"from taskq_private.results($1) r",
	1,
	{INT8ARRAYOID},
	NULL,
};

/* Columns of that statement. */
enum FoundColumn
{
	FOUND_N,
	FOUND_ID,
	FOUND_QUEUE,
	FOUND_RESULT, /* the first of the columns of result() */
};

/* Where the rows go. */
typedef struct Results
{
	ReturnSetInfo *rsinfo;
	int before; /* the number of ids in the statements before */
} Results;

/* Returns one row of results(). */
static void
return_found(const Datum *found, const bool *isnull, void *arg)
{
	enum
	{
		ORD,
		ID,
		RESULT, /* the first of the columns of result() */
		NCOLUMNS = RESULT + RESULT_NCOLUMNS
	};
	Results *r = arg;
	Datum values[NCOLUMNS] = {0};
	bool nulls[NCOLUMNS] = {false};

	values[ORD] = Int32GetDatum(r->before + DatumGetInt32(found[FOUND_N]));
	values[ID] = found[FOUND_ID];
	memset(&nulls[RESULT], true, RESULT_NCOLUMNS * sizeof(bool));
	if (may_by_name(found[FOUND_QUEUE], isnull[FOUND_QUEUE], PRIVILEGE_SUBMIT | PRIVILEGE_VIEW))
	{
		memcpy(&values[RESULT], &found[FOUND_RESULT], RESULT_NCOLUMNS * sizeof(Datum));
		memcpy(&nulls[RESULT], &isnull[FOUND_RESULT], RESULT_NCOLUMNS * sizeof(bool));
		if (!nulls[RESULT + RESULT_RESULT])
			values[RESULT + RESULT_RESULT] =
				PointerGetDatum(PG_DETOAST_DATUM(values[RESULT + RESULT_RESULT]));
	}
	tuplestore_putvalues(r->rsinfo->setResult, r->rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(taskq_results);
Datum
taskq_results(PG_FUNCTION_ARGS)
{
	Results r = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo};
	int64 *ids;
	int count = arg_ids(fcinfo, 0, "ids", &ids);

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (; r.before < count; r.before += IDS_AT_ONCE)
	{
		int n = Min(count - r.before, IDS_AT_ONCE);
		Datum argument = PointerGetDatum(array_of_ids(ids + r.before, n));

		sql_each_as_owner(&select_results, &argument, NULL, return_found, &r);
		pfree(DatumGetPointer(argument));
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(taskq_response);
Datum
taskq_response(PG_FUNCTION_ARGS)
{
	return_look(fcinfo, &select_response, 5);
	return (Datum) 0;
}

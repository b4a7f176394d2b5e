/*
 * front.c
 *		The functions whose work is SQL, as their callers see them.
 *
 * Each looks whether the current user may have it done, and then has it done
 * as taskq_owner by a private function of a similar name.  A SECURITY DEFINER
 * function could not look: it does not know who has called it.
 */
#include "task.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

static Statement pause_or_resume = {
	"select taskq_private.pause($1, $2)",
	2,
	{TEXTOID, BOOLOID},
	NULL,
};
static Statement purge = {"select taskq_private.purge($1)", 1, {INT4OID}, NULL};
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

/* ---- one queue ------------------------------------------------------------------ */

static const Queue *
queue_to_control(FunctionCallInfo fcinfo, const char *function)
{
	const Queue *queue;

	client_call(function);
	queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
	queue_require(queue, PRIVILEGE_CONTROL);
	return queue;
}

static bool
set_paused(FunctionCallInfo fcinfo, const char *function, bool paused)
{
	Datum values[2];
	Datum changed;
	bool isnull;

	(void) queue_to_control(fcinfo, function);
	values[0] = PG_GETARG_DATUM(0);
	values[1] = BoolGetDatum(paused);
	return owner_query(&pause_or_resume, values, NULL, &changed, &isnull, 1) &&
		   DatumGetBool(changed);
}

PG_FUNCTION_INFO_V1(taskq_pause_queue);
Datum
taskq_pause_queue(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(set_paused(fcinfo, "taskq.pause_queue()", true));
}

PG_FUNCTION_INFO_V1(taskq_resume_queue);
Datum
taskq_resume_queue(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(set_paused(fcinfo, "taskq.resume_queue()", false));
}

PG_FUNCTION_INFO_V1(taskq_purge_queue);
Datum
taskq_purge_queue(PG_FUNCTION_ARGS)
{
	Datum id = Int32GetDatum(queue_to_control(fcinfo, "taskq.purge_queue()")->id);
	Datum purged = 0;
	bool isnull;

	(void) owner_query(&purge, &id, NULL, &purged, &isnull, 1);
	PG_RETURN_DATUM(purged);
}

/* ---- one endpoint ------------------------------------------------------------------ */

#define MAX_ENDPOINT_ARGS 9

/*
 * Calls it with the caller's arguments.  Who may was decided by EXECUTE.  An error
 * must not bring the statement, which may have a secret in it, into the log.
 */
static Datum
pass_on(FunctionCallInfo fcinfo, const char *function, Statement *statement)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum values[MAX_ENDPOINT_ARGS];
	char nulls[MAX_ENDPOINT_ARGS] = {0};
	Datum result = 0;
	bool isnull;

	for (int i = 0; i < statement->nargs; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	PG_TRY();
	{
		client_call(function);
		(void) owner_query(statement, values, nulls, &result, &isnull, 1);
	}
	PG_CATCH();
	{
		ErrorData *failure;

		MemoryContextSwitchTo(caller);
		failure = CopyErrorData();
		FlushErrorState();
		failure->hide_stmt = true;
		failure->context = NULL;
		ReThrowError(failure);
	}
	PG_END_TRY();
	return result;
}

static Statement create_endpoint = {
	"select taskq_private.create_endpoint($1, $2, $3, $4, $5, $6, $7, $8, $9)",
	9,
	{TEXTOID, TEXTOID, JSONBOID, INTERVALOID, INT4OID, FLOAT4OID, TEXTOID, TEXTOID, TEXTOID},
	NULL,
};
static Statement alter_endpoint = {
	"select taskq_private.alter_endpoint($1, $2, $3, $4, $5, $6, $7)",
	7,
	{TEXTOID, TEXTOID, JSONBOID, INTERVALOID, INT4OID, FLOAT4OID, TEXTOID},
	NULL,
};
static Statement rotate_secret = {
	"select taskq_private.rotate_secret($1, $2, $3)",
	3,
	{TEXTOID, TEXTOID, INTERVALOID},
	NULL,
};

PG_FUNCTION_INFO_V1(taskq_create_endpoint);
Datum
taskq_create_endpoint(PG_FUNCTION_ARGS)
{
	(void) pass_on(fcinfo, "taskq.create_endpoint()", &create_endpoint);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_alter_endpoint);
Datum
taskq_alter_endpoint(PG_FUNCTION_ARGS)
{
	(void) pass_on(fcinfo, "taskq.alter_endpoint()", &alter_endpoint);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_rotate_secret);
Datum
taskq_rotate_secret(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(pass_on(fcinfo, "taskq.rotate_secret()", &rotate_secret));
}

/* ---- one task -------------------------------------------------------------------- */

/* Whether the caller has one of these privileges on the queue of that name. */
static bool
may_by_name(Datum queue, bool isnull, int privileges)
{
	return !isnull && queue_may(queue_find(DatumGetTextPP(queue)), privileges);
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
	if (!owner_query(&select_queue_of_ended, values, NULL, &result, &isnull, 1) ||
		!may_by_name(result, isnull, PRIVILEGE_CONTROL))
		PG_RETURN_BOOL(false);
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	nulls[1] = PG_ARGISNULL(1) ? 'n' : ' ';
	PG_RETURN_BOOL(owner_query(&revive, values, nulls, &result, &isnull, 1) &&
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

	if (!owner_query(statement, &argument, NULL, row, isnull, ncols + 1) ||
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

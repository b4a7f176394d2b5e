/*
 * schedule.c
 *		The functions on schedules: declare, drop, pause, resume and run one, and its next times.
 *
 * What they do is SQL (sql/76_schedules.sql), which runs as taskq_owner.  It cannot know which
 * role has called, so each call passes it on.
 *
 * A task of a schedule is submitted with the rights of the role that owns the schedule.  Only
 * taskq_owner can call the functions that take over the rights of a role, and they run nothing
 * but the submit.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/errors.h"
#include "base/sql.h"
#include "life/template.h"
#include "life/times.h"
#include "tables/grant.h"
#include "tables/queue.h"

#define MAX_RUNS     1000
#define ROLE_CONTEXT (SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION)

static Statement declare_schedule = {
	"select taskq_private.declare_schedule($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
	12,
	{TEXTOID, JSONBOID, TEXTOID, INTERVALOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID,
	 TEXTOID, INTERVALOID, INTERVALOID, OIDOID},
	NULL,
};

static Statement drop_schedule = {
	"select taskq_private.drop_schedule($1, $2)", 2, {TEXTOID, OIDOID}, NULL};
static Statement pause_schedule = {
	"select taskq_private.pause_schedule($1, true, $2)", 2, {TEXTOID, OIDOID}, NULL};
static Statement resume_schedule = {
	"select taskq_private.pause_schedule($1, false, $2)", 2, {TEXTOID, OIDOID}, NULL};
static Statement run_schedule = {
	"select taskq_private.run_schedule($1, $2)", 2, {TEXTOID, OIDOID}, NULL};

/* The columns before the last two are TimesField. */
static Statement select_times = {
	"select s.cron, s.every, s.timezone, s.counted_from, s.ends, "
	"taskq_private.owns_schedule(s.owner_name, s.owner_oid, $2), "
	"taskq_private.template_queue(s.task) "
	"from taskq_private.schedule s where s.name = $1",
	2,
	{TEXTOID, OIDOID},
	NULL,
};

enum
{
	OWNED = TIMES_NFIELDS,
	TARGET_QUEUE,
	NCOLUMNS
};

/* ---- changes ---------------------------------------------------------------------------- */

/* Runs the statement as taskq_owner, with the arguments of the calling function and its caller. */
static Datum
pass_on(FunctionCallInfo fcinfo, const char *function, Statement *statement)
{
	client_call(function);
	return sql_pass_on_with(fcinfo, statement, ObjectIdGetDatum(GetUserId()));
}

PG_FUNCTION_INFO_V1(taskq_schedule);
Datum
taskq_schedule(PG_FUNCTION_ARGS)
{
	(void) pass_on(fcinfo, "taskq.schedule()", &declare_schedule);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_unschedule);
Datum
taskq_unschedule(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(pass_on(fcinfo, "taskq.unschedule()", &drop_schedule));
}

PG_FUNCTION_INFO_V1(taskq_pause_schedule);
Datum
taskq_pause_schedule(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(pass_on(fcinfo, "taskq.pause_schedule()", &pause_schedule));
}

PG_FUNCTION_INFO_V1(taskq_resume_schedule);
Datum
taskq_resume_schedule(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(pass_on(fcinfo, "taskq.resume_schedule()", &resume_schedule));
}

PG_FUNCTION_INFO_V1(taskq_run_schedule);
Datum
taskq_run_schedule(PG_FUNCTION_ARGS)
{
	int64 id = DatumGetInt64(pass_on(fcinfo, "taskq.run_schedule()", &run_schedule));

	/* Of a topic, which has several tasks. */
	if (id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(id);
}

/* ---- with the rights of the owner ------------------------------------------------------- */

/* taskq_private.judge_as(task, role) */
PG_FUNCTION_INFO_V1(taskq_judge_as);
Datum
taskq_judge_as(PG_FUNCTION_ARGS)
{
	OwnerRights before;

	client_call("taskq.schedule()");
	sql_begin_as(&before, PG_GETARG_OID(1), ROLE_CONTEXT);
	template_judge(PG_GETARG_JSONB_P(0));
	sql_end_as(&before);
	PG_RETURN_VOID();
}

/* taskq_private.submit_as(task, role) */
PG_FUNCTION_INFO_V1(taskq_submit_as);
Datum
taskq_submit_as(PG_FUNCTION_ARGS)
{
	OwnerRights before;
	int64 id;

	client_call("taskq_private.submit_as()");
	sql_begin_as(&before, PG_GETARG_OID(1), ROLE_CONTEXT);
	id = template_submit(PG_GETARG_JSONB_P(0));
	sql_end_as(&before);
	PG_RETURN_INT64(id);
}

/* ---- next times ------------------------------------------------------------------------- */

static void
refuse_unknown(const char *name)
{
	bool is_cron = name[0] == '@' || strpbrk(name, " *") != NULL;

	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_UNKNOWN_SCHEDULE),
			 errmsg("schedule \"%s\" does not exist", name),
			 errdetail("No schedule of that name was declared in this database."),
			 is_cron ? errhint("A cron expression is passed by name: cron => '...'.")
					 : errhint("taskq.schedule() declares it; taskq.schedules shows all "
							   "schedules.")));
}

/* Those of a schedule that the caller may see. */
static void
read_schedule(Times *times, text *name, TimestampTz after)
{
	Datum arguments[2] = {PointerGetDatum(name), ObjectIdGetDatum(GetUserId())};
	Datum row[NCOLUMNS];
	bool nulls[NCOLUMNS];

	if (!sql_as_owner(&select_times, arguments, NULL, row, nulls, NCOLUMNS) ||
		!(DatumGetBool(row[OWNED]) ||
		  queue_may(queue_of_row(DatumGetTextPP(row[TARGET_QUEUE])), PRIVILEGE_VIEW)))
		refuse_unknown(text_to_cstring(name));
	times_read(times, row, nulls, after);
}

static void
read_definition(Times *times, FunctionCallInfo fcinfo, TimestampTz after)
{
	Datum values[TIMES_NFIELDS];
	bool nulls[TIMES_NFIELDS];

	for (int i = 0; i < TIMES_NFIELDS; i++)
	{
		values[i] = PG_GETARG_DATUM(i + 1);
		nulls[i] = PG_ARGISNULL(i + 1);
	}
	times_read(times, values, nulls, after);
	times_check_comes(times);
}

/* A schedule, or its definition. */
static void
read_times(Times *times, FunctionCallInfo fcinfo, TimestampTz after)
{
	text *name = arg_name(fcinfo, 0, "schedule");

	if (name == NULL)
		read_definition(times, fcinfo, after);
	else if (PG_ARGISNULL(1) && PG_ARGISNULL(2))
		read_schedule(times, name, after);
	else
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("schedule cannot be given together with cron or every"),
				 errdetail("A schedule has its own times."),
				 errhint("Pass the name of a schedule, or cron or every.")));
}

PG_FUNCTION_INFO_V1(taskq_next_runs);
Datum
taskq_next_runs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz at = PG_ARGISNULL(6) ? GetCurrentTimestamp() : PG_GETARG_TIMESTAMPTZ(6);
	int runs = arg_int32(fcinfo, 7, "runs", 5, 1, MAX_RUNS);
	Times times;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	times_check_instant(at, "after");
	read_times(&times, fcinfo, at);
	for (int i = 0; i < runs && times_next(&times, at, &at); i++)
	{
		Datum value = TimestampTzGetDatum(at);
		bool isnull = false;

		CHECK_FOR_INTERRUPTS();
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

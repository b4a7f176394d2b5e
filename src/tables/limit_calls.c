/*
 * limit_calls.c
 *		set_limit(), set_group_limit(), drop_group_limit(): the limits of queues and groups.
 *
 * Each function checks the privilege of the current user and the arguments, and then a private SQL
 * function writes the row as taskq_owner.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arg.h"
#include "base/errors.h"
#include "base/sql.h"
#include "tables/flow_limit.h"
#include "tables/grant.h"
#include "tables/group_id.h"
#include "tables/queue.h"

#define MAX_RUNNING    1000000
#define MIN_RATE       0.001
#define MAX_RATE       1000000.0
#define MAX_GROUP_RATE 1000.0 /* a second */
#define MAX_BURST      100000
#define MAX_WEIGHT     100

static Statement set_limit = {
	"select taskq_private.set_flow_limit($1, $2::\"char\", $3, $4, $5, $6, $7, $8, $9)",
	9,
	{INT4OID, TEXTOID, INT8OID, TEXTOID, INT4OID, FLOAT8OID, INTERVALOID, INT4OID, INT4OID},
	NULL,
};

static Statement drop_limit = {
	"select taskq_private.drop_flow_limit($1, $2::\"char\", $3)",
	3,
	{INT4OID, TEXTOID, INT8OID},
	NULL,
};

enum LimitArgument
{
	ARG_QUEUE_ID,
	ARG_SCOPE,
	ARG_GROUP_ID,
	ARG_GROUP_KEY,
	ARG_MAX_RUNNING,
	ARG_RATE,
	ARG_PER,
	ARG_BURST,
	ARG_WEIGHT,
	NARGS
};

/* The arguments of the private functions. */
typedef struct LimitCall
{
	Datum values[NARGS];
	char nulls[NARGS + 1];
} LimitCall;

static const Queue *
queue_to_limit(FunctionCallInfo fcinfo, const char *function)
{
	const Queue *queue;

	client_call(function);
	queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
	queue_require(queue, PRIVILEGE_CONTROL);
	queue_refuse_topic(queue);
	return queue;
}

static void
fill_in(LimitCall *call, int argument, Datum value, bool isnull)
{
	call->values[argument] = value;
	call->nulls[argument] = isnull ? 'n' : ' ';
}

static void
name_limit(LimitCall *call, const Queue *queue, char scope, text *group_key)
{
	int64 group = group_key != NULL ? group_id_of(group_key) : 0;

	memset(call->nulls, '\0', sizeof(call->nulls));
	fill_in(call, ARG_QUEUE_ID, Int32GetDatum(queue->id), false);
	fill_in(call, ARG_SCOPE, PointerGetDatum(cstring_to_text_with_len(&scope, 1)), false);
	fill_in(call, ARG_GROUP_ID, Int64GetDatum(group), false);
	fill_in(call, ARG_GROUP_KEY, PointerGetDatum(group_key), group_key == NULL);
}

static void
refuse_rate(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("rate is out of range"),
			 errdetail("%s", detail),
			 errhint("Pass a rate within these limits, or another \"per\".")));
}

static void
read_rate(LimitCall *call, FunctionCallInfo fcinfo, int n, bool of_groups)
{
	int64 per_us = arg_interval_us(fcinfo, n + 1, "per", USECS_PER_SEC, RANGE_TIMEOUT);
	Interval *per = palloc0_object(Interval);
	double rate = PG_ARGISNULL(n) ? MIN_RATE : PG_GETARG_FLOAT8(n);

	if (!(rate >= MIN_RATE && rate <= MAX_RATE))
		refuse_rate("It must be between 0.001 and 1000000.");
	if (!PG_ARGISNULL(n) && of_groups && rate * USECS_PER_SEC > MAX_GROUP_RATE * per_us)
		refuse_rate("In a group at most 1000 tasks can start in a second.");
	per->time = per_us;
	fill_in(call, ARG_RATE, Float8GetDatum(rate), PG_ARGISNULL(n));
	fill_in(call, ARG_PER, IntervalPGetDatum(per), false);
}

/*
 * Without a rate, per and burst would have no effect, and the limit that was set before would be
 * removed.
 */
static void
refuse_without_rate(const LimitCall *call, const char *function)
{
	const Interval *per = DatumGetIntervalP(call->values[ARG_PER]);

	if (call->nulls[ARG_RATE] == ' ' || (per->time == USECS_PER_SEC &&
										 DatumGetInt32(call->values[ARG_BURST]) == 1))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("per and burst need a rate"),
			 errdetail("%s replaces the whole limit: without a rate, the number of starts "
					   "would not be limited.",
					   function),
			 errhint("Pass rate as well, and max_running if it is to stay.")));
}

/* A group of an ordered queue never has more than one running task. */
static void
tell_ordered(const LimitCall *call, const Queue *queue)
{
	if (!queue->ordered || call->nulls[ARG_MAX_RUNNING] != ' ' ||
		DatumGetInt32(call->values[ARG_MAX_RUNNING]) <= 1)
		return;
	ereport(NOTICE,
			(errmsg("this max_running has no effect while queue \"%s\" is ordered", queue->name),
			 errdetail("In an ordered queue the tasks of a group run one at a time.")));
}

/* Arguments n and following: max_running, rate, per, burst, and of groups weight. */
static void
read_limit(LimitCall *call, FunctionCallInfo fcinfo, int n, bool of_groups)
{
	int32 max_running = arg_int32(fcinfo, n, "max_running", -1, 0, MAX_RUNNING);
	int32 burst = arg_int32(fcinfo, n + 3, "burst", 1, 1, MAX_BURST);
	int32 weight = of_groups ? arg_int32(fcinfo, n + 4, "weight", 1, 1, MAX_WEIGHT) : 1;

	fill_in(call, ARG_MAX_RUNNING, Int32GetDatum(max_running), max_running < 0);
	read_rate(call, fcinfo, n + 1, of_groups);
	fill_in(call, ARG_BURST, Int32GetDatum(burst), false);
	fill_in(call, ARG_WEIGHT, Int32GetDatum(weight), false);
	refuse_without_rate(call, of_groups ? "set_group_limit()" : "set_limit()");
}

static bool
write_limit(LimitCall *call, Statement *statement)
{
	Datum result = BoolGetDatum(false);
	bool isnull = true;

	(void) sql_as_owner(statement, call->values, call->nulls, &result, &isnull, 1);
	return !isnull && DatumGetBool(result);
}

PG_FUNCTION_INFO_V1(taskq_set_limit);
Datum
taskq_set_limit(PG_FUNCTION_ARGS)
{
	LimitCall call;

	name_limit(&call, queue_to_limit(fcinfo, "taskq.set_limit()"), LIMIT_OF_QUEUE, NULL);
	read_limit(&call, fcinfo, 1, false);
	(void) write_limit(&call, &set_limit);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_set_group_limit);
Datum
taskq_set_group_limit(PG_FUNCTION_ARGS)
{
	const Queue *queue = queue_to_limit(fcinfo, "taskq.set_group_limit()");
	text *group_key = arg_group_key(fcinfo, 1);
	LimitCall call;

	name_limit(&call, queue, group_key != NULL ? LIMIT_OF_GROUP : LIMIT_OF_GROUPS, group_key);
	read_limit(&call, fcinfo, 2, true);
	tell_ordered(&call, queue);
	(void) write_limit(&call, &set_limit);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_drop_group_limit);
Datum
taskq_drop_group_limit(PG_FUNCTION_ARGS)
{
	const Queue *queue = queue_to_limit(fcinfo, "taskq.drop_group_limit()");
	text *group_key = arg_group_key(fcinfo, 1);
	LimitCall call;

	require_argument(fcinfo, 1, "group_key");
	name_limit(&call, queue, LIMIT_OF_GROUP, group_key);
	PG_RETURN_BOOL(write_limit(&call, &drop_limit));
}

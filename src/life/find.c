/*
 * find.c
 *		find_tasks(), unserved(): searches that read a stated number of tasks at most.
 *
 * The view taskq.tasks asks for each of its rows whether the caller may view its queue, so that no
 * index helps to order or to end it.  find_tasks() asks once for each queue instead, and then reads
 * the tables as taskq_owner, newest tasks first, with the names of these queues as one more filter.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/sql.h"
#include "tables/grant.h"
#include "tables/queue.h"

#define MAX_FOUND    1000
#define MAX_LOOKED   10000000
#define LOOK_DEFAULT 100000

static Statement select_queues = {
	"select q.name from taskq_private.queue_names q",
	0,
	{0},
	NULL,
};

static Statement select_tasks = {
	"select f.* from taskq_private.find_tasks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
	"$13, $14, $15, $16) f",
	16,
	{TEXTARRAYOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID, TEXTOID,
	 TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, INT8OID, INT4OID, TEXTOID},
	NULL,
};

static Statement select_unserved = {
	"select u.* from taskq_private.unserved($1, $2, $3) u",
	3,
	{TEXTARRAYOID, TEXTOID, INT4OID},
	NULL,
};

/* Arguments of find_tasks(); those of the private function have the queues before them. */
enum FindArgument
{
	FIND_QUEUE,
	FIND_STATES,
	FIND_LIMIT = 11,
	FIND_AFTER,
	FIND_SCAN,
	FIND_GROUP_KEY,
	FIND_NARGUMENTS
};

static void
add_viewable(const Datum *values, const bool *nulls, void *arg)
{
	ArrayBuildState **names = arg;
	const Queue *queue = queue_of_row(DatumGetTextPP(values[0]));

	if (queue_may(queue, PRIVILEGE_VIEW))
		*names = accumArrayResult(*names, values[0], false, TEXTOID, CurrentMemoryContext);
}

/* An array of the names of the queues that the caller may view. */
static Datum
viewable_queues(void)
{
	ArrayBuildState *names = initArrayResult(TEXTOID, CurrentMemoryContext, false);

	sql_each_as_owner(&select_queues, NULL, NULL, add_viewable, &names);
	return makeArrayResult(names, CurrentMemoryContext);
}

static void
return_row(const Datum *values, const bool *nulls, void *arg)
{
	ReturnSetInfo *rsinfo = arg;
	TupleDesc desc = rsinfo->setDesc;
	Datum *copy = palloc_array(Datum, desc->natts);

	for (int i = 0; i < desc->natts; i++)
	{
		copy[i] = values[i];
		if (!nulls[i] && TupleDescAttr(desc, i)->attlen == -1)
			copy[i] = PointerGetDatum(PG_DETOAST_DATUM(values[i]));
	}
	tuplestore_putvalues(rsinfo->setResult, desc, copy, (bool *) nulls);
	pfree(copy);
}

/* An array of states as its text, because the type has no fixed OID. */
static Datum
states_as_text(Datum states)
{
	Oid array_type = get_array_type(ARR_ELEMTYPE(DatumGetArrayTypeP(states)));
	Oid output;
	bool is_varlena;

	getTypeOutputInfo(array_type, &output, &is_varlena);
	return CStringGetTextDatum(OidOutputFunctionCall(output, states));
}

PG_FUNCTION_INFO_V1(taskq_find_tasks);
Datum
taskq_find_tasks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum values[FIND_NARGUMENTS + 1] = {0};
	char nulls[FIND_NARGUMENTS + 1];
	text *queue = arg_name(fcinfo, FIND_QUEUE, "queue");

	if (queue != NULL)
		queue_require(queue_by_name(queue), PRIVILEGE_VIEW);
	for (int i = 0; i < FIND_NARGUMENTS; i++)
	{
		nulls[i + 1] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i + 1] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	if (!PG_ARGISNULL(FIND_STATES))
		values[FIND_STATES + 1] = states_as_text(values[FIND_STATES + 1]);
	values[FIND_LIMIT + 1] =
		Int32GetDatum(arg_int32(fcinfo, FIND_LIMIT, "limit", 50, 1, MAX_FOUND));
	values[FIND_SCAN + 1] =
		Int32GetDatum(arg_int32(fcinfo, FIND_SCAN, "scan", LOOK_DEFAULT, 1, MAX_LOOKED));
	nulls[FIND_LIMIT + 1] = nulls[FIND_SCAN + 1] = ' ';
	nulls[0] = queue_may_all(PRIVILEGE_VIEW) ? 'n' : ' ';
	if (nulls[0] == ' ')
		values[0] = viewable_queues();
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	sql_each_as_owner(&select_tasks, values, nulls, return_row, rsinfo);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(taskq_unserved);
Datum
taskq_unserved(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	text *queue = arg_name(fcinfo, 0, "queue");
	Datum values[3] = {0};
	char nulls[] = "   ";

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("taskq.unserved() cannot be called on a standby"),
				 errdetail("A standby does not know which sessions the primary has."),
				 errhint("Call it on the primary.")));
	if (queue != NULL)
		queue_require(queue_by_name(queue), PRIVILEGE_VIEW);
	nulls[0] = queue_may_all(PRIVILEGE_VIEW) ? 'n' : ' ';
	if (nulls[0] == ' ')
		values[0] = viewable_queues();
	nulls[1] = queue != NULL ? ' ' : 'n';
	values[1] = PointerGetDatum(queue);
	values[2] = Int32GetDatum(arg_int32(fcinfo, 1, "scan", LOOK_DEFAULT, 1, MAX_LOOKED));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	sql_each_as_owner(&select_unserved, values, nulls, return_row, rsinfo);
	return (Datum) 0;
}

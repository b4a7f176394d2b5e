/*
 * queue_stats.c
 *		How full the queues are: queue_stats().
 *
 * What a call costs must not grow with the backlog, nor what a call for all queues costs
 * with the running tasks times the queues.  So pending tasks are those that counts.c
 * knows of, and the running tasks of all queues are counted together.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/sql.h"
#include "hints/counts.h"
#include "hints/leases.h"
#include "life/due.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/state.h"

static Statement count_pending = {
	"select (select count(*) from taskq_private.task t where t.queue_id = $1) - "
	"(select count(*) from taskq_private.lease l where l.queue_id = $1)",
	1,
	{INT4OID},
	NULL,
};

static Statement count_live = {
	"select count(*) from taskq_private.task t where t.queue_id = $1",
	1,
	{INT4OID},
	NULL,
};

static Statement select_queue_ids = {
	"select array_agg(q.id order by q.name) from taskq_private.all_queues q",
	0,
	{0},
	NULL,
};

static int64
count_by(Statement *statement, int32 queue_id)
{
	Datum argument = Int32GetDatum(queue_id);
	Datum result = 0;
	bool isnull;

	(void) sql_as_owner(statement, &argument, NULL, &result, &isnull, 1);
	return DatumGetInt64(result);
}

/* In one snapshot, as counts.c needs it. */
static int64
count_pending_of(int32 queue_id)
{
	return count_by(&count_pending, queue_id);
}

static void
return_stats(ReturnSetInfo *rsinfo, const Queue *queue, int running, TimestampTz now)
{
	enum
	{
		QUEUE,
		PENDING,
		DUE,
		RUNNING,
		FINISHED, /* the first of NENDED columns */
		SINCE = FINISHED + NENDED,
		OLDEST_DUE_AGE,
		NCOLUMNS,
	};
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS] = {false};
	QueueCounts counts = {0};
	bool counted = counts_read(queue->id, count_pending_of, &counts);
	TimestampTz oldest;
	Interval age = {0};

	if (!counted)
		counts.pending = Max(count_by(&count_live, queue->id) - running, 0);
	values[QUEUE] = CStringGetTextDatum(queue->name);
	values[PENDING] = Int64GetDatum(counts.pending);
	values[DUE] = Int64GetDatum(task_count_due(queue->id, now, &oldest));
	values[RUNNING] = Int64GetDatum(running);
	for (int i = 0; i < NENDED; i++)
	{
		values[FINISHED + i] = Int64GetDatum(counts.ended[i]);
		nulls[FINISHED + i] = !counted;
	}
	values[SINCE] = TimestampTzGetDatum(counts.since);
	nulls[SINCE] = !counted;
	age.time = now - oldest;
	values[OLDEST_DUE_AGE] = IntervalPGetDatum(&age);
	nulls[OLDEST_DUE_AGE] = oldest == DT_NOEND;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* ---- all queues ---------------------------------------------------------------------- */

/* How many tasks of a queue are running. */
typedef struct Running
{
	int32 queue_id;
	int running;
} Running;

/* Those of all queues, by ascending id. */
typedef struct AllRunning
{
	Running *queue;
	int count;
} AllRunning;

static int
compare_running(const void *a, const void *b)
{
	int32 x = ((const Running *) a)->queue_id;
	int32 y = ((const Running *) b)->queue_id;

	return x < y ? -1 : x > y;
}

/* NULL: no queue had that id when the ids were read. */
static Running *
running_of(const AllRunning *all, int32 queue_id)
{
	Running key = {.queue_id = queue_id};

	return bsearch(&key, all->queue, all->count, sizeof(Running), compare_running);
}

static void
add_running(int32 queue_id, int change, void *arg)
{
	Running *found = running_of(arg, queue_id);

	if (found != NULL)
		found->running += change;
}

static AllRunning
count_all_running(const Datum *ids, int nids)
{
	AllRunning all = {palloc0_array(Running, nids), nids};

	for (int i = 0; i < nids; i++)
		all.queue[i].queue_id = DatumGetInt32(ids[i]);
	qsort(all.queue, nids, sizeof(Running), compare_running);
	leases_count(add_running, &all);
	return all;
}

static void
return_all_stats(ReturnSetInfo *rsinfo, TimestampTz now)
{
	Datum *ids;
	bool *nulls;
	int nids;
	Datum array;
	bool isnull;
	AllRunning all;

	(void) sql_as_owner(&select_queue_ids, NULL, NULL, &array, &isnull, 1);
	deconstruct_array(DatumGetArrayTypeP(array), INT4OID, sizeof(int32), true, TYPALIGN_INT, &ids,
					  &nulls, &nids);
	all = count_all_running(ids, nids);
	for (int i = 0; i < nids; i++)
	{
		const Queue *queue = queue_by_id(DatumGetInt32(ids[i]));

		CHECK_FOR_INTERRUPTS();
		if (queue != NULL && queue_may(queue, PRIVILEGE_VIEW))
			return_stats(rsinfo, queue, running_of(&all, queue->id)->running, now);
	}
}

PG_FUNCTION_INFO_V1(taskq_queue_stats);
Datum
taskq_queue_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz now = GetCurrentTimestamp();
	const Queue *queue;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
	{
		return_all_stats(rsinfo, now);
		return (Datum) 0;
	}
	queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
	queue_require(queue, PRIVILEGE_VIEW);
	return_stats(rsinfo, queue, leases_count_running(queue->id, false), now);
	return (Datum) 0;
}

/*
 * queue_stats.c
 *		queue_stats(): how many tasks each queue has.
 *
 * The cost of a call must not grow with the backlog or with the number of running tasks.  So both
 * numbers come from counts.c.  There may be thousands of queues.  So what is not known is counted
 * for all of them together, and no queue's settings are read if the caller may view all.
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
#include "hints/dispatch.h"
#include "life/due.h"
#include "life/queue_stats.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/state.h"

/* For one queue, by the index; and for all, in one pass. */
static Statement count_live = {
	"select (select count(*) from taskq_private.tasks_by_queue t where t.queue_id = $1), "
	"(select count(*) from taskq_private.lease l where l.queue_id = $1)",
	1,
	{INT4OID},
	NULL,
};

static Statement count_all_live = {
	"select array_agg(c.queue_id order by c.queue_id), array_agg(c.tasks order by c.queue_id), "
	"array_agg(c.leases order by c.queue_id) from "
	"(select s.queue_id, sum(s.tasks)::bigint as tasks, sum(s.leases)::bigint as leases from "
	"(select t.queue_id, count(*) as tasks, 0 as leases from taskq_private.task t group by 1 "
	"union all select l.queue_id, 0, count(*) from taskq_private.lease l group by 1) s "
	"group by 1) c",
	0,
	{0},
	NULL,
};

/* $1: all queues; otherwise those that are granted to some role. */
static Statement select_queues = {
	"select array_agg(q.id order by q.name), array_agg(q.name::text order by q.name) "
	"from taskq_private.all_queues q where $1 or exists "
	"(select from taskq_private.queue_grant g where g.queue_id = q.id and g.privilege = 'view')",
	1,
	{BOOLOID},
	NULL,
};

/* ---- live tasks, in one snapshot, as counts.c requires ----------------------------------- */

static LiveCounts
live_of(int64 tasks, int64 leases)
{
	return (LiveCounts){.pending = Max(tasks - leases, 0), .running = leases};
}

static void
count_one(int32 queue_id, LiveCounts *live)
{
	Datum argument = Int32GetDatum(queue_id);
	Datum values[2];
	bool nulls[2];

	(void) sql_as_owner(&count_live, &argument, NULL, values, nulls, 2);
	*live = live_of(DatumGetInt64(values[0]), DatumGetInt64(values[1]));
}

static int
elements(Datum array, Oid type, int length, Datum **values)
{
	bool *nulls;
	int count;

	deconstruct_array(DatumGetArrayTypeP(array), type, length, true,
					  length == sizeof(int32) ? TYPALIGN_INT : TYPALIGN_DOUBLE, values, &nulls,
					  &count);
	return count;
}

/* The counts of a queue among those of all that have live tasks, by ascending ids. */
static int
compare_with_element(const void *id, const void *element)
{
	int32 x = *(const int32 *) id;
	int32 y = DatumGetInt32(*(const Datum *) element);

	return x < y ? -1 : x > y;
}

static void
count_all(const int32 *queue_ids, int count, LiveCounts *live)
{
	Datum arrays[3];
	bool nulls[3];
	Datum *ids;
	Datum *tasks;
	Datum *leases;
	int n;

	(void) sql_as_owner(&count_all_live, NULL, NULL, arrays, nulls, 3);
	if (nulls[0])
		return;
	n = elements(arrays[0], INT4OID, sizeof(int32), &ids);
	(void) elements(arrays[1], INT8OID, sizeof(int64), &tasks);
	(void) elements(arrays[2], INT8OID, sizeof(int64), &leases);
	for (int i = 0; i < count; i++)
	{
		Datum *found = bsearch(&queue_ids[i], ids, n, sizeof(Datum), compare_with_element);

		if (found != NULL)
			live[i] = live_of(DatumGetInt64(tasks[found - ids]),
							  DatumGetInt64(leases[found - ids]));
	}
}

static void
count_queues(const int32 *queue_ids, int count, LiveCounts *live)
{
	Backlog b;

	/* The statements take weaker locks, and the look that follows would deadlock with a REINDEX. */
	backlog_open(&b);
	backlog_close(&b);
	memset(live, 0, count * sizeof(LiveCounts));
	if (count == 1)
		count_one(queue_ids[0], live);
	else
		count_all(queue_ids, count, live);
}

void
queue_counts_read(QueueCounts *counts, int count)
{
	int32 *ids;
	LiveCounts *live;

	if (counts_read(counts, count, count_queues))
		return;
	ids = palloc_array(int32, count + 1);
	live = palloc_array(LiveCounts, count + 1);
	for (int i = 0; i < count; i++)
		ids[i] = counts[i].queue_id;
	count_queues(ids, count, live);
	for (int i = 0; i < count; i++)
		counts[i].live = live[i];
	pfree(ids);
	pfree(live);
}

/* ---- rows -------------------------------------------------------------------------------- */

/* How many tasks of a queue are due, and since when the first of them is; DT_NOEND: none is. */
typedef struct Due
{
	int count;
	TimestampTz oldest;
} Due;

/*
 * Whether no task of the queue is due, without a look at it.  Such a look costs the more the more
 * of its tasks are running.
 */
static bool
none_is_pending(const QueueCounts *counts)
{
	return counts->known && counts->exact && counts->live.pending == 0 &&
		   counts->live.running > 0 && !dispatch_has_own(counts->queue_id);
}

/* Of one queue they are counted; of many, that would cost too much. */
static Due
due_of(LaneLook *look, const QueueCounts *counts, bool many, TimestampTz now)
{
	Due due = {.oldest = DT_NOEND};

	if (none_is_pending(counts))
		return due;
	if (many && !dispatch_has_own(counts->queue_id))
		due.count = task_gauge_due(look, counts->queue_id, now, counts->live.pending,
								   &due.oldest);
	else
		due.count = task_count_due(look->b, counts->queue_id, now, &due.oldest);
	return due;
}

static int
compare_queues(const void *a, const void *b)
{
	int32 x = (*(const QueueCounts *const *) a)->queue_id;
	int32 y = (*(const QueueCounts *const *) b)->queue_id;

	return x < y ? -1 : x > y;
}

/* In the order of ids, as a LaneLook wants it. */
static Due *
read_due(const QueueCounts *counts, int count, TimestampTz now)
{
	const QueueCounts **order = palloc_array(const QueueCounts *, count);
	Due *due = palloc_array(Due, count);
	Backlog b;
	LaneLook look;

	for (int i = 0; i < count; i++)
		order[i] = &counts[i];
	qsort(order, count, sizeof(*order), compare_queues);
	backlog_open(&b);
	lane_look_open(&look, &b);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		due[order[i] - counts] = due_of(&look, order[i], count > 1, now);
	}
	lane_look_close(&look);
	backlog_close(&b);
	pfree(order);
	return due;
}

static void
return_stats(ReturnSetInfo *rsinfo, Datum name, const QueueCounts *counts, const Due *due,
			 TimestampTz now)
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
	Interval age = {.time = now - due->oldest};

	values[QUEUE] = name;
	values[PENDING] = Int64GetDatum(counts->live.pending);
	values[DUE] = Int64GetDatum(due->count);
	values[RUNNING] = Int64GetDatum(counts->live.running);
	for (int i = 0; i < NENDED; i++)
	{
		values[FINISHED + i] = Int64GetDatum(counts->ended[i]);
		nulls[FINISHED + i] = !counts->known;
	}
	values[SINCE] = TimestampTzGetDatum(counts->since);
	nulls[SINCE] = !counts->known;
	values[OLDEST_DUE_AGE] = IntervalPGetDatum(&age);
	nulls[OLDEST_DUE_AGE] = due->oldest == DT_NOEND;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Of these queues, whose ids are set in counts[]. */
static void
return_all_stats(ReturnSetInfo *rsinfo, const Datum *names, QueueCounts *counts, int count)
{
	TimestampTz now = GetCurrentTimestamp();
	Due *due;

	queue_counts_read(counts, count);
	due = read_due(counts, count, now);
	for (int i = 0; i < count; i++)
		return_stats(rsinfo, names[i], &counts[i], &due[i], now);
}

static bool
may_view(int32 queue_id)
{
	const Queue *queue = queue_by_id(queue_id);

	return queue != NULL && queue_may(queue, PRIVILEGE_VIEW);
}

static void
return_viewable(ReturnSetInfo *rsinfo)
{
	bool all = queue_may_all(PRIVILEGE_VIEW);
	Datum argument = BoolGetDatum(all);
	Datum arrays[2];
	bool isnull[2];
	Datum *ids;
	Datum *names;
	bool *nulls;
	int count;
	QueueCounts *counts;
	int n = 0;

	(void) sql_as_owner(&select_queues, &argument, NULL, arrays, isnull, 2);
	if (isnull[0])
		return;
	(void) elements(arrays[0], INT4OID, sizeof(int32), &ids);
	deconstruct_array(DatumGetArrayTypeP(arrays[1]), TEXTOID, -1, false, TYPALIGN_INT, &names,
					  &nulls, &count);
	counts = palloc0_array(QueueCounts, count);
	for (int i = 0; i < count; i++)
	{
		if (!all && !may_view(DatumGetInt32(ids[i])))
			continue;
		names[n] = names[i];
		counts[n++].queue_id = DatumGetInt32(ids[i]);
	}
	return_all_stats(rsinfo, names, counts, n);
}

PG_FUNCTION_INFO_V1(taskq_queue_stats);
Datum
taskq_queue_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	QueueCounts counts = {0};
	const Queue *queue;
	Datum name;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
	{
		return_viewable(rsinfo);
		return (Datum) 0;
	}
	queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
	queue_require(queue, PRIVILEGE_VIEW);
	counts.queue_id = queue->id;
	name = CStringGetTextDatum(queue->name);
	return_all_stats(rsinfo, &name, &counts, 1);
	return (Datum) 0;
}

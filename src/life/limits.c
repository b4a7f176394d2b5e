/*
 * limits.c
 *		The limits of queues and groups, as claims need them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"

#include "base/arg.h"
#include "base/database.h"
#include "base/settings.h"
#include "base/sql.h"
#include "base/xact.h"
#include "core/clock.h"
#include "hints/idle.h"
#include "hints/wakeup.h"
#include "life/limits.h"
#include "tables/flow_limit.h"

#define STALE_AT_ONCE 256 /* groups whose limits are read */

bool
limits_exist(const Queue *queue)
{
	return queue->endpoint || queue->has_limits || queue->ordered;
}

QueueLimit
limits_of_queue(const Queue *queue)
{
	QueueLimit limit = {.max_running = queue->limit.max_running};

	if (queue->endpoint && limit.max_running == NO_LIMIT)
		limit.max_running = setting_http_max_per_host;
	limit.rate = tq_gcra_limit_of(queue->limit.rate, queue->limit.per_us, queue->limit.burst);
	return limit;
}

GroupLimits
limits_of_group(const Queue *queue, int64 group_id)
{
	FlowLimit limit = queue->group_limit;
	GroupLimits limits;

	if (queue->has_limits)
		(void) flow_limit_read(queue->id, LIMIT_OF_GROUP, group_id, &limit);
	limits = (GroupLimits){
		.max_running = limit.max_running,
		.weight = Max(limit.weight, 1),
		.ordered = queue->ordered,
		.rate = tq_gcra_limit_of(limit.rate, limit.per_us, limit.burst),
	};
	if (limits_leave_marks(&limits.rate))
		limits.tat = limits_newest_mark(queue->id, group_id);
	return limits;
}

/* The session hears of all changes of the queue up to that number after it has read the number. */
static const Queue *
latest_queue(FlowQueue *q, uint32 *generation)
{
	*generation = pg_atomic_read_u32(&q->limits);
	pg_read_barrier();
	AcceptInvalidationMessages();
	return queue_by_id(q->queue_id);
}

void
limits_read_group(FlowQueue *q, int64 group_id)
{
	uint32 generation;
	const Queue *queue = latest_queue(q, &generation);
	GroupLimits limits;

	if (queue == NULL)
		return;
	limits = limits_of_group(queue, group_id);
	groups_set_limits(q, group_id, generation, &limits);
}

void
limits_place_kept(FlowQueue *q)
{
	uint32 generation = pg_atomic_read_u32(&q->limits);
	uint32 cursor = 0;
	int64 ids[STALE_AT_ONCE];
	int count;

	if (q->placed_limits == generation)
		return;
	while ((count = groups_stale(q, &cursor, generation, ids, STALE_AT_ONCE)) > 0)
	{
		for (int i = 0; i < count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			limits_read_group(q, ids[i]);
		}
	}
	groups_placed(q, generation);
}

/* ---- changes ------------------------------------------------------------------------- */

#define MAX_CHANGED 64

/* The queues whose limits this transaction has changed. */
static int32 changed[MAX_CHANGED];
static int nchanged = 0; /* may be greater than MAX_CHANGED */

static void
forget_changed(XactEnd end)
{
	if (end != XACT_COMMITTED)
		nchanged = 0;
}

static void
limits_have_changed(FlowQueue *q)
{
	(void) pg_atomic_fetch_add_u32(&q->limits, 1);
}

/* The other sessions hear of the change of the queue itself before this. */
static void
tell_changed(bool committed)
{
	if (nchanged > MAX_CHANGED)
	{
		for (int i = 0; i < flow_count(); i++)
			limits_have_changed(flow_at(i));
		idle_end_all();
	}
	for (int i = 0; i < Min(nchanged, MAX_CHANGED); i++)
	{
		FlowQueue *q = flow_find(changed[i]);

		if (q != NULL)
			limits_have_changed(q);
		idle_end(changed[i]);
		wakeup_some(changed[i], MaxBackends);
	}
	if (nchanged > 0 && database_mine() != NULL)
		database_want(database_mine(), WANT_TASKS);
	nchanged = 0;
}

static XactKind changes = {.ended = forget_changed, .released = tell_changed};

/* At commit, all claimers heed the limits of the queue anew. */
PG_FUNCTION_INFO_V1(taskq_limits_changed);
Datum
taskq_limits_changed(PG_FUNCTION_ARGS)
{
	int32 queue_id = PG_GETARG_INT32(0);

	xact_register(&changes);
	for (int i = 0; i < Min(nchanged, MAX_CHANGED); i++)
	{
		if (changed[i] == queue_id)
			PG_RETURN_VOID();
	}
	if (nchanged < MAX_CHANGED)
		changed[nchanged] = queue_id;
	nchanged++;
	PG_RETURN_VOID();
}

/* ---- marks --------------------------------------------------------------------------- */

static Statement insert_mark = {
	"insert into taskq_private.start_mark (queue_id, group_id, tat) values ($1, $2, $3) "
	"returning 1",
	3,
	{INT4OID, INT8OID, TIMESTAMPTZOID},
	NULL,
};
static Statement newest_mark = {
	"select max(tat) from taskq_private.start_mark where queue_id = $1 and group_id = $2",
	2,
	{INT4OID, INT8OID},
	NULL,
};

bool
limits_leave_marks(const tq_gcra_limit *rate)
{
	return rate->interval_ns > 0 && tq_gcra_is_slow(rate);
}

void
limits_mark(int32 queue_id, int64 group_id, int64 tat_ns)
{
	TimestampTz tat = GetCurrentTimestamp() + (tat_ns / 1000 - tq_clock_us());
	Datum values[3] = {Int32GetDatum(queue_id), Int64GetDatum(group_id),
					   TimestampTzGetDatum(tat)};
	Datum done;
	bool isnull;

	(void) sql_as_owner(&insert_mark, values, NULL, &done, &isnull, 1);
}

int64
limits_newest_mark(int32 queue_id, int64 group_id)
{
	Datum values[2] = {Int32GetDatum(queue_id), Int64GetDatum(group_id)};
	Datum tat;
	bool isnull;

	if (!sql_as_owner(&newest_mark, values, NULL, &tat, &isnull, 1) || isnull)
		return tq_gcra_full();
	return (DatumGetTimestampTz(tat) - GetCurrentTimestamp() + tq_clock_us()) * 1000;
}

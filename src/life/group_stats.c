/*
 * group_stats.c
 *		What the groups of a queue run, and for what they wait.
 *
 * Shared memory knows the groups that have waiting or running tasks, but no key: that is read
 * from a task of the group.  Without shared memory the tasks and leases are read.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "hints/groups.h"
#include "hints/listing.h"
#include "life/alone.h"
#include "life/limits.h"
#include "life/turns.h"
#include "tables/backlog.h"
#include "tables/grant.h"
#include "tables/group_id.h"
#include "tables/group_scan.h"
#include "tables/queue.h"
#include "tables/rows.h"

#define MAX_GROUPS 10000

/* ---- keys ---------------------------------------------------------------------------- */

/* The key of a group, from one of its tasks; NULL: it has none any more. */
static text *
key_of_group(Backlog *b, GroupScan *scan, int32 queue_id, int64 group_id)
{
	GroupPlace place = GROUP_PLACE_BEHIND(group_id - 1);
	Candidate c;
	Row task;

	group_scan_begin(scan, queue_id, &place);
	while (group_scan_next(scan, &place, &c) && place.group_id == group_id)
	{
		CHECK_FOR_INTERRUPTS();
		if (row_fetch(&b->task, c.id, &task) && !task.nulls[TASK_GROUP_KEY])
			return DatumGetTextPP(task.values[TASK_GROUP_KEY]);
	}
	return NULL;
}

/* ---- states -------------------------------------------------------------------------- */

/* Those for which a task waits come first, the longest waiting one before the others. */
static int
compare_states(const void *a, const void *b)
{
	const KnownGroup *x = a;
	const KnownGroup *y = b;

	if (x->due != y->due)
		return x->due < y->due ? -1 : 1;
	if (x->running != y->running)
		return x->running > y->running ? -1 : 1;
	return x->group_id < y->group_id ? -1 : x->group_id > y->group_id;
}

static KnownGroup *
states_of_shared(FlowQueue *q, Backlog *b, int64 group_id, int *count)
{
	KnownGroup *states;

	while (listing_read_on(q, b))
		CHECK_FOR_INTERRUPTS();
	limits_place_kept(q);
	states = groups_states(q, group_id, count);
	return states;
}

/* For what the group waits; NULL: no task waits, or one can be claimed in its turn. */
static const char *
waits_for(const KnownGroup *s, bool queue_is_closed)
{
	if (s->due == DT_NOEND)
		return NULL;
	if (s->max_running != NO_LIMIT && s->running >= s->max_running)
		return s->ordered && s->max_running > 0 ? "order" : "max_running";
	if (s->due > GetCurrentTimestamp())
		return "time";
	if (s->opens > GetCurrentTimestamp())
		return "rate";
	return queue_is_closed ? "queue" : "turn";
}

static void
return_state(ReturnSetInfo *rsinfo, const KnownGroup *s, text *key, bool queue_is_closed)
{
	const char *reason = waits_for(s, queue_is_closed);
	Datum values[6];
	bool nulls[6] = {false};

	values[0] = PointerGetDatum(key);
	values[1] = Int32GetDatum(s->running);
	values[2] = Int32GetDatum(s->max_running);
	nulls[2] = s->max_running == NO_LIMIT;
	values[3] = TimestampTzGetDatum(s->due);
	nulls[3] = s->due == DT_NOEND || s->due == DT_NOBEGIN;
	nulls[4] = reason == NULL;
	if (reason != NULL)
		values[4] = CStringGetTextDatum(reason);
	values[5] = TimestampTzGetDatum(s->opens);
	nulls[5] = s->opens == DT_NOEND || s->opens <= GetCurrentTimestamp();
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static bool
note_first(Backlog *b, const Candidate *c, void *arg)
{
	*(TimestampTz *) arg = c->run_at;
	return false;
}

/* Shared memory may not know the limits yet, nor when the first task is due. */
static void
complete(Backlog *b, const Queue *queue, KnownGroup *s)
{
	GroupLimits limits = limits_of_group(queue, s->group_id);

	s->ordered = limits.ordered;
	s->max_running = limits.max_running;
	if (limits.ordered && limits.max_running != 0)
		s->max_running = 1;
	if (s->due == DT_NOBEGIN)
		(void) group_walk(b, queue->id, s->group_id, GetCurrentTimestamp(), note_first, &s->due);
}

static void
return_states(ReturnSetInfo *rsinfo, Backlog *b, const Queue *queue, KnownGroup *states, int count,
			  int max)
{
	bool closed = turns_open(queue, GetCurrentTimestamp()) > GetCurrentTimestamp();
	int32 queue_id = queue->id;
	GroupScan scan;
	int returned = 0;

	qsort(states, count, sizeof(KnownGroup), compare_states);
	group_scan_open(&scan, b);
	for (int i = 0; i < count && returned < max; i++)
	{
		text *key = key_of_group(b, &scan, queue_id, states[i].group_id);

		if (key == NULL)
			continue;
		complete(b, queue, &states[i]);
		return_state(rsinfo, &states[i], key, closed);
		returned++;
	}
	group_scan_close(&scan);
}

PG_FUNCTION_INFO_V1(taskq_group_stats);
Datum
taskq_group_stats(PG_FUNCTION_ARGS)
{
	const Queue *queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
	text *key = arg_group_key(fcinfo, 1);
	int max = arg_int32(fcinfo, 2, "max_groups", 100, 1, MAX_GROUPS);
	int64 group_id = key != NULL ? group_id_of(key) : 0;
	FlowQueue *q;
	KnownGroup *states;
	int count;
	Backlog b;

	queue_require(queue, PRIVILEGE_VIEW);
	InitMaterializedSRF(fcinfo, 0);
	backlog_open(&b);
	q = flow_make(queue->id);
	if (q != NULL)
		states = states_of_shared(q, &b, group_id, &count);
	else
		states = alone_states(&b, queue, group_id, &count);
	return_states((ReturnSetInfo *) fcinfo->resultinfo, &b, queue, states, count, max);
	backlog_close(&b);
	return (Datum) 0;
}

/* ---- queues -------------------------------------------------------------------------- */

/*
 * Of a queue with a limit: how many run, how many may, and when the rate opens.  Of any queue:
 * whether groups wait for memory.
 */
PG_FUNCTION_INFO_V1(taskq_queue_limit_state);
Datum
taskq_queue_limit_state(PG_FUNCTION_ARGS)
{
	const Queue *queue = queue_by_id(PG_GETARG_INT32(0));
	FlowQueue *q = queue != NULL ? flow_make(queue->id) : NULL;
	TimestampTz now = GetCurrentTimestamp();
	Datum values[4] = {0};
	bool nulls[4] = {true, true, true, true};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (q != NULL)
	{
		QueueLimit limit = limits_of_queue(queue);
		TimestampTz opens = turns_open(queue, now);

		values[0] = Int32GetDatum(flow_running(q));
		values[1] = Int32GetDatum(limit.max_running);
		values[2] = TimestampTzGetDatum(opens);
		values[3] = BoolGetDatum(q->no_room);
		nulls[0] = nulls[3] = false;
		nulls[1] = limit.max_running == NO_LIMIT;
		nulls[2] = opens <= now || opens == DT_NOEND;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

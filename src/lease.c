/*
 * lease.c
 *		The ownership of a running task: proved, extended, taken back.
 *
 * A lease is lost when its row is gone or bears another token, not by the
 * clock alone: until somebody takes the task back, heartbeat and finish
 * succeed.  Every function here reads the latest row and, when somebody
 * changed it at the same moment, reads it again.
 */
#include "task.h"

#include "access/xact.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

static Statement expire_starts = {"select taskq._expire_starts()", 0, {0}, NULL};

bool
lease_take(int64 id, int64 token, Row *lease)
{
	HotRelation r;
	RowResult result = ROW_GONE;

	hot_open(&r, HOT_LEASE);
	do
	{
		CHECK_FOR_INTERRUPTS();
		if (!row_fetch(&r, id, lease) || ROW_INT64(lease, LEASE_TOKEN) != token)
			result = ROW_GONE;
		else
			result = row_delete(&r, lease, true);
	} while (result == ROW_CHANGED);
	hot_close(&r);
	if (result == ROW_DONE)
		CommandCounterIncrement();
	return result == ROW_DONE;
}

bool
lease_extend(int64 id, int64 token, int64 extend_us, Row *lease)
{
	HotRelation r;
	RowResult result = ROW_GONE;

	hot_open(&r, HOT_LEASE);
	do
	{
		TimestampTz until;

		CHECK_FOR_INTERRUPTS();
		result = ROW_GONE;
		if (!row_fetch(&r, id, lease) || ROW_INT64(lease, LEASE_TOKEN) != token)
			break;
		until = GetCurrentTimestamp() + (extend_us > 0 ? extend_us : ROW_INT64(lease, LEASE_US));
		if (!lease->nulls[LEASE_DEADLINE])
			until = Min(until, ROW_TIME(lease, LEASE_DEADLINE));
		lease->values[LEASE_UNTIL] = TimestampTzGetDatum(until);
		result = row_update(&r, lease);
	} while (result == ROW_CHANGED);
	hot_close(&r);
	if (result == ROW_DONE)
		CommandCounterIncrement();
	return result == ROW_DONE;
}

PG_FUNCTION_INFO_V1(taskq_heartbeat);
Datum
taskq_heartbeat(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	int64 token = arg_id(fcinfo, 1, "token");
	int64 extend_us = arg_interval_us(fcinfo, 2, "extend_by", 0, MIN_LEASE_US, MAX_LEASE_US);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Row lease;

	require_writable("taskq.heartbeat()");
	InitMaterializedSRF(fcinfo, 0);
	if (lease_extend(id, token, extend_us, &lease))
	{
		Datum values[2] = {lease.values[LEASE_UNTIL], lease.values[LEASE_CANCEL_REQUESTED]};
		bool nulls[2] = {false, false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Extends leases in flight and returns the ids whose attempt is to be given up. */
PG_FUNCTION_INFO_V1(taskq_push_extend);
Datum
taskq_push_extend(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64 *ids;
	int64 *tokens;
	int count = arg_id_arrays(fcinfo, 0, &ids, &tokens);

	require_writable("taskq._push_extend()");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < count; i++)
	{
		Row lease;
		Datum value = Int64GetDatum(ids[i]);
		bool isnull = false;

		if (lease_extend(ids[i], tokens[i], 0, &lease) && !ROW_BOOL(&lease, LEASE_CANCEL_REQUESTED))
			continue;
		/* Asked to be cancelled: the attempt ends here and now, nobody else will end it. */
		if (lease_take(ids[i], tokens[i], &lease))
			(void) task_lost(&lease);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(taskq_push_release);
Datum
taskq_push_release(PG_FUNCTION_ARGS)
{
	int64 *ids;
	int64 *tokens;
	int count = arg_id_arrays(fcinfo, 0, &ids, &tokens);
	int released = 0;

	require_writable("taskq._push_release()");
	for (int i = 0; i < count; i++)
	{
		Row lease;

		if (!lease_take(ids[i], tokens[i], &lease))
			continue;
		task_release(&lease, 0);
		released++;
	}
	PG_RETURN_INT32(released);
}

/* Leases to be ended: the argument of the two visitors below. */
typedef struct Losing
{
	TimestampTz now;
	TimestampTz next; /* when the next one of the others runs out */
	List *leases;     /* of Row */
	int max;
} Losing;

static void
remember(Losing *l, const Row *lease)
{
	Row *copy = palloc_object(Row);

	*copy = *lease;
	l->leases = lappend(l->leases, copy);
}

static void
visit_expired(HotRelation *r, const Row *lease, void *arg)
{
	Losing *l = arg;
	TimestampTz until = ROW_TIME(lease, LEASE_UNTIL);

	if (until <= l->now && list_length(l->leases) < l->max)
		remember(l, lease);
	else
		l->next = Min(l->next, until);
}

/*
 * Ends the attempts of the leases found, without waiting: who has the row at
 * this moment is about to extend or end it.  A heartbeat since the walk makes
 * it another row, which is left alone.
 */
static int
lose(List *leases)
{
	HotRelation r;
	ListCell *cell;
	int lost = 0;

	hot_open(&r, HOT_LEASE);
	foreach (cell, leases)
	{
		const Row *lease = lfirst(cell);

		if (row_delete(&r, lease, false) != ROW_DONE)
			continue;
		CommandCounterIncrement();
		(void) task_lost(lease);
		lost++;
	}
	hot_close(&r);
	return lost;
}

static int
lose_where(LeaseVisitor visit, Losing *l)
{
	HotRelation r;

	l->now = GetCurrentTimestamp();
	l->next = DT_NOEND;
	l->leases = NIL;
	hot_open(&r, HOT_LEASE);
	lease_walk(&r, visit, l);
	hot_close(&r);
	return lose(l->leases);
}

TimestampTz
lease_expire(int max)
{
	Losing l = {.max = max};

	(void) lose_where(visit_expired, &l);
	return l.next;
}

/*
 * Ends what was not started in time, takes expired leases back.  Returns the
 * ms until the next lease runs out, NULL if no task runs.
 */
PG_FUNCTION_INFO_V1(taskq_expire_leases);
Datum
taskq_expire_leases(PG_FUNCTION_ARGS)
{
	TimestampTz next;

	require_writable("taskq._expire_leases()");
	(void) owner_query(&expire_starts, NULL, NULL, NULL, NULL, 0);
	next = lease_expire(TASKQ_MAX_BATCH);
	if (next == DT_NOEND)
		PG_RETURN_NULL();
	PG_RETURN_INT64(Max(next - GetCurrentTimestamp(), 0) / US_PER_MS);
}

/* A pull worker may call itself as it likes: only leases of push queues count. */
static void
visit_executors(HotRelation *r, const Row *lease, void *arg)
{
	const Queue *queue = queue_by_id(ROW_INT32(lease, LEASE_QUEUE_ID));

	if (queue != NULL && queue->push && !lease->nulls[LEASE_WORKER] &&
		strcmp(TextDatumGetCString(lease->values[LEASE_WORKER]), EXECUTOR_WORKER) == 0)
		remember(arg, lease);
}

/* At an executor's start: what the one before held when it died.  There is only one at a time. */
PG_FUNCTION_INFO_V1(taskq_push_recover);
Datum
taskq_push_recover(PG_FUNCTION_ARGS)
{
	Losing l = {.max = 0};

	require_writable("taskq._push_recover()");
	PG_RETURN_INT32(lose_where(visit_executors, &l));
}

PG_FUNCTION_INFO_V1(taskq_progress);
Datum
taskq_progress(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	int64 token = arg_id(fcinfo, 1, "token");
	text *message = arg_error(fcinfo, 3);
	HotRelation r;
	Row lease;
	RowResult result = ROW_GONE;

	require_writable("taskq.progress()");
	if (!PG_ARGISNULL(2) && !(PG_GETARG_FLOAT4(2) >= 0 && PG_GETARG_FLOAT4(2) <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("fraction is out of range"),
				 errdetail("It must be between 0 and 1."),
				 errhint("1 is all of the work.")));
	hot_open(&r, HOT_LEASE);
	do
	{
		CHECK_FOR_INTERRUPTS();
		result = ROW_GONE;
		if (!row_fetch(&r, id, &lease) || ROW_INT64(&lease, LEASE_TOKEN) != token)
			break;
		lease.nulls[LEASE_FRACTION] = PG_ARGISNULL(2);
		lease.values[LEASE_FRACTION] = PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2);
		row_set_text(&lease, LEASE_MESSAGE, message);
		result = row_update(&r, &lease);
	} while (result == ROW_CHANGED);
	hot_close(&r);
	if (result == ROW_DONE)
		CommandCounterIncrement();
	PG_RETURN_BOOL(result == ROW_DONE);
}

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
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

/* One try; ROW_CHANGED: somebody has extended it meanwhile. */
static RowResult
try_to_take(HotRelation *r, int64 id, int64 token, Row *lease, bool wait)
{
	CHECK_FOR_INTERRUPTS();
	if (!row_fetch(r, id, lease) || ROW_INT64(lease, LEASE_TOKEN) != token)
		return ROW_GONE;
	return row_delete(r, lease, wait);
}

RowResult
lease_take(int64 id, int64 token, Row *lease, bool wait)
{
	HotRelation r;
	RowResult result = ROW_GONE;

	hot_open(&r, HOT_LEASE);
	do
	{
		result = try_to_take(&r, id, token, lease, wait);
	} while (result == ROW_CHANGED);
	hot_close(&r);
	if (result == ROW_DONE)
		CommandCounterIncrement();
	return result;
}

/* Who has a valid token of a queue that it may not work on is told so. */
static void
require_own(const Row *lease)
{
	const Queue *queue = queue_by_id(ROW_INT32(lease, LEASE_QUEUE_ID));

	if (queue != NULL)
		queue_require(queue, PRIVILEGE_WORK);
}

/* The executor has every queue. */
static void
require_sender(const Row *lease)
{
	if (GetUserId() != get_role_oid(TASKQ_BGW_ROLE, true))
		require_own(lease);
}

RowResult
lease_take_sent(int64 id, int64 token, Row *lease)
{
	RowResult result = lease_take(id, token, lease, false);

	if (result == ROW_DONE)
		require_sender(lease);
	return result;
}

bool
lease_take_own(int64 id, int64 token, Row *lease)
{
	if (lease_take(id, token, lease, true) != ROW_DONE)
		return false;
	require_own(lease);
	return true;
}

bool
lease_take_own_in(HotRelation *leases, int64 id, int64 token, Row *lease)
{
	RowResult result;

	while ((result = try_to_take(leases, id, token, lease, true)) == ROW_CHANGED)
	{
		hot_end_looks(leases);
		hot_begin_looks(leases);
	}
	if (result == ROW_DONE)
		require_own(lease);
	return result == ROW_DONE;
}

/* What is to become of a lease that is still ours. */
typedef void (*LeaseChange)(Row *lease, const void *arg);

/* Results as of lease_take(); *lease is the row as it is then. */
static RowResult
change_lease(int64 id, int64 token, LeaseChange change, const void *arg, Row *lease, bool wait)
{
	HotRelation r;
	RowResult result = ROW_GONE;

	hot_open(&r, HOT_LEASE);
	do
	{
		CHECK_FOR_INTERRUPTS();
		result = ROW_GONE;
		if (!row_fetch(&r, id, lease) || ROW_INT64(lease, LEASE_TOKEN) != token)
			break;
		change(lease, arg);
		result = row_update(&r, lease, wait);
	} while (result == ROW_CHANGED);
	hot_close(&r);
	if (result == ROW_DONE)
		CommandCounterIncrement();
	return result;
}

int64
lease_length_us(const Row *lease)
{
	return lease->nulls[LEASE_US]
			   ? ROW_TIME(lease, LEASE_UNTIL) - ROW_TIME(lease, LEASE_STARTED_AT)
			   : ROW_INT64(lease, LEASE_US);
}

static void
set_until(Row *lease, const void *arg)
{
	int64 extend_us = *(const int64 *) arg;
	int64 length_us = lease_length_us(lease);
	TimestampTz until = GetCurrentTimestamp() + (extend_us > 0 ? extend_us : length_us);

	row_set(lease, LEASE_US, Int64GetDatum(length_us));
	if (!lease->nulls[LEASE_DEADLINE])
		until = Min(until, ROW_TIME(lease, LEASE_DEADLINE));
	lease->values[LEASE_UNTIL] = TimestampTzGetDatum(until);
}

RowResult
lease_extend(int64 id, int64 token, int64 extend_us, Row *lease, bool wait)
{
	return change_lease(id, token, set_until, &extend_us, lease, wait);
}

bool
lease_extend_own(int64 id, int64 token, int64 extend_us, Row *lease)
{
	if (lease_extend(id, token, extend_us, lease, true) != ROW_DONE)
		return false;
	require_own(lease);
	return true;
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

	client_call("taskq.heartbeat()");
	InitMaterializedSRF(fcinfo, 0);
	if (lease_extend_own(id, token, extend_us, &lease))
	{
		Datum values[2] = {lease.values[LEASE_UNTIL], lease.values[LEASE_CANCEL_REQUESTED]};
		bool nulls[2] = {false, false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

static void
give_up(int64 id, int64 token)
{
	Failure failure = {.class = "cancelled", .error = cstring_to_text("given up: cancelled")};
	Row lease;

	if (lease_take(id, token, &lease, true) == ROW_DONE)
		(void) task_fail(&lease, &failure);
}

/*
 * Extends leases in flight and returns the ids whose attempt is to be given up.
 * One that somebody has in hand at this moment is neither extended nor lost:
 * nobody who keeps a transaction open may hold up the others.
 */
PG_FUNCTION_INFO_V1(taskq_push_extend);
Datum
taskq_push_extend(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64 *ids;
	int64 *tokens;
	int count = arg_id_arrays(fcinfo, 0, &ids, &tokens);

	executor_call("taskq_private.push_extend()");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < count; i++)
	{
		Row lease;
		Datum value = Int64GetDatum(ids[i]);
		bool isnull = false;
		RowResult result = lease_extend(ids[i], tokens[i], 0, &lease, false);

		if (result == ROW_BUSY)
			continue;
		if (result == ROW_DONE)
			require_sender(&lease);
		if (result == ROW_DONE && !ROW_BOOL(&lease, LEASE_CANCEL_REQUESTED))
			continue;
		/* Asked to be cancelled: the attempt ends here and now, nobody else will end it. */
		if (result == ROW_DONE)
			give_up(ids[i], tokens[i]);
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
	int64 delay_us = arg_interval_us(fcinfo, 2, "delay", 0, 0, MAX_DELAY_US);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	executor_call("taskq_private.push_release()");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < count; i++)
	{
		Row lease;
		Datum value = Int64GetDatum(ids[i]);
		bool isnull = false;
		RowResult result = lease_take_sent(ids[i], tokens[i], &lease);

		if (result == ROW_BUSY)
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
		if (result != ROW_DONE)
			continue;
		task_release(&lease, delay_us);
		endpoint_released(queue_by_id(ROW_INT32(&lease, LEASE_QUEUE_ID)), ids[i]);
	}
	return (Datum) 0;
}

bool
lease_lose(const Row *lease)
{
	HotRelation r;
	bool lost;

	hot_open(&r, HOT_LEASE);
	lost = row_delete(&r, lease, false) == ROW_DONE;
	hot_close(&r);
	if (lost)
	{
		CommandCounterIncrement();
		(void) task_lost(lease);
	}
	return lost;
}

/* A heartbeat since the lease was looked at leaves another lease_until. */
PG_FUNCTION_INFO_V1(taskq_lose_lease);
Datum
taskq_lose_lease(PG_FUNCTION_ARGS)
{
	Row lease;

	PG_RETURN_BOOL(row_read(HOT_LEASE, PG_GETARG_INT64(0), &lease) &&
				   ROW_INT64(&lease, LEASE_TOKEN) == PG_GETARG_INT64(1) &&
				   ROW_TIME(&lease, LEASE_UNTIL) == PG_GETARG_TIMESTAMPTZ(2) &&
				   lease_lose(&lease));
}

/* What progress() tells. */
typedef struct Progress
{
	bool nofraction;
	Datum fraction;
	text *message;
} Progress;

static void
set_progress(Row *lease, const void *arg)
{
	const Progress *progress = arg;

	lease->nulls[LEASE_FRACTION] = progress->nofraction;
	lease->values[LEASE_FRACTION] = progress->fraction;
	row_set_text(lease, LEASE_MESSAGE, progress->message);
}

PG_FUNCTION_INFO_V1(taskq_progress);
Datum
taskq_progress(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	int64 token = arg_id(fcinfo, 1, "token");
	Progress progress = {.nofraction = PG_ARGISNULL(2), .message = arg_error(fcinfo, 3)};
	Row lease;

	client_call("taskq.progress()");
	if (!progress.nofraction)
		progress.fraction = PG_GETARG_DATUM(2);
	if (!progress.nofraction && !(PG_GETARG_FLOAT4(2) >= 0 && PG_GETARG_FLOAT4(2) <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("fraction is out of range"),
				 errdetail("It must be between 0 and 1."),
				 errhint("1 is all of the work.")));
	if (change_lease(id, token, set_progress, &progress, &lease, true) != ROW_DONE)
		PG_RETURN_BOOL(false);
	require_own(&lease);
	PG_RETURN_BOOL(true);
}

/*
 * lease.c
 *		The ownership of a running task: given, proved, extended, taken back.
 *
 * A lease is lost when its row is gone or has another token, not by the
 * clock alone: until the task has been taken back, heartbeat and finish
 * succeed.  Every function here reads the latest row and, if another transaction
 * has changed it at the same moment, reads it again.
 *
 * This file is the only writer of the table of leases, so that shared memory hears of
 * every change (hints/leases.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/errors.h"
#include "hints/leases.h"
#include "life/lease.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/rows.h"

void
lease_give(HotRelation *leases, Row **rows, int count)
{
	rows_insert(leases, rows, count);
	for (int i = 0; i < count; i++)
		leases_given(rows[i]);
}

/* Deletes the lease as it was read. */
static RowResult
delete_lease(HotRelation *r, const Row *lease, bool wait)
{
	RowResult result = row_delete(r, lease, wait);

	if (result == ROW_DONE)
		leases_ended(lease);
	return result;
}

/* One try; ROW_CHANGED: another transaction has extended the lease meanwhile. */
static RowResult
try_to_take(HotRelation *r, int64 id, int64 token, Row *lease, bool wait)
{
	CHECK_FOR_INTERRUPTS();
	if (!row_fetch(r, id, lease) || ROW_INT64(lease, LEASE_TOKEN) != token)
		return ROW_GONE;
	return delete_lease(r, lease, wait);
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

bool
lease_take_as_read(const Row *lease)
{
	HotRelation r;
	bool taken;

	hot_open(&r, HOT_LEASE);
	taken = delete_lease(&r, lease, false) == ROW_DONE;
	hot_close(&r);
	if (taken)
		CommandCounterIncrement();
	return taken;
}

/* TQ007 for a role that has a valid token, and may not work on the queue. */
static void
require_own(const Row *lease)
{
	const Queue *queue = queue_by_id(ROW_INT32(lease, LEASE_QUEUE_ID));

	if (queue != NULL)
		queue_require(queue, PRIVILEGE_WORK);
}

/* The same; the executor may work on every queue. */
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

/* Changes the row of a lease before it is written. */
typedef void (*LeaseChange)(Row *lease, const void *arg);

/* Changes a lease that still has that token.  Results as of lease_take(); *lease is the new row. */
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
	{
		leases_changed(lease);
		CommandCounterIncrement();
	}
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
lease_extend_sent(int64 id, int64 token, Row *lease)
{
	int64 own_length = 0;
	RowResult result = change_lease(id, token, set_until, &own_length, lease, false);

	if (result == ROW_DONE)
		require_sender(lease);
	return result;
}

bool
lease_extend_own(int64 id, int64 token, int64 extend_us, Row *lease)
{
	if (change_lease(id, token, set_until, &extend_us, lease, true) != ROW_DONE)
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

/* What progress() stores. */
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

RowResult
lease_mark_cancelled(int64 id, text *reason)
{
	HotRelation r;
	Row lease;
	RowResult result = ROW_GONE;

	hot_open(&r, HOT_LEASE);
	if (row_fetch(&r, id, &lease))
	{
		lease.values[LEASE_CANCEL_REQUESTED] = BoolGetDatum(true);
		row_set_text(&lease, LEASE_CANCEL_REASON, reason);
		result = row_update(&r, &lease, true);
	}
	hot_close(&r);
	if (result == ROW_DONE)
	{
		leases_changed(&lease);
		CommandCounterIncrement();
	}
	return result;
}

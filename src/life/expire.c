/*
 * expire.c
 *		What time ends: leases that ran out, tasks that were not started in time.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "hints/leases.h"
#include "life/expire.h"
#include "life/finish.h"
#include "life/history.h"
#include "life/lease.h"
#include "life/pending.h"
#include "tables/backlog.h"
#include "tables/rows.h"
#include "tables/state.h"

bool
task_start_expired(const Row *task, TimestampTz now)
{
	return !task->nulls[TASK_START_BY] && ROW_TIME(task, TASK_START_BY) <= now;
}

text *
task_expired_error(void)
{
	return cstring_to_text("not started in time");
}

/* Only what is late still when it is held: it may have been replaced meanwhile. */
PG_FUNCTION_INFO_V1(taskq_expire_task);
Datum
taskq_expire_task(PG_FUNCTION_ARGS)
{
	int64 id = PG_GETARG_INT64(0);
	Ending ending = {.state = STATE_EXPIRED, .error = task_expired_error()};
	Backlog b;
	Row task;
	bool done = false;

	backlog_open(&b);
	if (pending_hold_by_id(&b, id, false, &task) == ROW_DONE)
	{
		if (task_start_expired(&task, GetCurrentTimestamp()))
			done = pending_delete(&b, &task, false) == ROW_DONE;
		else
			pending_let_go(&b, id);
	}
	backlog_close(&b);
	if (done)
	{
		CommandCounterIncrement();
		task_end(&task, NULL, &ending);
	}
	PG_RETURN_BOOL(done);
}

/* Ends the attempt of a lease as it was read; false: it has been changed, or is busy. */
static bool
lose(const Row *lease)
{
	if (!lease_take_as_read(lease))
		return false;
	(void) task_lost(lease);
	return true;
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
				   lose(&lease));
}

/* Loses a lease that shared memory says has run out, or corrects the memory; true: it is lost. */
PG_FUNCTION_INFO_V1(taskq_lose_lapsed);
Datum
taskq_lose_lapsed(PG_FUNCTION_ARGS)
{
	int64 id = PG_GETARG_INT64(0);
	TimestampTz now = GetCurrentTimestamp();
	Row lease;

	if (!row_read(HOT_LEASE, id, &lease))
		leases_correct(id, NULL);
	else if (ROW_TIME(&lease, LEASE_UNTIL) > now)
		leases_correct(id, &lease);
	else
		PG_RETURN_BOOL(lose(&lease));
	PG_RETURN_BOOL(false);
}

/*
 * lease.c
 *		Leases of running tasks: gives, checks, extends and takes them back.
 *
 * A lease is lost when its row is gone or has another token.  The clock alone does not
 * end it: until the task has been taken back, heartbeat and finish succeed.  Every function
 * here reads the latest row, and reads it again if another transaction has changed it
 * meanwhile.
 *
 * No other file writes the table of leases, so shared memory is told of every change
 * (hints/leases.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/errors.h"
#include "base/jsonmake.h"
#include "hints/counts.h"
#include "hints/leases.h"
#include "hints/permits.h"
#include "life/current_call.h"
#include "life/events.h"
#include "life/lease.h"
#include "life/template.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/rows.h"

void
lease_give(HotRelation *leases, Row **rows, int count)
{
	rows_insert(leases, rows, count);
	for (int i = 0; i < count; i++)
	{
		leases_given(rows[i]);
		counts_running(ROW_INT32(rows[i], LEASE_QUEUE_ID), 1);
	}
}

/* Deletes the lease as it was read. */
static RowResult
delete_lease(HotRelation *r, const Row *lease, bool wait)
{
	RowResult result = row_delete(r, lease, wait);

	if (result == ROW_DONE)
	{
		leases_ended(lease);
		counts_running(ROW_INT32(lease, LEASE_QUEUE_ID), -1);
		permits_ended(ROW_INT32(lease, LEASE_QUEUE_ID),
					  lease->nulls[LEASE_GROUP_ID] ? 0 : ROW_INT64(lease, LEASE_GROUP_ID));
	}
	return result;
}

/* Whether the current user may do something with the lease. */
typedef bool (*LeaseFilter)(const Row *lease);

/*
 * The lease with that token.  A lease whose queue was dropped is lost; so is, for the caller, one
 * that the filter, if there is one, does not let pass.
 */
static bool
fetch_lease(HotRelation *r, int64 id, int64 token, LeaseFilter may, Row *lease)
{
	return row_fetch(r, id, lease) && ROW_INT64(lease, LEASE_TOKEN) == token &&
		   queue_by_id(ROW_INT32(lease, LEASE_QUEUE_ID)) != NULL && (may == NULL || may(lease));
}

/* One try of lease_take(); ROW_CHANGED: another transaction has extended the lease meanwhile. */
static RowResult
try_to_take(HotRelation *r, int64 id, int64 token, LeaseFilter may, Row *lease, bool wait)
{
	CHECK_FOR_INTERRUPTS();
	if (!fetch_lease(r, id, token, may, lease))
		return ROW_GONE;
	return delete_lease(r, lease, wait);
}

static RowResult
take(int64 id, int64 token, LeaseFilter may, Row *lease, bool wait)
{
	HotRelation r;
	RowResult result = ROW_GONE;

	hot_open(&r, HOT_LEASE);
	do
	{
		result = try_to_take(&r, id, token, may, lease, wait);
	} while (result == ROW_CHANGED);
	hot_close(&r);
	if (result == ROW_DONE)
		CommandCounterIncrement();
	return result;
}

RowResult
lease_take(int64 id, int64 token, Row *lease, bool wait)
{
	return take(id, token, NULL, lease, wait);
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

/*
 * For clients.  For a role without any privilege on the queue the lease does not exist, whatever
 * its token.  TQ007 for a role that has another privilege than work.
 */
static bool
may_work(const Row *lease)
{
	const Queue *queue = queue_by_id(ROW_INT32(lease, LEASE_QUEUE_ID));

	if (queue_may(queue, PRIVILEGE_WORK))
		return true;
	if (queue_may(queue, PRIVILEGE_ANY))
		queue_require(queue, PRIVILEGE_WORK);
	return false;
}

/* The executor may work on every queue. */
static bool
may_send(const Row *lease)
{
	const Queue *queue;

	if (GetUserId() == get_role_oid(TASKQ_BGW_ROLE, true))
		return true;
	queue = queue_by_id(ROW_INT32(lease, LEASE_QUEUE_ID));
	return queue != NULL && queue_may(queue, PRIVILEGE_WORK);
}

static bool
may_send_own(const Row *lease)
{
	return GetUserId() == get_role_oid(TASKQ_BGW_ROLE, true) || may_work(lease);
}

RowResult
lease_take_unsent(int64 id, int64 token, Row *lease)
{
	return take(id, token, may_send, lease, false);
}

bool
lease_take_own(int64 id, int64 token, Row *lease)
{
	return take(id, token, may_work, lease, true) == ROW_DONE;
}

/* take() in an open table with looks begun; the caller increments the command counter. */
static RowResult
take_in(HotRelation *leases, int64 id, int64 token, LeaseFilter may, Row *lease, bool wait)
{
	RowResult result;

	while ((result = try_to_take(leases, id, token, may, lease, wait)) == ROW_CHANGED)
	{
		hot_end_looks(leases);
		hot_begin_looks(leases);
	}
	return result;
}

bool
lease_take_own_in(HotRelation *leases, int64 id, int64 token, Row *lease)
{
	return take_in(leases, id, token, may_work, lease, true) == ROW_DONE;
}

RowResult
lease_take_sent_in(HotRelation *leases, int64 id, int64 token, Row *lease)
{
	return take_in(leases, id, token, may_send_own, lease, false);
}

bool
lease_lock_own(int64 id, int64 token, Row *lease)
{
	HotRelation r;
	RowResult result;

	hot_open(&r, HOT_LEASE);
	do
	{
		CHECK_FOR_INTERRUPTS();
		result = ROW_GONE;
		if (fetch_lease(&r, id, token, may_work, lease))
			result = row_lock(&r, lease, LockTupleExclusive, true);
	} while (result == ROW_CHANGED);
	hot_close(&r);
	return result == ROW_DONE;
}

bool
lease_is_own(int64 id, int64 token)
{
	HotRelation r;
	Row lease;
	bool found;

	hot_open(&r, HOT_LEASE);
	found = fetch_lease(&r, id, token, may_work, &lease);
	hot_close(&r);
	return found;
}

/* A change to the row of a lease. */
typedef struct Change
{
	void (*make)(Row *lease, const void *arg); /* before it is written */
	const void *arg;
	LeaseFilter may; /* or NULL */
	bool wait;
} Change;

/* Changes a lease that still has that token.  Results as of lease_take(); *lease is the new row. */
static RowResult
change_lease(int64 id, int64 token, const Change *change, Row *lease)
{
	HotRelation r;
	RowResult result = ROW_GONE;

	hot_open(&r, HOT_LEASE);
	do
	{
		CHECK_FOR_INTERRUPTS();
		result = ROW_GONE;
		if (!fetch_lease(&r, id, token, change->may, lease))
			break;
		change->make(lease, change->arg);
		result = row_update(&r, lease, change->wait);
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

/* Gives the lease a new end.  Its length stays as it is. */
static void
extend(Row *lease, TimestampTz now, TimestampTz until)
{
	row_set(lease, LEASE_US, Int64GetDatum(lease_length_us(lease)));
	row_set(lease, LEASE_EXTENDED_AT, TimestampTzGetDatum(now));
	row_set(lease, LEASE_UNTIL, TimestampTzGetDatum(until));
}

static TimestampTz
before_deadline(const Row *lease, TimestampTz until)
{
	return lease->nulls[LEASE_DEADLINE] ? until : Min(until, ROW_TIME(lease, LEASE_DEADLINE));
}

static void
set_until(Row *lease, const void *arg)
{
	int64 extend_us = *(const int64 *) arg;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = now + (extend_us > 0 ? extend_us : lease_length_us(lease));

	extend(lease, now, before_deadline(lease, until));
}

RowResult
lease_extend_sent(int64 id, int64 token, Row *lease)
{
	int64 own_length = 0;
	Change change = {set_until, &own_length, may_send, false};

	return change_lease(id, token, &change, lease);
}

static bool
may_hand_over(const Row *lease)
{
	const Queue *queue = queue_by_id(ROW_INT32(lease, LEASE_QUEUE_ID));

	return queue != NULL && queue->accept_202 && may_send_own(lease);
}

static void
set_receiver(Row *lease, const void *arg)
{
	set_until(lease, arg);
	row_set_text(lease, LEASE_WORKER, cstring_to_text(RECEIVER_WORKER));
}

RowResult
lease_hand_over(int64 id, int64 token, Row *lease)
{
	int64 own_length = 0;
	Change change = {set_receiver, &own_length, may_hand_over, false};

	return change_lease(id, token, &change, lease);
}

bool
lease_extend_own(int64 id, int64 token, int64 extend_us, Row *lease)
{
	Change change = {set_until, &extend_us, may_work, true};

	return change_lease(id, token, &change, lease) == ROW_DONE;
}

static void
set_later(Row *lease, const void *arg)
{
	TimestampTz now = GetCurrentTimestamp();

	extend(lease, now, now + *(const int64 *) arg);
}

RowResult
lease_put_off(int64 id, int64 token, int64 by_us)
{
	Change change = {set_later, &by_us, NULL, false};
	Row lease;

	return change_lease(id, token, &change, &lease);
}

/* Makes the time in this column earlier, unless it is NULL. */
static void
make_earlier(Row *lease, int column, int64 by_us)
{
	if (!lease->nulls[column])
		row_set(lease, column, TimestampTzGetDatum(ROW_TIME(lease, column) - by_us));
}

/* How far the time in this column lies ahead of the clock; 0 if it does not. */
static int64
ahead_us(const Row *lease, int column)
{
	return Max(ROW_TIME(lease, column) - GetCurrentTimestamp(), 0);
}

/*
 * The clock was ahead when the lease was given, or when it was extended, or both times.  Each time
 * that was computed then becomes earlier by as much as the clock was ahead.  The deadline may have
 * shortened the extension, so the lease runs for its own length at least.
 */
static void
set_back(Row *lease, const void *arg)
{
	int64 length_us = lease_length_us(lease);
	int64 start_us = ahead_us(lease, LEASE_STARTED_AT);
	int64 end_us = start_us;
	TimestampTz until;

	if (!lease->nulls[LEASE_EXTENDED_AT])
		end_us = ahead_us(lease, LEASE_EXTENDED_AT);
	make_earlier(lease, LEASE_STARTED_AT, start_us);
	make_earlier(lease, LEASE_DEADLINE, start_us);
	make_earlier(lease, LEASE_EXTENDED_AT, end_us);
	until = Max(ROW_TIME(lease, LEASE_UNTIL) - end_us, GetCurrentTimestamp() + length_us);
	row_set(lease, LEASE_UNTIL, TimestampTzGetDatum(before_deadline(lease, until)));
}

RowResult
lease_set_back(int64 id, int64 token)
{
	Change change = {set_back, NULL, NULL, false};
	Row lease;

	return change_lease(id, token, &change, &lease);
}

PG_FUNCTION_INFO_V1(taskq_heartbeat);
Datum
taskq_heartbeat(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	int64 token = arg_id(fcinfo, 1, "token");
	int64 extend_us = arg_interval_us(fcinfo, 2, "extend_by", 0, RANGE_LEASE);
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

/* The arguments of progress() that are stored. */
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

/* What a function tells that a task calls: the executor writes it, and others see it at once. */
static Datum
progress_json(const Progress *progress)
{
	JsonbParseState *state = NULL;
	JsonbValue fraction = {.type = jbvNull};

	if (!progress->nofraction)
	{
		fraction.type = jbvNumeric;
		fraction.val.numeric =
			DatumGetNumeric(DirectFunctionCall1(float8_numeric, progress->fraction));
	}
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	json_add(&state, "fraction", &fraction);
	json_add_string(&state, "message",
					progress->message != NULL ? text_to_cstring(progress->message) : NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

RowResult
lease_progress(int64 id, int64 token, Jsonb *told)
{
	JsonbValue *fraction = json_value_of(told, "fraction");
	JsonbValue *message = json_value_of(told, "message");
	Progress progress = {.nofraction = true};
	Change change = {set_progress, &progress, NULL, false};
	Row lease;

	if (fraction != NULL && fraction->type == jbvNumeric)
	{
		progress.nofraction = false;
		progress.fraction =
			DirectFunctionCall1(numeric_float8, NumericGetDatum(fraction->val.numeric));
	}
	if (message != NULL && message->type == jbvString)
		progress.message =
			cstring_to_text_with_len(message->val.string.val, message->val.string.len);
	return change_lease(id, token, &change, &lease);
}

PG_FUNCTION_INFO_V1(taskq_progress);
Datum
taskq_progress(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	Progress progress = {.nofraction = PG_ARGISNULL(2), .message = arg_error(fcinfo, 3)};
	Change change = {set_progress, &progress, may_work, true};
	Row lease;

	if (!PG_ARGISNULL(1) || current_call_of(id) == NULL)
		(void) arg_id(fcinfo, 1, "token");
	client_call("taskq.progress()");
	if (!progress.nofraction)
		progress.fraction = PG_GETARG_DATUM(2);
	if (!progress.nofraction && !(PG_GETARG_FLOAT8(2) >= 0 && PG_GETARG_FLOAT8(2) <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("fraction is out of range"),
				 errdetail("It must be between 0 and 1."),
				 errhint("1 means that the work is complete.")));
	if (PG_ARGISNULL(1))
	{
		current_call()->tell(MESSAGE_PROGRESS, 0, progress_json(&progress));
		PG_RETURN_BOOL(true);
	}
	if (change_lease(id, PG_GETARG_INT64(1), &change, &lease) != ROW_DONE)
		PG_RETURN_BOOL(false);
	event_progress(&lease, queue_by_id(ROW_INT32(&lease, LEASE_QUEUE_ID)));
	PG_RETURN_BOOL(true);
}

/* Changes the lease of a running task for a session that does not own it; tries once. */
static RowResult
change_any_lease(int64 id, void (*make)(Row *lease, const void *arg), const void *arg)
{
	HotRelation r;
	Row lease;
	RowResult result = ROW_GONE;

	hot_open(&r, HOT_LEASE);
	if (row_fetch(&r, id, &lease))
	{
		make(&lease, arg);
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

static void
set_cancelled(Row *lease, const void *arg)
{
	lease->values[LEASE_CANCEL_REQUESTED] = BoolGetDatum(true);
	row_set_text(lease, LEASE_CANCEL_REASON, unconstify(void *, arg));
}

RowResult
lease_mark_cancelled(int64 id, text *reason)
{
	return change_any_lease(id, set_cancelled, reason);
}

/* What add_follow_up() adds to a running task. */
typedef struct LateFollowUps
{
	const Row *task;
	Datum on_finish;
	Datum on_dead;
} LateFollowUps;

/* The lists of the task and of the lease may not be too long together. */
static void
add_list(Row *lease, int column, const Row *task, int of_task, Datum more, const char *name)
{
	if (more == 0)
		return;
	if (!lease->nulls[column])
		more = templates_join(lease->values[column], more, name);
	if (!task->nulls[of_task])
		(void) templates_join(task->values[of_task], more, name);
	row_set(lease, column, more);
}

static void
add_follow_ups(Row *lease, const void *arg)
{
	const LateFollowUps *late = arg;

	add_list(lease, LEASE_ON_FINISH, late->task, TASK_ON_FINISH, late->on_finish, "on_finish");
	add_list(lease, LEASE_ON_DEAD, late->task, TASK_ON_DEAD, late->on_dead, "on_dead");
}

RowResult
lease_add_follow_ups(int64 id, const Row *task, Datum on_finish, Datum on_dead)
{
	LateFollowUps late = {task, on_finish, on_dead};

	return change_any_lease(id, add_follow_ups, &late);
}

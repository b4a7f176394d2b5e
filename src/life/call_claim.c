/*
 * call_claim.c
 *		What the executor does for calls: claims them, extends their leases, ends those whose
 *		process has gone, and writes what their functions tell.
 *
 * The executor claims as many calls as it has places for, and a process makes each of them: see
 * src/process/calls.c.  A call that cannot be made at all ends here as dead.  So an unarmed copy
 * makes none, and neither does a role that is not the one which has submitted.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/durability.h"
#include "base/settings.h"
#include "base/subxact.h"
#include "life/acquire.h"
#include "life/call.h"
#include "life/call_claim.h"
#include "life/current_call.h"
#include "life/due.h"
#include "life/finish.h"
#include "life/lease.h"
#include "life/turns.h"
#include "life/values.h"
#include "tables/arming.h"
#include "tables/queue.h"
#include "tables/rows.h"

/* ---- claims ----------------------------------------------------------------------- */

/* A claimed call whose column is read. */
typedef struct Reading
{
	const Row *task;
	CallParts parts;
} Reading;

/* In a subtransaction: the column may have been changed by hand, or a part of it lost. */
static void
read_call(void *arg)
{
	Reading *r = arg;

	call_read(r->task->values[TASK_CALL], &r->parts);
}

static void
refuse_call(const Claim *claim, const char *error)
{
	claim_set_aside(claim, CALL_REFUSED, error, true);
}

/* The role as which the call is made; InvalidOid: it was ended. */
static Oid
role_of(const Claim *claim, const CallParts *parts)
{
	Oid role = caller_role(parts->caller, parts->role);
	const char *hint;
	const char *fault;

	if (!OidIsValid(role))
	{
		refuse_call(claim, psprintf("role \"%s\", which submitted the call, does not exist "
									"any more",
									parts->role));
		return InvalidOid;
	}
	fault = caller_fault(role, &hint);
	if (fault == NULL)
		return role;
	refuse_call(claim,
				psprintf("no function can be called as role \"%s\": %s", parts->role, fault));
	return InvalidOid;
}

static int64
timeout_ms(const Row *task)
{
	if (task->nulls[TASK_TIMEOUT])
		return 0;
	return Max(interval_us(DatumGetIntervalP(task->values[TASK_TIMEOUT])) / US_PER_MS, 1);
}

static void
return_call(ReturnSetInfo *rsinfo, const Queue *queue, const Claim *claim, Oid role,
			const CallParts *parts)
{
	Datum values[CLAIMED_NCOLUMNS] = {
		[CLAIMED_ID] = claim->task.values[TASK_ID],
		[CLAIMED_TOKEN] = claim->lease.values[LEASE_TOKEN],
		[CLAIMED_LEASE_MS] = Int64GetDatum(queue->lease_us / US_PER_MS),
		[CLAIMED_TIMEOUT_MS] = Int64GetDatum(timeout_ms(&claim->task)),
		[CLAIMED_ROLE] = ObjectIdGetDatum(role),
		[CLAIMED_ROLE_NAME] = CStringGetTextDatum(parts->role),
	};
	bool nulls[CLAIMED_NCOLUMNS] = {false};

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Returns whether the call can be made. */
static bool
hand_out(ReturnSetInfo *rsinfo, const Queue *queue, const Claim *claim)
{
	Reading reading = {.task = &claim->task};
	Oid role;

	if (claim->task.nulls[TASK_CALL] || subxact_try(read_call, &reading) != 0)
	{
		refuse_call(claim, "the task names no function that can be called");
		return false;
	}
	role = role_of(claim, &reading.parts);
	if (!OidIsValid(role))
		return false;
	return_call(rsinfo, queue, claim, role, &reading.parts);
	return true;
}

/* A call begins after the last queue from which a task was claimed. */
static int32 last_claimed = 0;

/* Returns the number of calls that can be made. */
static int
claim_from(const Queue *queue, int max, ReturnSetInfo *rsinfo)
{
	Claim *claims = palloc_array(Claim, max);
	TimestampTz next_due;
	int count = task_claim(queue, 0, max, queue->lease_us, cstring_to_text(EXECUTOR_WORKER), claims,
						   &next_due);
	int kept = 0;

	for (int i = 0; i < count; i++)
		kept += hand_out(rsinfo, queue, &claims[i]);
	if (count > 0)
		last_claimed = queue->id;
	return kept;
}

static void
claim_calls(int max, ReturnSetInfo *rsinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	int count;
	int32 *ids = queue_call_ids(&count);
	TimestampTz *due = tasks_survey(ids, count, now);
	int n = first_in_turn(ids, count, last_claimed);

	for (int i = 0; i < count && max > 0; i++, n = n + 1 < count ? n + 1 : 0)
	{
		const Queue *queue;

		if (due[n] > now)
			continue;
		CHECK_FOR_INTERRUPTS();
		queue = queue_by_id(ids[n]);
		if (queue != NULL && queue->call)
			max -= claim_from(queue, max, rsinfo);
	}
}

/* As a claim by acquire(), it need not be durable unless it uses the last attempt. */
PG_FUNCTION_INFO_V1(taskq_call_claim);
Datum
taskq_call_claim(PG_FUNCTION_ARGS)
{
	int max = arg_int32(fcinfo, 0, "max_tasks", 1, 1, TASKQ_MAX_BATCH);

	executor_call("taskq_private.call_claim()");
	InitMaterializedSRF(fcinfo, 0);
	if (arming_state() != ARM_ARMED)
		return (Datum) 0;
	if (!setting_acquire_sync)
		durability_begin_weak();
	claim_calls(max, (ReturnSetInfo *) fcinfo->resultinfo);
	if (!setting_acquire_sync)
		durability_end_weak();
	return (Datum) 0;
}

/* When the next call may be claimed; DT_NOEND: that is not known. */
static TimestampTz
next_opening(TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	int count;
	int32 *ids = queue_call_ids(&count);
	TimestampTz *due = tasks_survey(ids, count, now);

	for (int i = 0; i < count && next > now; i++)
	{
		const Queue *queue = due[i] < next ? queue_by_id(ids[i]) : NULL;
		TimestampTz at;

		if (queue == NULL || queue->paused)
			continue;
		at = due[i];
		if (at <= now && task_is_due(queue, now, &at))
			at = now;
		next = Min(next, at);
	}
	return next;
}

/* Rounded up: a look before the time would find nothing. */
PG_FUNCTION_INFO_V1(taskq_call_next_due);
Datum
taskq_call_next_due(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = arming_state() == ARM_ARMED ? next_opening(now) : DT_NOEND;

	if (next == DT_NOEND)
		PG_RETURN_NULL();
	PG_RETURN_INT64((next - now + US_PER_MS - 1) / US_PER_MS);
}

/* ---- leases ----------------------------------------------------------------------- */

/*
 * Extends leases and returns the ids of the calls that are to be stopped: of those that were
 * cancelled, which end here, and those whose lease is lost.
 */
PG_FUNCTION_INFO_V1(taskq_call_extend);
Datum
taskq_call_extend(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64 *ids;
	int64 *tokens;
	int count = arg_id_arrays(fcinfo, 0, &ids, &tokens);

	executor_call("taskq_private.call_extend()");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < count; i++)
	{
		Row lease;
		Datum value = Int64GetDatum(ids[i]);
		bool isnull = false;
		RowResult result = lease_extend_sent(ids[i], tokens[i], &lease);

		if (result == ROW_BUSY ||
			(result == ROW_DONE && !ROW_BOOL(&lease, LEASE_CANCEL_REQUESTED)))
			continue;
		if (result == ROW_DONE)
			task_give_up(ids[i], tokens[i]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

/*
 * The process of the call has gone.  at_once: it is tried again without delay.  False: the lease
 * is lost, or another session has it in hand.
 */
PG_FUNCTION_INFO_V1(taskq_call_failed);
Datum
taskq_call_failed(PG_FUNCTION_ARGS)
{
	Failure failure = {
		.class = text_to_cstring(PG_GETARG_TEXT_PP(2)),
		.error = PG_GETARG_TEXT_PP(3),
		.retry_in_us = PG_GETARG_BOOL(4) ? 0 : -1,
	};
	Row lease;

	executor_call("taskq_private.call_failed()");
	if (lease_take_unsent(PG_GETARG_INT64(0), PG_GETARG_INT64(1), &lease) != ROW_DONE)
		PG_RETURN_BOOL(false);
	(void) task_fail(&lease, &failure);
	PG_RETURN_BOOL(true);
}

/* ---- messages --------------------------------------------------------------------- */

/*
 * Nobody else emits values of this task, so it is enough that the call is not over.  The lease is
 * not locked: a function that has changed the row of its own lease would wait for itself.
 */
static void
write_value(int64 id, int64 token, int n, Jsonb *value)
{
	const Queue *queue = NULL;
	Row lease;

	if (row_read(HOT_LEASE, id, &lease) && ROW_INT64(&lease, LEASE_TOKEN) == token)
		queue = queue_by_id(ROW_INT32(&lease, LEASE_QUEUE_ID));
	if (queue != NULL)
		value_write(id, queue, n, JsonbPGetDatum(value));
}

/* What a function has told while it runs; kind: a CallMessageKind; n: the number of a value. */
PG_FUNCTION_INFO_V1(taskq_call_told);
Datum
taskq_call_told(PG_FUNCTION_ARGS)
{
	int64 id = PG_GETARG_INT64(0);
	int64 token = PG_GETARG_INT64(1);
	int n = PG_GETARG_INT32(3);
	Jsonb *content = PG_GETARG_JSONB_P(4);

	executor_call("taskq_private.call_told()");
	switch ((CallMessageKind) PG_GETARG_INT32(2))
	{
		case MESSAGE_PROGRESS:
			(void) lease_progress(id, token, content);
			break;
		case MESSAGE_VALUE:
			write_value(id, token, n, content);
			break;
	}
	PG_RETURN_VOID();
}

/*
 * protocol.c
 *		The protocol of those that send push tasks: claim, report, extend, release.
 *
 * Whoever delivers, the background worker or another program, sees push tasks
 * through these functions alone.
 */
#include "postgres.h"

#include <inttypes.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/errors.h"
#include "life/acquire.h"
#include "life/due.h"
#include "life/finish.h"
#include "life/history.h"
#include "life/lease.h"
#include "push/answer.h"
#include "push/endpoint.h"
#include "push/request.h"
#include "tables/arming.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/rows.h"

/* ---- whose tasks ------------------------------------------------------------ */

/* Who asks for tasks. */
typedef struct Sender
{
	bool builtin;
	text *worker;
	Datum *names; /* of the queues it has chosen; NULL: all */
	int nnames;
} Sender;

static void
read_names(ArrayType *array, Sender *sender)
{
	bool *nulls;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &sender->names, &nulls,
					  &sender->nnames);
	for (int i = 0; i < sender->nnames; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
					 errmsg("queues must not have NULL elements"),
					 errdetail("Each element is the name of a queue."),
					 errhint("Pass NULL instead of the array for all queues.")));
	}
}

/* Without a name it is the executor, and nobody else may say so. */
static Sender
sender_of(FunctionCallInfo fcinfo, int names, int worker)
{
	Sender sender = {.builtin = worker >= 0 && PG_ARGISNULL(worker)};

	if (sender.builtin && !superuser() && GetUserId() != get_role_oid(TASKQ_BGW_ROLE, true))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_NOT_PERMITTED),
				 errmsg("worker must not be NULL"),
				 errdetail("Without a name it is the executor inside the server that asks."),
				 errhint("Pass a name for this worker.")));
	if (!PG_ARGISNULL(names))
		read_names(PG_GETARG_ARRAYTYPE_P(names), &sender);
	if (sender.builtin || worker < 0)
		sender.worker = cstring_to_text(EXECUTOR_WORKER);
	else
		sender.worker = PG_GETARG_TEXT_PP(worker);
	if (!sender.builtin && worker >= 0 &&
		strcmp(text_to_cstring(sender.worker), EXECUTOR_WORKER) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("worker must not be \"%s\"", EXECUTOR_WORKER),
				 errdetail("That is what the executor inside the server is called."),
				 errhint("Pass another name for this worker.")));
	return sender;
}

static bool
has_chosen(const Sender *sender, const char *name)
{
	for (int i = 0; i < sender->nnames; i++)
	{
		if (strcmp(TextDatumGetCString(sender->names[i]), name) == 0)
			return true;
	}
	return sender->names == NULL;
}

static bool
serves(const Sender *sender, const Queue *queue)
{
	if (queue == NULL || queue->external == sender->builtin)
		return false;
	return sender->builtin || (has_chosen(sender, queue->name) && queue_may(queue, PRIVILEGE_WORK));
}

/* The push queues that it serves, palloc'd ids. */
static int32 *
queues_of(const Sender *sender, int *count)
{
	int all;
	int32 *ids = queue_push_ids(&all);

	*count = 0;
	for (int i = 0; i < all; i++)
	{
		if (serves(sender, queue_by_id(ids[i])))
			ids[(*count)++] = ids[i];
	}
	return ids;
}

PG_FUNCTION_INFO_V1(taskq_push_queues);
Datum
taskq_push_queues(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Sender sender = sender_of(fcinfo, 0, -1);
	int count;
	int32 *ids = queues_of(&sender, &count);

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < count; i++)
	{
		const Queue *queue = queue_by_id(ids[i]);
		Datum name = queue != NULL ? CStringGetTextDatum(queue->name) : (Datum) 0;
		bool isnull = false;

		if (queue != NULL)
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &name, &isnull);
	}
	return (Datum) 0;
}

/* Claims from one queue and returns the requests; how many. */
static int
claim_from(const Queue *queue, int max, const Sender *sender, Claim *claims, ReturnSetInfo *rsinfo)
{
	int allowed = endpoint_allow(queue, max, GetCurrentTimestamp());
	TimestampTz next_due;
	int count = 0;
	Secrets secrets;

	if (allowed > 0 && request_read_secrets(queue, &secrets))
		count = task_claim(queue, allowed, queue->lease_us, sender->worker, claims, &next_due);
	endpoint_claimed(queue, allowed, count, count > 0 ? ROW_INT64(&claims[0].task, TASK_ID) : 0);
	for (int i = 0; i < count; i++)
		request_return(rsinfo, queue, &claims[i], &secrets);
	return count;
}

/* Each call begins with another queue, so that a busy one does not starve the others. */
PG_FUNCTION_INFO_V1(taskq_push_claim);
Datum
taskq_push_claim(PG_FUNCTION_ARGS)
{
	static unsigned int turn = 0;
	int max = arg_int32(fcinfo, 0, "max_tasks", 1, 1, TASKQ_MAX_BATCH);
	Sender sender = sender_of(fcinfo, 1, 2);
	Claim *claims = palloc_array(Claim, max);
	int count;
	int32 *ids;

	executor_call("taskq_private.push_claim()");
	InitMaterializedSRF(fcinfo, 0);
	if (arming_state() != ARM_ARMED)
		return (Datum) 0;
	ids = queues_of(&sender, &count);
	turn++;
	for (int i = 0; i < count && max > 0; i++)
	{
		const Queue *queue = queue_by_id(ids[((unsigned int) i + turn) % count]);

		if (queue != NULL)
			max -= claim_from(queue, max, &sender, claims, (ReturnSetInfo *) fcinfo->resultinfo);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(taskq_push_next_due);
Datum
taskq_push_next_due(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	Sender sender = sender_of(fcinfo, 0, 1);
	int count;
	int32 *ids = queues_of(&sender, &count);
	ArmState armed = arming_state();
	bool limited = false;
	Datum values[3];
	bool nulls[3] = {false, false, false};
	TupleDesc desc;

	for (int i = 0; armed == ARM_ARMED && i < count && next > now; i++)
	{
		const Queue *queue = queue_by_id(ids[i]);
		TimestampTz next_of_queue = DT_NOEND;

		if (queue != NULL && task_is_due(queue, now, &next_of_queue))
			next_of_queue = endpoint_opens(queue, now, &limited);
		next = Min(next, next_of_queue);
	}
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	/* Rounded up: a wake-up before the time would find nothing. */
	nulls[0] = next == DT_NOEND;
	values[0] = Int64GetDatum(nulls[0] ? 0 : (next - now + US_PER_MS - 1) / US_PER_MS);
	values[1] = BoolGetDatum(limited);
	nulls[2] = armed == ARM_NEW;
	values[2] = BoolGetDatum(armed == ARM_ARMED);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ---- answers ------------------------------------------------------------------ */

/* The arguments of push_report(). */
enum ReportArgument
{
	REP_ID,
	REP_TOKEN,
	REP_VERDICT,
	REP_CLASS,
	REP_STATUS,
	REP_HEADERS,
	REP_BODY,
	REP_TRUNCATED,
	REP_ELAPSED,
	REP_ERROR,
	REP_RETRY_AFTER,
	REP_TIMES,
};

static void
read_answer(FunctionCallInfo fcinfo, Answer *answer)
{
	memset(answer, 0, sizeof(Answer));
	if (!PG_ARGISNULL(REP_ELAPSED))
		answer->elapsed = PG_GETARG_INTERVAL_P(REP_ELAPSED);
	if (!PG_ARGISNULL(REP_TIMES))
		answer->times = PG_GETARG_DATUM(REP_TIMES);
	answer->present = !PG_ARGISNULL(REP_STATUS);
	if (!answer->present)
		return;
	answer->status = PG_GETARG_INT32(REP_STATUS);
	answer->truncated = !PG_ARGISNULL(REP_TRUNCATED) && PG_GETARG_BOOL(REP_TRUNCATED);
	if (!PG_ARGISNULL(REP_HEADERS))
		answer->headers = answer_headers(PG_GETARG_BYTEA_PP(REP_HEADERS));
	if (!PG_ARGISNULL(REP_BODY))
		answer->body = PG_GETARG_DATUM(REP_BODY);
}

static void
read_failure(FunctionCallInfo fcinfo, const char *verdict, const Answer *answer, Failure *failure)
{
	memset(failure, 0, sizeof(Failure));
	failure->class = "internal";
	if (!PG_ARGISNULL(REP_CLASS))
		failure->class = text_to_cstring(PG_GETARG_TEXT_PP(REP_CLASS));
	failure->error = arg_error(fcinfo, REP_ERROR);
	if (failure->error == NULL && answer->present)
		failure->error = cstring_to_text(psprintf("HTTP status %d", answer->status));
	failure->permanent = strcmp(verdict, "permanent") == 0;
	failure->retry_in_us = arg_interval_us(fcinfo, REP_RETRY_AFTER, "retry_after", -1, 0,
										   MAX_DELAY_US);
	failure->answer = answer;
}

/* What lies below an endpoint may be gone without the endpoint being so. */
static bool
has_path(int64 id)
{
	Row task;

	return !row_read(HOT_TASK, id, &task) || !task.nulls[TASK_URL];
}

PG_FUNCTION_INFO_V1(taskq_push_report);
Datum
taskq_push_report(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, REP_ID, "id");
	int64 token = arg_id(fcinfo, REP_TOKEN, "token");
	char *verdict = "";
	bool success;
	bool gone = false;
	Answer answer;
	Failure failure = {.class = "http", .retry_in_us = -1};
	Row lease;

	executor_call("taskq_private.push_report()");
	if (!PG_ARGISNULL(REP_VERDICT))
		verdict = text_to_cstring(PG_GETARG_TEXT_PP(REP_VERDICT));
	success = strcmp(verdict, "success") == 0;
	if (!success && strcmp(verdict, "retry") != 0 && strcmp(verdict, "permanent") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("invalid verdict"),
				 errdetail("It must be success, retry or permanent."),
				 errhint("See src/core/outcome.h.")));
	read_answer(fcinfo, &answer);
	switch (lease_take_sent(id, token, &lease))
	{
		case ROW_DONE:
			break;
		case ROW_BUSY:
			PG_RETURN_NULL();
		default:
			PG_RETURN_BOOL(false);
	}
	if (success)
		task_finish(&lease, (Datum) 0, true, &answer);
	else
	{
		read_failure(fcinfo, verdict, &answer, &failure);
		gone = answer.status == 410 && !has_path(id);
		(void) task_fail(&lease, &failure);
	}
	endpoint_note(queue_by_id(ROW_INT32(&lease, LEASE_QUEUE_ID)), id, failure.class, answer.status,
				  failure.retry_in_us, gone);
	PG_RETURN_BOOL(true);
}

/* ---- leases ------------------------------------------------------------------ */

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
		RowResult result = lease_extend_sent(ids[i], tokens[i], &lease);

		if (result == ROW_BUSY)
			continue;
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

/*
 * protocol.c
 *		The protocol of those that send push tasks: claim, report, extend, release.
 *
 * A sender, which is the executor or another program, sees push tasks through these
 * functions alone.  The executor has the queues that are builtin; other programs have
 * the external ones, each those that it names and may work on.  src/core/protocol.h has
 * the other side.
 *
 * There may be thousands of push queues, and most have nothing to be sent.  So a call
 * first asks hints/idle.c of each, and looks a queue up, with the sender's rights on it
 * and the state of its endpoint, only if one of its tasks may be due.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
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

/* ---- senders ---------------------------------------------------------------- */

typedef struct Sender
{
	bool builtin; /* the executor */
	text *worker; /* its name */
	Datum *names; /* of the queues that it has chosen; NULL: all */
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

/*
 * The sender that the arguments with these numbers describe.  A worker of NULL is the
 * executor, and no other role may say so; worker < 0: there is no such argument, and the
 * sender is another program.
 */
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

/* Whether the queue, which may be NULL, is one of the sender's: of its kind, and it may. */
static bool
serves(const Sender *sender, const Queue *queue)
{
	return queue != NULL && queue->push && queue->external != sender->builtin &&
		   (sender->builtin || queue_may(queue, PRIVILEGE_WORK));
}

static int
compare_ids(const void *a, const void *b)
{
	int32 x = *(const int32 *) a;
	int32 y = *(const int32 *) b;

	return x < y ? -1 : x > y;
}

/* The queues of these names that exist, each once. */
static int32 *
ids_of_names(const Datum *names, int nnames, int *count)
{
	int32 *ids = palloc_array(int32, nnames);
	int found = 0;

	for (int i = 0; i < nnames; i++)
	{
		const Queue *queue = queue_find(DatumGetTextPP(names[i]));

		if (queue != NULL)
			ids[found++] = queue->id;
	}
	qsort(ids, found, sizeof(int32), compare_ids);
	*count = 0;
	for (int i = 0; i < found; i++)
	{
		if (i == 0 || ids[i] != ids[i - 1])
			ids[(*count)++] = ids[i];
	}
	return ids;
}

/* The queues that the sender has chosen, ascending ids; of each serves() must still be asked. */
static int32 *
queues_of(const Sender *sender, int *count)
{
	if (sender->builtin || sender->names == NULL)
		return queue_push_ids(!sender->builtin, count);
	return ids_of_names(sender->names, sender->nnames, count);
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
		bool isnull = false;
		Datum name;

		if (!serves(&sender, queue))
			continue;
		name = CStringGetTextDatum(queue->name);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &name, &isnull);
	}
	return (Datum) 0;
}

/* ---- claims -------------------------------------------------------------------- */

/*
 * A call begins behind the queue that was claimed from last, so that one that always has
 * tasks does not keep the others waiting.
 */
static int32 last_claimed = 0;

static int
first_in_turn(const int32 *ids, int count)
{
	int first = 0;

	while (first < count && ids[first] <= last_claimed)
		first++;
	return first < count ? first : 0;
}

/* Claims from one queue and returns the requests; their number. */
static int
claim_from(const Queue *queue, int max, TimestampTz now, const Sender *sender, Claim *claims,
		   ReturnSetInfo *rsinfo)
{
	int allowed = endpoint_allow(queue, max, now);
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

static void
claim_from_queues(const Sender *sender, int max, ReturnSetInfo *rsinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	Claim *claims = palloc_array(Claim, max);
	int count;
	int32 *ids = queues_of(sender, &count);
	TimestampTz *due = tasks_survey(ids, count, now);
	int n = first_in_turn(ids, count);

	for (int i = 0; i < count && max > 0; i++, n = n + 1 < count ? n + 1 : 0)
	{
		const Queue *queue;
		int claimed;

		if (due[n] > now)
			continue;
		CHECK_FOR_INTERRUPTS();
		queue = queue_by_id(ids[n]);
		if (!serves(sender, queue))
			continue;
		claimed = claim_from(queue, max, now, sender, claims, rsinfo);
		if (claimed > 0)
			last_claimed = ids[n];
		max -= claimed;
	}
}

/* Where the database is not armed there is nothing to claim. */
PG_FUNCTION_INFO_V1(taskq_push_claim);
Datum
taskq_push_claim(PG_FUNCTION_ARGS)
{
	int max = arg_int32(fcinfo, 0, "max_tasks", 1, 1, TASKQ_MAX_BATCH);
	Sender sender = sender_of(fcinfo, 1, 2);

	executor_call("taskq_private.push_claim()");
	InitMaterializedSRF(fcinfo, 0);
	if (arming_state() == ARM_ARMED)
		claim_from_queues(&sender, max, (ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}

/*
 * When the sender may claim a task: now, later, or DT_NOEND if that is not known.  *limited
 * becomes true if tasks are due that wait for others to end.
 */
static TimestampTz
next_opening(const Sender *sender, TimestampTz now, bool *limited)
{
	TimestampTz next = DT_NOEND;
	int count;
	int32 *ids = queues_of(sender, &count);
	TimestampTz *due = tasks_survey(ids, count, now);

	for (int i = 0; i < count && next > now; i++)
	{
		const Queue *queue;

		if (due[i] >= next)
			continue;
		CHECK_FOR_INTERRUPTS();
		queue = queue_by_id(ids[i]);
		if (!serves(sender, queue) || queue->paused)
			continue;
		if (due[i] <= now && task_is_due(queue, now, &due[i]))
			due[i] = endpoint_opens(queue, now, limited);
		next = Min(next, due[i]);
	}
	return next;
}

PG_FUNCTION_INFO_V1(taskq_push_next_due);
Datum
taskq_push_next_due(PG_FUNCTION_ARGS)
{
	enum
	{
		NEXT_MS,
		LIMITED,
		ARMED,
		NCOLUMNS,
	};
	TimestampTz now = GetCurrentTimestamp();
	Sender sender = sender_of(fcinfo, 0, 1);
	ArmState armed = arming_state();
	bool limited = false;
	TimestampTz next = armed == ARM_ARMED ? next_opening(&sender, now, &limited) : DT_NOEND;
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS] = {false};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	/* Rounded up: a wake-up before the time would find nothing. */
	nulls[NEXT_MS] = next == DT_NOEND;
	values[NEXT_MS] = Int64GetDatum(nulls[NEXT_MS] ? 0 : (next - now + US_PER_MS - 1) / US_PER_MS);
	values[LIMITED] = BoolGetDatum(limited);
	nulls[ARMED] = armed == ARM_NEW;
	values[ARMED] = BoolGetDatum(armed == ARM_ARMED);
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

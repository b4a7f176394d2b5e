/*
 * protocol.c
 *		The functions that senders of push tasks call: claim, extend, release.  Their reports are
 *		in report.c.
 *
 * A sender is the executor or another program, and accesses push tasks only through these
 * functions.  The executor serves the builtin queues.  Another program serves the external
 * queues that it names and may work on.  src/core/protocol.h is the sender's side.
 *
 * Other programs pass what is stored and shown to others.  So each argument is checked here: it has
 * a type and a limit.
 *
 * There may be thousands of push queues, and most have nothing to send.  So a call
 * first asks hints/idle.c about each queue.  It looks at the queue itself, the sender's
 * privileges and the state of the endpoint only if a task of the queue may be due.
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
#include "core/protocol.h"
#include "life/acquire.h"
#include "life/due.h"
#include "life/finish.h"
#include "life/lease.h"
#include "life/turns.h"
#include "push/accepted.h"
#include "push/endpoint.h"
#include "push/request.h"
#include "tables/arming.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/rows.h"

StaticAssertDecl(TQ_MAX_WORKER_NAME == TASKQ_NAME_MAX, "a program can give its worker a name");

/* ---- senders ---------------------------------------------------------------- */

typedef struct Sender
{
	bool builtin; /* the executor */
	text *worker; /* its name */
	Datum *names; /* the queues that it has chosen; NULL: all */
	int nnames;
} Sender;

static void
read_names(ArrayType *array, Sender *sender)
{
	bool *nulls;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &sender->names, &nulls,
					  &sender->nnames);
	if (sender->nnames > TASKQ_MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("queues has too many elements"),
				 errdetail("It has %d; at most %d are taken.", sender->nnames, TASKQ_MAX_BATCH),
				 errhint("Pass NULL instead of the array for all queues.")));
	for (int i = 0; i < sender->nnames; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
					 errmsg("queues must not have NULL elements"),
					 errdetail("Each element is the name of a queue."),
					 errhint("Pass NULL instead of the array for all queues.")));
		check_label(DatumGetTextPP(sender->names[i]), "queue", TASKQ_NAME_MAX);
	}
}

/* Names that taskq itself gives to leases. */
static void
refuse_own_name(const char *worker)
{
	bool executor = strcmp(worker, EXECUTOR_WORKER) == 0;

	if (executor || strcmp(worker, RECEIVER_WORKER) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("worker must not be \"%s\"", worker),
				 executor ? errdetail("That is the name of the executor inside the server.")
						  : errdetail("That is the name of receivers that report themselves."),
				 errhint("Pass another name for this worker.")));
}

/*
 * The sender that the arguments with these numbers describe.  Only the executor's role may
 * pass NULL as worker.  worker < 0: there is no such argument, and the sender is another
 * program.
 */
static Sender
sender_of(FunctionCallInfo fcinfo, int names, int worker)
{
	Sender sender = {.builtin = worker >= 0 && PG_ARGISNULL(worker)};

	if (sender.builtin && !superuser() && GetUserId() != get_role_oid(TASKQ_BGW_ROLE, true))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_NOT_PERMITTED),
				 errmsg("worker must not be NULL"),
				 errdetail("Only the executor inside the server passes no name."),
				 errhint("Pass a name for this worker.")));
	if (!PG_ARGISNULL(names))
		read_names(PG_GETARG_ARRAYTYPE_P(names), &sender);
	if (sender.builtin || worker < 0)
		sender.worker = cstring_to_text(EXECUTOR_WORKER);
	else
		sender.worker = arg_name(fcinfo, worker, "worker");
	if (!sender.builtin && worker >= 0)
		refuse_own_name(text_to_cstring(sender.worker));
	return sender;
}

/* Whether the sender serves this kind of queue and may work on it; queue may be NULL. */
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

/* Ascending ids of the queues that the sender has chosen; the caller must still ask serves(). */
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
 * A call begins after the last queue from which a task was claimed, so that a queue that
 * always has tasks does not keep the others waiting.
 */
static int32 last_claimed = 0;

/* Claims from one queue and adds the requests to the result set; returns their number. */
static int
claim_from(const Queue *queue, int max, TimestampTz now, const Sender *sender, Claim *claims,
		   ReturnSetInfo *rsinfo)
{
	int allowed = endpoint_allow(queue, max, now);
	TimestampTz next_due;
	int count = 0;
	Secrets secrets = {0};

	if (allowed > 0 && request_read_secrets(queue, &secrets))
		count = task_claim(queue, 0, allowed, queue->lease_us, sender->worker, claims, &next_due);
	accepted_remember(queue, claims, count);
	endpoint_claimed(queue, allowed, count, count > 0 ? ROW_INT64(&claims[0].task, TASK_ID) : 0);
	return requests_return(rsinfo, queue, claims, count, &secrets);
}

static void
claim_from_queues(const Sender *sender, int max, ReturnSetInfo *rsinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	Claim *claims = palloc_array(Claim, max);
	int count;
	int32 *ids = queues_of(sender, &count);
	TimestampTz *due = tasks_survey(ids, count, now);
	int n = first_in_turn(ids, count, last_claimed);

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

/* Claims nothing while the database is not armed. */
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

/* The same for one queue of which a task may be due. */
static TimestampTz
opens_at(const Queue *queue, TimestampTz now, bool *limited)
{
	TimestampTz next;

	if (task_is_due(queue, now, &next))
		return endpoint_opens(queue, now);
	*limited |= turns_open(queue, now) == DT_NOEND;
	return next;
}

/*
 * When the sender may claim a task: now, later, or DT_NOEND if that is not known.  *limited
 * becomes true if due tasks wait until other requests have ended.
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
		if (due[i] <= now)
			due[i] = opens_at(queue, now, limited);
		next = Min(next, due[i]);
	}
	return next;
}

PG_FUNCTION_INFO_V1(taskq_push_next_due);
Datum
taskq_push_next_due(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	Sender sender = sender_of(fcinfo, 0, 1);
	ArmState armed = arming_state();
	bool limited = false;
	TimestampTz next = armed == ARM_ARMED ? next_opening(&sender, now, &limited) : DT_NOEND;
	Datum values[TQ_NEXT_DUE_NCOLUMNS] = {0};
	bool nulls[TQ_NEXT_DUE_NCOLUMNS] = {false};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	/* Rounded up: a wake-up before the time would find nothing. */
	nulls[TQ_NEXT_DUE_MS] = next == DT_NOEND;
	if (next != DT_NOEND)
		values[TQ_NEXT_DUE_MS] = Int64GetDatum((next - now + US_PER_MS - 1) / US_PER_MS);
	values[TQ_NEXT_DUE_LIMITED] = BoolGetDatum(limited);
	nulls[TQ_NEXT_DUE_ARMED] = armed == ARM_NEW;
	values[TQ_NEXT_DUE_ARMED] = BoolGetDatum(armed == ARM_ARMED);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ---- leases ------------------------------------------------------------------ */

static void
log_lost_leases(int64 first, int n)
{
	ereport(LOG,
			(errmsg_plural("lease of %d task was lost while its request was under way",
						   "leases of %d tasks were lost while their requests were under way", n,
						   n),
			 errdetail("The first is task " INT64_FORMAT ". Its lease ran out before it was "
					   "extended, and the task is sent again; or the task was removed.",
					   first),
			 errhint("See taskq.attempts where class = 'lease_lost'.")));
}

/*
 * Extends leases and returns the ids of the tasks whose request the sender must give up.
 * A lease that another transaction is changing is neither extended nor reported as lost: the
 * sender does not wait, because that transaction may stay open while other leases run out.
 */
PG_FUNCTION_INFO_V1(taskq_push_extend);
Datum
taskq_push_extend(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64 *ids;
	int64 *tokens;
	int count = arg_id_arrays(fcinfo, 0, &ids, &tokens);
	int64 first_lost = 0;
	int lost = 0;

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
		/* The task is to be cancelled: no other session ends the attempt, so it ends here. */
		if (result == ROW_DONE)
			task_give_up(ids[i], tokens[i]);
		else if (lost++ == 0)
			first_lost = ids[i];
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	if (lost > 0)
		log_lost_leases(first_lost, lost);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(taskq_push_release);
Datum
taskq_push_release(PG_FUNCTION_ARGS)
{
	int64 *ids;
	int64 *tokens;
	int count = arg_id_arrays(fcinfo, 0, &ids, &tokens);
	int64 delay_us = arg_interval_us(fcinfo, 2, "delay", 0, RANGE_DELAY);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	executor_call("taskq_private.push_release()");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < count; i++)
	{
		Row lease;
		Datum value = Int64GetDatum(ids[i]);
		bool isnull = false;
		RowResult result = lease_take_unsent(ids[i], tokens[i], &lease);

		if (result == ROW_BUSY)
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
		if (result != ROW_DONE)
			continue;
		task_release(&lease, delay_us, NULL);
		endpoint_released(queue_by_id(ROW_INT32(&lease, LEASE_QUEUE_ID)), ids[i]);
	}
	return (Datum) 0;
}

/*
 * report.c
 *		The outcomes of requests, as their senders report them.
 *
 * A sender reports many outcomes in one call.  The leases are taken first, then the tasks that
 * have succeeded end together, as those of finish_many() do, and then the attempts that have
 * failed, one by one.  An outcome whose lease is lost, or is held by another session, does not make
 * the others fail.
 *
 * What an answer says about the health of an endpoint is noted at the end, in the order in which
 * the outcomes were reported.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/arg.h"
#include "base/errors.h"
#include "core/deliver.h"
#include "core/outcome.h"
#include "core/protocol.h"
#include "hints/tallies.h"
#include "life/finish.h"
#include "life/history.h"
#include "life/lease.h"
#include "push/accepted.h"
#include "push/answer.h"
#include "push/endpoint.h"
#include "tables/queue.h"
#include "tables/rows.h"

#define MIN_STATUS 100
#define MAX_STATUS 999

/* What became of one request. */
typedef struct Report
{
	int64 id;
	int64 token;
	tq_verdict verdict;
	Answer answer;
	const bytea *head; /* from which its headers were made */
	Failure failure;   /* class and retry_in_us also if it has not failed */

	RowResult result; /* of taking the lease */
	Row lease;        /* valid if that is ROW_DONE */
	bool handed_over; /* then the task goes on, and the lease is the receiver's */
} Report;

/* ---- arguments ------------------------------------------------------------------ */

static bool
same_bytes(const bytea *a, const bytea *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		   memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/* Answers that come one after the other often have the same head, which is converted once. */
static void
read_headers(FunctionCallInfo fcinfo, Report *r, const Report *before)
{
	check_bytes(PG_GETARG_DATUM(TQ_REPORT_HEADERS), "headers", TQ_RESPONSE_HEADERS);
	r->head = PG_GETARG_BYTEA_PP(TQ_REPORT_HEADERS);
	if (before != NULL && before->head != NULL && same_bytes(before->head, r->head))
		r->answer.headers = before->answer.headers;
	else
		r->answer.headers = answer_headers(r->head);
}

static void
read_received(FunctionCallInfo fcinfo, Report *r, const Report *before)
{
	Answer *answer = &r->answer;

	answer->status = arg_int32(fcinfo, TQ_REPORT_STATUS, "status", 0, MIN_STATUS, MAX_STATUS);
	answer->truncated = !PG_ARGISNULL(TQ_REPORT_TRUNCATED) && PG_GETARG_BOOL(TQ_REPORT_TRUNCATED);
	if (!PG_ARGISNULL(TQ_REPORT_HEADERS))
		read_headers(fcinfo, r, before);
	if (!PG_ARGISNULL(TQ_REPORT_BODY))
	{
		check_bytes(PG_GETARG_DATUM(TQ_REPORT_BODY), "body", TQ_RESPONSE_MAX);
		answer->body = PG_GETARG_DATUM(TQ_REPORT_BODY);
	}
}

static void
read_answer(FunctionCallInfo fcinfo, Report *r, const Report *before)
{
	int64 elapsed_us = arg_interval_us(fcinfo, TQ_REPORT_ELAPSED, "elapsed", -1, RANGE_ELAPSED);
	Answer *answer = &r->answer;

	if (elapsed_us >= 0)
	{
		answer->elapsed = palloc0_object(Interval);
		answer->elapsed->time = elapsed_us;
	}
	if (!PG_ARGISNULL(TQ_REPORT_TIMES))
		answer->times = answer_times(PG_GETARG_DATUM(TQ_REPORT_TIMES));
	answer->present = !PG_ARGISNULL(TQ_REPORT_STATUS);
	if (answer->present)
		read_received(fcinfo, r, before);
}

/* "internal" stands for a class that is not known. */
static const char *
arg_class(FunctionCallInfo fcinfo)
{
	text *class;

	if (PG_ARGISNULL(TQ_REPORT_CLASS))
		return tq_class_name(TQ_CLASS_INTERNAL);
	class = PG_GETARG_TEXT_PP(TQ_REPORT_CLASS);
	if (VARSIZE_ANY_EXHDR(class) > TASKQ_NAME_MAX)
		return tq_class_name(TQ_CLASS_INTERNAL);
	return tq_class_name(tq_class_of_name(text_to_cstring(class)));
}

static void
read_failure(FunctionCallInfo fcinfo, tq_verdict verdict, const Answer *answer, Failure *failure)
{
	failure->class = arg_class(fcinfo);
	failure->error = arg_error(fcinfo, TQ_REPORT_ERROR);
	if (failure->error == NULL && answer->present)
		failure->error = cstring_to_text(psprintf("HTTP status %d", answer->status));
	failure->permanent = verdict == TQ_PERMANENT;
	failure->retry_in_us =
		arg_interval_us(fcinfo, TQ_REPORT_RETRY_AFTER, "retry_after", -1, RANGE_RETRY);
	failure->answer = answer;
}

static tq_verdict
arg_verdict(FunctionCallInfo fcinfo)
{
	static const tq_verdict verdicts[] = {TQ_SUCCESS, TQ_RETRY, TQ_PERMANENT};
	char *name = "";

	if (!PG_ARGISNULL(TQ_REPORT_VERDICT))
		name = text_to_cstring(PG_GETARG_TEXT_PP(TQ_REPORT_VERDICT));
	for (int i = 0; i < (int) lengthof(verdicts); i++)
	{
		if (strcmp(name, tq_verdict_name(verdicts[i])) == 0)
			return verdicts[i];
	}
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("invalid verdict"),
			 errdetail("It must be success, retry or permanent."),
			 errhint("See src/core/outcome.h.")));
	return TQ_RETRY; /* not reached */
}

/* The arguments of push_report(); before: another one, or NULL.  Both must stay where they are. */
static void
read_report(FunctionCallInfo fcinfo, Report *r, const Report *before)
{
	memset(r, 0, sizeof(*r));
	r->id = arg_id(fcinfo, TQ_REPORT_ID, "id");
	r->token = arg_id(fcinfo, TQ_REPORT_TOKEN, "token");
	r->verdict = arg_verdict(fcinfo);
	r->failure.class = tq_class_name(TQ_CLASS_HTTP);
	r->failure.retry_in_us = -1;
	read_answer(fcinfo, r, before);
	if (r->verdict != TQ_SUCCESS)
		read_failure(fcinfo, r->verdict, &r->answer, &r->failure);
}

/* ---- one outcome ------------------------------------------------------------------ */

/* Takes the lease, or gives it to the receiver, which has accepted the task. */
static void
take_lease(HotRelation *leases, Report *r)
{
	r->result = ROW_GONE;
	if (r->verdict == TQ_SUCCESS && r->answer.status == ACCEPTED)
		r->result = lease_hand_over(r->id, r->token, &r->lease);
	r->handed_over = r->result == ROW_DONE;
	if (r->result == ROW_GONE)
		r->result = lease_take_sent_in(leases, r->id, r->token, &r->lease);
}

static bool
was_finished(const Report *r)
{
	return r->result == ROW_DONE && r->verdict == TQ_SUCCESS && !r->handed_over;
}

/* Whether the task has a path: if a resource of an endpoint is gone, the endpoint need not be. */
static bool
has_path(int64 id)
{
	Row task;

	return !row_read(HOT_TASK, id, &task) || !task.nulls[TASK_URL];
}

/* An answer that ends no attempt.  queue may be NULL. */
static void
note_answer(const Queue *queue, const Report *r)
{
	endpoint_note(queue, r->id, r->failure.class, r->answer.status, -1, false);
	if (queue != NULL)
		tally_answer(queue->id, r->answer.status);
}

/*
 * An answer to a task whose lease is gone.  True: the receiver has reported by itself before it
 * answered, as it may.
 */
static bool
note_late(const Report *r)
{
	const Queue *queue = accepted_queue(r->id);

	note_answer(queue, r);
	return queue != NULL && queue->accept_202 && r->verdict == TQ_SUCCESS;
}

/* Ends the attempt if it has failed, and notes the answer; false: the lease was lost. */
static bool
conclude(const Report *r)
{
	const Queue *queue;
	bool gone = false;

	if (r->result != ROW_DONE)
		return note_late(r);
	queue = queue_by_id(ROW_INT32(&r->lease, LEASE_QUEUE_ID));
	if (r->handed_over)
	{
		note_answer(queue, r);
		return true;
	}
	if (r->verdict != TQ_SUCCESS)
	{
		gone = r->answer.status == 410 && !has_path(r->id);
		(void) task_fail(&r->lease, &r->failure);
		queue = queue_by_id(ROW_INT32(&r->lease, LEASE_QUEUE_ID));
	}
	endpoint_note(queue, r->id, r->failure.class, r->answer.status, r->failure.retry_in_us, gone);
	return true;
}

/* ---- all of a call ---------------------------------------------------------------- */

static void
take_leases(Report *reports, int count)
{
	HotRelation leases;

	hot_open(&leases, HOT_LEASE);
	hot_begin_looks(&leases);
	for (int i = 0; i < count; i++)
		take_lease(&leases, &reports[i]);
	hot_end_looks(&leases);
	hot_close(&leases);
	CommandCounterIncrement();
}

static void
finish_tasks(const Report *reports, int count)
{
	Finish *finishes = palloc_array(Finish, count);
	int n = 0;

	for (int i = 0; i < count; i++)
	{
		if (was_finished(&reports[i]))
			finishes[n++] = (Finish){.lease = &reports[i].lease, .answer = &reports[i].answer};
	}
	if (n > 0)
		tasks_finish(finishes, n);
	pfree(finishes);
}

/* Sets what push_report() returns for each of them. */
static void
store_reports(Report *reports, int count, Datum *stored, bool *busy)
{
	take_leases(reports, count);
	finish_tasks(reports, count);
	for (int i = 0; i < count; i++)
	{
		busy[i] = reports[i].result == ROW_BUSY;
		stored[i] = BoolGetDatum(!busy[i] && conclude(&reports[i]));
	}
}

PG_FUNCTION_INFO_V1(taskq_push_report);
Datum
taskq_push_report(PG_FUNCTION_ARGS)
{
	Report *report = palloc_object(Report);
	Datum stored;

	executor_call("taskq_private.push_report()");
	read_report(fcinfo, report, NULL);
	store_reports(report, 1, &stored, &fcinfo->isnull);
	return stored;
}

/* Reads argument n, an array; NULL stands for an array of NULLs. */
static void
read_column(FunctionCallInfo fcinfo, int n, int count, NullableDatum *column)
{
	ArrayType *array;
	Datum *values;
	bool *nulls;
	int16 len;
	bool byval;
	char align;
	int found;

	for (int i = 0; i < count; i++)
		column[i].isnull = true;
	if (PG_ARGISNULL(n))
		return;
	array = PG_GETARG_ARRAYTYPE_P(n);
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &len, &byval, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), len, byval, align, &values, &nulls, &found);
	if (found != count)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("arrays do not have the same length"),
				 errdetail("There are %d ids, and argument %d has %d elements.", count, n + 1,
						   found),
				 errhint("Pass one element for each id, NULL where there is none.")));
	for (int i = 0; i < count; i++)
		column[i] = (NullableDatum){values[i], nulls[i]};
}

/* Each column has one argument of push_report() for each report. */
static Report *
read_reports(FunctionCallInfo fcinfo, int count)
{
	LOCAL_FCINFO(one, TQ_REPORT_NARGUMENTS);
	NullableDatum *column[TQ_REPORT_NARGUMENTS];
	Report *reports = palloc_array(Report, count);

	for (int n = 0; n < TQ_REPORT_NARGUMENTS; n++)
	{
		column[n] = palloc_array(NullableDatum, count);
		read_column(fcinfo, n, count, column[n]);
	}
	InitFunctionCallInfoData(*one, fcinfo->flinfo, TQ_REPORT_NARGUMENTS, InvalidOid, NULL, NULL);
	for (int i = 0; i < count; i++)
	{
		for (int n = 0; n < TQ_REPORT_NARGUMENTS; n++)
			one->args[n] = column[n][i];
		read_report(one, &reports[i], i > 0 ? &reports[i - 1] : NULL);
	}
	return reports;
}

PG_FUNCTION_INFO_V1(taskq_push_report_many);
Datum
taskq_push_report_many(PG_FUNCTION_ARGS)
{
	int64 *ids;
	int64 *tokens;
	int count = arg_id_arrays(fcinfo, TQ_REPORT_ID, &ids, &tokens);
	int first = 1;
	Datum *stored = palloc_array(Datum, count);
	bool *busy = palloc_array(bool, count);

	executor_call("taskq_private.push_report_many()");
	store_reports(read_reports(fcinfo, count), count, stored, busy);
	PG_RETURN_ARRAYTYPE_P(construct_md_array(stored, busy, 1, &count, &first, BOOLOID, 1, true,
											 TYPALIGN_CHAR));
}

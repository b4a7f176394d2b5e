/*
 * finish.c
 *		How an attempt ends: finish, fail, release, cancel, a lost lease.
 *
 * Each begins by deleting the lease of a running task, or the task row of a
 * pending one (pending.c); who deletes that row decides what becomes of the
 * task, and everybody else finds nothing.  Locks are always taken in this
 * order: lease, then task row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/arg.h"
#include "base/catalog.h"
#include "base/durability.h"
#include "base/errors.h"
#include "base/sql.h"
#include "life/finish.h"
#include "life/history.h"
#include "life/lease.h"
#include "life/pending.h"
#include "tables/queue.h"
#include "tables/rows.h"
#include "tables/state.h"

#define MAX_RETRY_IN_US (366 * US_PER_DAY)

/* Columns of taskq_private.attempt, from zero. */
enum AttemptColumn
{
	ATT_TASK_ID,
	ATT_ATTEMPT,
	ATT_STARTED_AT,
	ATT_ENDED_AT,
	ATT_WORKER,
	ATT_CLASS,
	ATT_ERROR,
	ATT_DETAIL,
	ATT_STATUS,
	ATT_HEADERS,
	ATT_BODY,
	ATT_TRUNCATED,
	ATT_ELAPSED,
	ATT_TIMES,
	ATT_NCOLUMNS,
};

/* NULL: the task is dead. */
static Statement select_retry_at = {
	"select taskq_private.retry_at($1, $2, $3, $4, $5)",
	5,
	{TEXTOID, INT4OID, INT4OID, TIMESTAMPTZOID, INTERVALOID},
	NULL,
};

static void
task_of(int64 id, Row *task)
{
	if (!row_read(HOT_TASK, id, task))
		elog(ERROR, "task " INT64_FORMAT " has a lease and no task row", id);
}

void
task_finish(const Row *lease, Datum result, bool noresult, const Answer *answer)
{
	Ending ending = {
		.state = STATE_FINISHED,
		.result = noresult ? (Datum) 0 : result,
		.answer = answer,
	};
	Row task;

	task_of(ROW_INT64(lease, LEASE_ID), &task);
	task_end(&task, lease, &ending);
}

void
tasks_finish(const Row *leases, const Datum *results, int count)
{
	HotRelation tasks;
	HistoryBatch *batch;

	hot_open(&tasks, HOT_TASK);
	hot_begin_looks(&tasks);
	batch = history_begin_batch(&tasks);
	for (int i = 0; i < count; i++)
	{
		Ending ending = {.state = STATE_FINISHED, .result = results[i]};
		int64 id = ROW_INT64(&leases[i], LEASE_ID);
		Row task;

		CHECK_FOR_INTERRUPTS();
		if (!row_fetch(&tasks, id, &task))
			elog(ERROR, "task " INT64_FORMAT " has a lease and no task row", id);
		task_end_in(batch, &task, &leases[i], &ending);
	}
	history_end_batch(batch);
	hot_end_looks(&tasks);
	hot_close(&tasks);
}

/* The end of a task whose cancelling was asked for while it ran. */
static void
end_cancelled(const Row *task, const Row *lease, const Answer *answer)
{
	Ending ending = {.state = STATE_CANCELLED, .answer = answer};

	if (!lease->nulls[LEASE_CANCEL_REASON])
		ending.error = DatumGetTextPP(lease->values[LEASE_CANCEL_REASON]);
	task_end(task, lease, &ending);
}

/*
 * Makes the task pending again, due at run_at, with that many attempts used up.
 * Its time is always another than before: as a version that shares its index
 * entries with the former one it could not be told from that.
 */
static void
make_pending(Row *task, TimestampTz run_at, int32 attempts)
{
	HotRelation r;

	if (run_at == ROW_TIME(task, TASK_RUN_AT))
		run_at++;
	task->values[TASK_RUN_AT] = TimestampTzGetDatum(run_at);
	task->values[TASK_ATTEMPT] = Int32GetDatum(attempts);
	task->nulls[TASK_START_BY] = true; /* it has started */
	hot_open(&r, HOT_TASK);
	if (row_update(&r, task, true) != ROW_DONE)
		elog(ERROR, "task " INT64_FORMAT " was changed without its lease",
			 ROW_INT64(task, TASK_ID));
	hot_close(&r);
	pending_made(task);
}

static void
set_attempt_answer(Datum *values, bool *nulls, const Answer *answer)
{
	values[ATT_STATUS] = Int32GetDatum(answer->status);
	values[ATT_HEADERS] = answer->headers;
	values[ATT_BODY] = answer->body;
	values[ATT_TRUNCATED] = BoolGetDatum(answer->truncated);
	values[ATT_ELAPSED] = IntervalPGetDatum(answer->elapsed);
	values[ATT_TIMES] = answer->times;
	nulls[ATT_STATUS] = !answer->present;
	nulls[ATT_HEADERS] = answer->headers == 0;
	nulls[ATT_BODY] = answer->body == 0;
	nulls[ATT_TRUNCATED] = !answer->present;
	nulls[ATT_ELAPSED] = answer->elapsed == NULL;
	nulls[ATT_TIMES] = answer->times == 0;
}

static void
insert_attempt(Datum *values, bool *nulls)
{
	Relation relation = table_open(catalog_relation("attempt"), RowExclusiveLock);
	HeapTuple tuple;

	if (RelationGetNumberOfAttributes(relation) != ATT_NCOLUMNS)
		elog(ERROR, "table \"%s\" is not the one this library was built for",
			 RelationGetRelationName(relation));
	tuple = form_tuple(relation, values, nulls);
	CatalogTupleInsert(relation, tuple);
	heap_freetuple(tuple);
	table_close(relation, NoLock);
	CommandCounterIncrement();
}

static void
record_attempt(const Row *lease, const Failure *failure)
{
	Datum values[ATT_NCOLUMNS] = {0};
	bool nulls[ATT_NCOLUMNS] = {0};

	values[ATT_TASK_ID] = lease->values[LEASE_ID];
	values[ATT_ATTEMPT] = lease->values[LEASE_ATTEMPT];
	values[ATT_STARTED_AT] = lease->values[LEASE_STARTED_AT];
	values[ATT_ENDED_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[ATT_WORKER] = lease->values[LEASE_WORKER];
	values[ATT_ERROR] = PointerGetDatum(failure->error);
	values[ATT_DETAIL] = failure->detail;
	nulls[ATT_WORKER] = lease->nulls[LEASE_WORKER];
	nulls[ATT_CLASS] = failure->class == NULL;
	nulls[ATT_ERROR] = failure->error == NULL;
	nulls[ATT_DETAIL] = failure->detail == 0;
	if (failure->class != NULL)
		values[ATT_CLASS] = CStringGetTextDatum(failure->class);
	if (failure->answer != NULL)
		set_attempt_answer(values, nulls, failure->answer);
	else
		memset(&nulls[ATT_STATUS], true, (ATT_NCOLUMNS - ATT_STATUS) * sizeof(bool));
	insert_attempt(values, nulls);
}

/* The policy by its rules. */
static bool
ask_policy(const Row *task, const Row *lease, int64 retry_in_us, const char *of_queue,
		   TimestampTz *run_at)
{
	Interval retry_in = {.time = retry_in_us};
	int born = task->nulls[TASK_REVIVED_AT] ? TASK_SUBMITTED_AT : TASK_REVIVED_AT;
	Datum values[5];
	char nulls[6] = "     ";
	Datum result;
	bool isnull;

	if (!task->nulls[TASK_RETRY])
		values[0] = task->values[TASK_RETRY];
	else
		values[0] = CStringGetTextDatum(of_queue);
	values[1] = lease->values[LEASE_ATTEMPT];
	values[2] = task->values[TASK_MAX_ATTEMPTS];
	values[3] = task->values[born];
	values[4] = IntervalPGetDatum(&retry_in);
	nulls[4] = retry_in_us < 0 ? 'n' : ' ';
	if (!sql_as_owner(&select_retry_at, values, nulls, &result, &isnull, 1) || isnull)
		return false;
	*run_at = DatumGetTimestampTz(result);
	return true;
}

/*
 * When the task is to be tried again; false: never.  The policy is not asked about a try at once,
 * as after a lost lease, unless it limits the task's age: many leases may be lost together.
 */
static bool
next_try(const Row *task, const Row *lease, int64 retry_in_us, TimestampTz *run_at)
{
	const Queue *queue = queue_by_id(ROW_INT32(task, TASK_QUEUE_ID));

	if (ROW_INT32(lease, LEASE_ATTEMPT) >= ROW_INT32(task, TASK_MAX_ATTEMPTS))
		return false;
	if (retry_in_us != 0 || !task->nulls[TASK_RETRY] || queue == NULL || queue->age_limited)
		return ask_policy(task, lease, retry_in_us, queue != NULL ? queue->retry : "default",
						  run_at);
	*run_at = GetCurrentTimestamp();
	return true;
}

TaskState
task_fail(const Row *lease, const Failure *failure)
{
	Ending dead = {.state = STATE_DEAD, .error = failure->error, .answer = failure->answer};
	TimestampTz run_at;
	Row task;

	task_of(ROW_INT64(lease, LEASE_ID), &task);
	record_attempt(lease, failure);
	if (ROW_BOOL(lease, LEASE_CANCEL_REQUESTED))
	{
		end_cancelled(&task, lease, failure->answer);
		return STATE_CANCELLED;
	}
	if (!failure->permanent && next_try(&task, lease, failure->retry_in_us, &run_at))
	{
		make_pending(&task, run_at, ROW_INT32(lease, LEASE_ATTEMPT));
		return STATE_PENDING;
	}
	task_end(&task, lease, &dead);
	return STATE_DEAD;
}

TaskState
task_lost(const Row *lease)
{
	Failure failure = {
		.class = "lease_lost",
		.error = cstring_to_text("lease lost"),
		.retry_in_us = 0,
	};

	return task_fail(lease, &failure);
}

void
task_release(const Row *lease, int64 delay_us)
{
	Row task;

	task_of(ROW_INT64(lease, LEASE_ID), &task);
	if (ROW_BOOL(lease, LEASE_CANCEL_REQUESTED))
		end_cancelled(&task, lease, NULL);
	else
		make_pending(&task, GetCurrentTimestamp() + delay_us, ROW_INT32(&task, TASK_ATTEMPT));
}

/*
 * Takes a client's own lease and finishes the task; false: the lease was lost.
 * Where the queue's durable_finish is off, the commit need not be durable.
 */
static bool
task_finish_own(int64 id, int64 token, Datum result, bool noresult)
{
	const Queue *queue;
	Row lease;

	durability_begin_weak();
	if (!lease_take_own(id, token, &lease))
		return false;
	task_finish(&lease, result, noresult, NULL);
	queue = queue_by_id(ROW_INT32(&lease, LEASE_QUEUE_ID));
	if (queue != NULL && !queue->durable_finish)
		durability_end_weak();
	return true;
}

PG_FUNCTION_INFO_V1(taskq_finish);
Datum
taskq_finish(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	int64 token = arg_id(fcinfo, 1, "token");

	client_call("taskq.finish()");
	if (!PG_ARGISNULL(2))
		check_size(PG_GETARG_DATUM(2), "result");
	PG_RETURN_BOOL(task_finish_own(id, token, PG_GETARG_DATUM(2), PG_ARGISNULL(2)));
}

PG_FUNCTION_INFO_V1(taskq_fail);
Datum
taskq_fail(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	int64 token = arg_id(fcinfo, 1, "token");
	Failure failure = {.error = arg_error(fcinfo, 2)};
	Row lease;

	client_call("taskq.fail()");
	if (failure.error == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("error must not be NULL"),
				 errdetail("A failed attempt is kept with the reason."),
				 errhint("Say in a few words what went wrong.")));
	if (!PG_ARGISNULL(3))
		check_size(failure.detail = PG_GETARG_DATUM(3), "detail");
	failure.retry_in_us = arg_interval_us(fcinfo, 4, "retry_in", -1, 0, MAX_RETRY_IN_US);
	failure.permanent = !PG_ARGISNULL(5) && !PG_GETARG_BOOL(5);
	if (!lease_take_own(id, token, &lease))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(state_datum(task_fail(&lease, &failure)));
}

PG_FUNCTION_INFO_V1(taskq_release);
Datum
taskq_release(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	int64 token = arg_id(fcinfo, 1, "token");
	int64 delay_us = arg_interval_us(fcinfo, 2, "delay", 0, 0, MAX_DELAY_US);
	Row lease;

	client_call("taskq.release()");
	if (!lease_take_own(id, token, &lease))
		PG_RETURN_BOOL(false);
	task_release(&lease, delay_us);
	PG_RETURN_BOOL(true);
}

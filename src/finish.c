/*
 * finish.c
 *		How an attempt ends: finish, fail, release, cancel, a lost lease.
 *
 * Each begins by deleting the lease of a running task, or the task row of a
 * pending one (pending.c); who deletes that row decides what becomes of the
 * task, and everybody else finds nothing.  Locks are always taken in this
 * order: lease, then task row.
 */
#include "pending.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#define MAX_RETRY_IN_US (366 * US_PER_DAY)
#define MAX_LOOKS       1000

/* Columns of taskq_private.attempt, all of them. */
enum AttemptArgument
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
	ATT_NARGS,
};

static Statement insert_attempt = {
	"insert into taskq_private.attempt values "
	"($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
	ATT_NARGS,
	{INT8OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID,
	 INT4OID, JSONBOID, BYTEAOID, BOOLOID, INTERVALOID, JSONBOID},
	NULL,
};

/* NULL: the task is dead. */
static Statement select_retry_at = {
	"select taskq_private.retry_at($1, $2, $3, $4, $5)",
	5,
	{TEXTOID, INT4OID, INT4OID, TIMESTAMPTZOID, INTERVALOID},
	NULL,
};

static Datum
look_up_state(const char *label)
{
	Oid type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("state"),
							   ObjectIdGetDatum(get_namespace_oid("taskq", false)));

	return DirectFunctionCall2(enum_in, CStringGetDatum(label), ObjectIdGetDatum(type));
}

Datum
state_datum(TaskState state)
{
	static const char *const labels[] = {
		[STATE_PENDING] = "pending",
		[STATE_RUNNING] = "running",
		[STATE_FINISHED] = "finished",
		[STATE_DEAD] = "dead",
		[STATE_CANCELLED] = "cancelled",
		[STATE_EXPIRED] = "expired",
	};
	static Datum known[lengthof(labels)];
	static Oid generation = InvalidOid;

	if (generation != queue_generation())
	{
		generation = InvalidOid; /* for when one is not found */
		for (int i = 0; i < (int) lengthof(labels); i++)
			known[i] = look_up_state(labels[i]);
		generation = queue_generation();
	}
	return known[state];
}

void
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

bool
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
set_attempt_answer(Datum *values, char *nulls, const Answer *answer)
{
	values[ATT_STATUS] = Int32GetDatum(answer->status);
	values[ATT_HEADERS] = answer->headers;
	values[ATT_BODY] = answer->body;
	values[ATT_TRUNCATED] = BoolGetDatum(answer->truncated);
	values[ATT_ELAPSED] = IntervalPGetDatum(answer->elapsed);
	values[ATT_TIMES] = answer->times;
	nulls[ATT_STATUS] = answer->present ? ' ' : 'n';
	nulls[ATT_HEADERS] = answer->headers != 0 ? ' ' : 'n';
	nulls[ATT_BODY] = answer->body != 0 ? ' ' : 'n';
	nulls[ATT_TRUNCATED] = answer->present ? ' ' : 'n';
	nulls[ATT_ELAPSED] = answer->elapsed != NULL ? ' ' : 'n';
	nulls[ATT_TIMES] = answer->times != 0 ? ' ' : 'n';
}

static void
record_attempt(const Row *lease, const Failure *failure)
{
	Datum values[ATT_NARGS] = {0};
	char nulls[ATT_NARGS + 1];

	memset(nulls, 'n', ATT_NARGS);
	nulls[ATT_NARGS] = '\0';
	memset(nulls, ' ', ATT_ENDED_AT + 1);
	values[ATT_TASK_ID] = lease->values[LEASE_ID];
	values[ATT_ATTEMPT] = lease->values[LEASE_ATTEMPT];
	values[ATT_STARTED_AT] = lease->values[LEASE_STARTED_AT];
	values[ATT_ENDED_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[ATT_WORKER] = lease->values[LEASE_WORKER];
	nulls[ATT_WORKER] = lease->nulls[LEASE_WORKER] ? 'n' : ' ';
	if (failure->class != NULL)
	{
		values[ATT_CLASS] = CStringGetTextDatum(failure->class);
		nulls[ATT_CLASS] = ' ';
	}
	if (failure->error != NULL)
	{
		values[ATT_ERROR] = PointerGetDatum(failure->error);
		nulls[ATT_ERROR] = ' ';
	}
	if (failure->detail != 0)
	{
		values[ATT_DETAIL] = failure->detail;
		nulls[ATT_DETAIL] = ' ';
	}
	if (failure->answer != NULL)
		set_attempt_answer(values, nulls, failure->answer);
	(void) owner_query(&insert_attempt, values, nulls, NULL, NULL, 0);
}

/* When the policy wants the task tried again; false: never. */
static bool
next_try(const Row *task, const Row *lease, int64 retry_in_us, TimestampTz *run_at)
{
	const Queue *queue = queue_by_id(ROW_INT32(task, TASK_QUEUE_ID));
	Interval retry_in = {.time = retry_in_us};
	int born = task->nulls[TASK_REVIVED_AT] ? TASK_SUBMITTED_AT : TASK_REVIVED_AT;
	Datum values[5];
	char nulls[6] = "     ";
	Datum result;
	bool isnull;

	if (!task->nulls[TASK_RETRY])
		values[0] = task->values[TASK_RETRY];
	else
		values[0] = CStringGetTextDatum(queue != NULL ? queue->retry : "default");
	values[1] = lease->values[LEASE_ATTEMPT];
	values[2] = task->values[TASK_MAX_ATTEMPTS];
	values[3] = task->values[born];
	values[4] = IntervalPGetDatum(&retry_in);
	nulls[4] = retry_in_us < 0 ? 'n' : ' ';
	if (!owner_query(&select_retry_at, values, nulls, &result, &isnull, 1) || isnull)
		return false;
	*run_at = DatumGetTimestampTz(result);
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

/* Ends a pending task.  Results as of pending_take(). */
static RowResult
end_pending(int64 id, text *reason)
{
	Ending ending = {.state = STATE_CANCELLED, .error = reason};
	Row task;
	RowResult result = pending_take(id, true, &task);

	if (result == ROW_DONE)
		task_end(&task, NULL, &ending);
	return result;
}

/* Marks a running task; its worker, or the executor, will find the mark. */
static RowResult
cancel_running(int64 id, text *reason)
{
	HotRelation r;
	Row lease;
	RowResult result = ROW_GONE;

	hot_open(&r, HOT_LEASE);
	if (row_fetch(&r, id, &lease))
	{
		lease.values[LEASE_CANCEL_REQUESTED] = BoolGetDatum(true);
		lease.nulls[LEASE_CANCEL_REASON] = reason == NULL;
		lease.values[LEASE_CANCEL_REASON] = PointerGetDatum(reason);
		result = row_update(&r, &lease, true);
	}
	hot_close(&r);
	if (result == ROW_DONE)
	{
		CommandCounterIncrement();
		wakeup_lease_check_at_commit();
	}
	return result;
}

/*
 * The task may change hands between two looks at it, so they are repeated
 * until the task or its lease was ours, the task has ended, or it runs and that
 * is to be left alone.
 */
static bool
cancel_task(int64 id, text *reason, bool running)
{
	for (int looks = 0; looks < MAX_LOOKS; looks++)
	{
		Row task;
		Row lease;

		CHECK_FOR_INTERRUPTS();
		if (!row_read(HOT_TASK, id, &task) ||
			!queue_may(queue_by_id(ROW_INT32(&task, TASK_QUEUE_ID)),
					   PRIVILEGE_SUBMIT | PRIVILEGE_CONTROL))
			return false;
		if (end_pending(id, reason) == ROW_DONE)
			return true;
		if (running && cancel_running(id, reason) == ROW_DONE)
			return true;
		if (!running && row_read(HOT_LEASE, id, &lease))
			return false;
	}
	elog(ERROR, "task " INT64_FORMAT " is neither pending nor running", id);
	return false; /* not reached */
}

PG_FUNCTION_INFO_V1(taskq_cancel);
Datum
taskq_cancel(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	text *reason = arg_error(fcinfo, 1);

	client_call("taskq.cancel()");
	PG_RETURN_BOOL(cancel_task(id, reason, true));
}

/* For drop_queue(): the attempt of a running task is ended too. */
PG_FUNCTION_INFO_V1(taskq_cancel_task);
Datum
taskq_cancel_task(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	text *reason = arg_error(fcinfo, 1);
	Row lease;

	if (!cancel_task(id, reason, true))
		PG_RETURN_BOOL(false);
	if (row_read(HOT_LEASE, id, &lease) &&
		lease_take(id, ROW_INT64(&lease, LEASE_TOKEN), &lease, true) == ROW_DONE)
		(void) task_lost(&lease);
	PG_RETURN_BOOL(true);
}

PG_FUNCTION_INFO_V1(taskq_cancel_key);
Datum
taskq_cancel_key(PG_FUNCTION_ARGS)
{
	text *key = arg_key(fcinfo, 1);
	const Queue *queue;
	int64 id;

	client_call("taskq.cancel_key()");
	queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
	queue_require(queue, PRIVILEGE_SUBMIT | PRIVILEGE_CONTROL);
	if (key == NULL)
		(void) arg_id(fcinfo, 1, "key");
	id = key_holder(queue, key);
	PG_RETURN_BOOL(id != 0 && cancel_task(id, NULL, true));
}

PG_FUNCTION_INFO_V1(taskq_purge_task);
Datum
taskq_purge_task(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(cancel_task(arg_id(fcinfo, 0, "id"), NULL, false));
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

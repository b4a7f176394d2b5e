/*
 * finish.c
 *		Ends attempts: finish, fail, release, decline, a lost lease.
 *
 * Several sessions may try to end the same attempt at the same time, and one of them
 * must win.  So each of them first deletes the row of the lease: the transaction that
 * deletes it decides the next state of the task, and the other sessions find no lease.  A
 * pending task has no lease; the transaction that deletes its task row (pending.c) ends it.
 *
 * Locks are always taken in this order: the lease, then the task row.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/arg.h"
#include "base/catalog.h"
#include "base/durability.h"
#include "base/errors.h"
#include "base/settings.h"
#include "base/sql.h"
#include "core/outcome.h"
#include "hints/tallies.h"
#include "life/end.h"
#include "life/events.h"
#include "life/finish.h"
#include "life/follow_up.h"
#include "life/history.h"
#include "life/lease.h"
#include "life/pending.h"
#include "life/prerequisites.h"
#include "tables/append.h"
#include "tables/backlog.h"
#include "tables/queue.h"
#include "tables/rows.h"
#include "tables/start_limit.h"
#include "tables/state.h"

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

#define LEASE_LOST       "lease_lost"
#define NO_ROUTE         "no_route"
#define DECLINE_DELAY_US (60 * USECS_PER_SEC)
#define DECLINE_TIMES    10
#define MAX_DECLINES     1000

/* Returns NULL if the task is dead. */
static Statement select_retry_at = {
	"select taskq_private.retry_at($1, $2, $3, $4, $5)",
	5,
	{TEXTOID, INT4OID, INT4OID, TIMESTAMPTZOID, INTERVALOID},
	NULL,
};

/*
 * The task of a lease that the caller has taken.  False: an administrator has deleted its row.
 * Then nothing is left to be ended but the lease, or it would be taken back for ever.
 */
static bool
task_of(const Row *lease, Row *task)
{
	int64 id = ROW_INT64(lease, LEASE_ID);

	if (row_read(HOT_TASK, id, task))
		return true;
	elog(LOG, "task " INT64_FORMAT " had a lease and no row", id);
	return false;
}

/* Counts an attempt that ends.  failure: NULL if it has not failed. */
static void
tally(const Row *task, const Row *lease, const Failure *failure, const Answer *answer)
{
	TimestampTz started_at = ROW_TIME(lease, LEASE_STARTED_AT);
	TalliedAttempt attempt = {
		.queue_id = ROW_INT32(lease, LEASE_QUEUE_ID),
		.wait_us = started_at - task_due_at(task),
		.run_us = GetCurrentTimestamp() - started_at,
		.failed = failure != NULL,
		.class = failure != NULL ? failure->class : NULL,
		.status = answer != NULL && answer->present ? answer->status : 0,
	};

	tally_attempt(&attempt);
}

void
task_finish(const Row *lease, Datum result, bool noresult)
{
	Ending ending = {.state = STATE_FINISHED, .result = noresult ? (Datum) 0 : result};
	Row task;

	if (!task_of(lease, &task))
		return;
	tally(&task, lease, NULL, NULL);
	task_end(&task, lease, &ending);
}

void
tasks_finish(const Finish *finishes, int count)
{
	HotRelation tasks;
	EndBatch *batch;

	hot_open(&tasks, HOT_TASK);
	hot_begin_looks(&tasks);
	batch = end_batch_begin(&tasks);
	for (int i = 0; i < count; i++)
	{
		const Finish *f = &finishes[i];
		Ending ending = {
			.state = STATE_FINISHED,
			.result = f->result,
			.answer = f->answer,
		};
		int64 id = ROW_INT64(f->lease, LEASE_ID);
		Row task;

		CHECK_FOR_INTERRUPTS();
		if (!row_fetch(&tasks, id, &task))
		{
			elog(LOG, "task " INT64_FORMAT " had a lease and no row", id);
			continue;
		}
		tally(&task, f->lease, NULL, f->answer);
		task_end_in(batch, &task, f->lease, &ending);
	}
	hot_end_looks(&tasks);
	end_batch_finish(batch);
	hot_close(&tasks);
}

/* Ends a task that a session has asked to cancel while it ran. */
static void
end_cancelled(const Row *task, const Row *lease, const Answer *answer)
{
	Ending ending = {.state = STATE_CANCELLED, .answer = answer};

	if (!lease->nulls[LEASE_CANCEL_REASON])
		ending.error = DatumGetTextPP(lease->values[LEASE_CANCEL_REASON]);
	task_end(task, lease, &ending);
}

/* In an ordered queue a task of a group keeps its place, which is its run_at. */
static bool
keeps_its_place(const Row *task)
{
	const Queue *queue = queue_by_id(ROW_INT32(task, TASK_QUEUE_ID));

	return !task->nulls[TASK_GROUP_ID] && queue != NULL && queue->ordered;
}

/*
 * Sets when the task is due.  Its run_at always changes.  If it did not, the new version of the row
 * could share the index entries of the old one, and a candidate could not tell the two apart.  A
 * task that keeps its place is no candidate: it is looked at again under its lock.
 */
static void
set_due(Row *task, TimestampTz due)
{
	if (keeps_its_place(task))
	{
		row_set(task, TASK_RETRY_AT, TimestampTzGetDatum(due));
		return;
	}
	if (due == ROW_TIME(task, TASK_RUN_AT))
		due++;
	task->values[TASK_RUN_AT] = TimestampTzGetDatum(due);
	task->nulls[TASK_RETRY_AT] = true;
}

/* Makes the task of a lease pending again, as its row says, with that many attempts used up. */
static void
write_pending(Row *task, const Row *lease, int32 attempts)
{
	HotRelation r;

	task->values[TASK_ATTEMPT] = Int32GetDatum(attempts);
	start_limit_drop(task);
	task->nulls[TASK_START_BY] = true; /* it has started */
	if (follow_ups_came_late(lease))
		follow_ups_move(task, lease);
	hot_open(&r, HOT_TASK);
	if (row_update(&r, task, true) != ROW_DONE)
		elog(ERROR, "task " INT64_FORMAT " was changed without its lease",
			 ROW_INT64(task, TASK_ID));
	hot_close(&r);
	pending_made(task);
}

/* The same, due at that time. */
static void
make_pending(Row *task, const Row *lease, TimestampTz due, int32 attempts)
{
	set_due(task, due);
	write_pending(task, lease, attempts);
}

/* The same, due so long after the others have ended. */
static void
make_wait(Row *task, const Row *lease, int64 delay_us, const Prerequisites *after)
{
	int64 id = ROW_INT64(task, TASK_ID);
	WaitTerms terms = {.delay_us = delay_us, .start_within_us = -1};

	prerequisites_make_wait(task);
	write_pending(task, lease, ROW_INT32(task, TASK_ATTEMPT));
	prerequisites_insert(id, &terms, after);
	prerequisites_refuse_circle(id, after);
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

	append_row(relation, TABLE_ATTEMPT, &(OwnColumns){values, nulls, ATT_NCOLUMNS});
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

/* Asks the retry policy when the task is to be tried again; false: never. */
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
 * When the task is to be tried again; false: never.  A retry without delay, as after a lost lease,
 * does not need the policy unless the policy limits the age of tasks.  This matters because
 * many leases may be lost at the same time.
 */
static bool
next_try(const Row *task, const Row *lease, int64 retry_in_us, TimestampTz *run_at)
{
	const Queue *queue = queue_by_id(ROW_INT32(task, TASK_QUEUE_ID));

	if (queue == NULL || ROW_INT32(lease, LEASE_ATTEMPT) >= ROW_INT32(task, TASK_MAX_ATTEMPTS))
		return false;
	if (retry_in_us != 0 || !task->nulls[TASK_RETRY] || queue->age_limited)
		return ask_policy(task, lease, retry_in_us, queue->retry, run_at);
	*run_at = GetCurrentTimestamp();
	return true;
}

/* Without error and detail, which may hold the content of the task. */
static void
log_dead(const Row *task, const Row *lease, const Failure *failure)
{
	const Queue *queue = queue_by_id(ROW_INT32(task, TASK_QUEUE_ID));

	ereport(LOG,
			(errmsg("task " INT64_FORMAT " of queue \"%s\" is dead after attempt %d: %s",
					ROW_INT64(task, TASK_ID), queue != NULL ? queue->name : "",
					ROW_INT32(lease, LEASE_ATTEMPT),
					failure->class != NULL ? failure->class : "reported by its worker"),
			 errhidestmt(true), errhidecontext(true)));
}

static bool
is_lost(const Failure *failure)
{
	return failure->class != NULL && strcmp(failure->class, LEASE_LOST) == 0;
}

TaskState
task_fail(const Row *lease, const Failure *failure)
{
	Ending dead = {.state = STATE_DEAD, .error = failure->error, .answer = failure->answer};
	TimestampTz due;
	Row task;

	if (!task_of(lease, &task))
		return STATE_DEAD;
	record_attempt(lease, failure);
	tally(&task, lease, failure, failure->answer);
	event_attempt(is_lost(failure) ? EVENT_LOST : EVENT_FAILED, lease, failure->class,
				  failure->error);
	if (ROW_BOOL(lease, LEASE_CANCEL_REQUESTED))
	{
		end_cancelled(&task, lease, failure->answer);
		return STATE_CANCELLED;
	}
	if (!failure->permanent && next_try(&task, lease, failure->retry_in_us, &due))
	{
		make_pending(&task, lease, due, ROW_INT32(lease, LEASE_ATTEMPT));
		return STATE_PENDING;
	}
	task_end(&task, lease, &dead);
	if (setting_log_dead)
		log_dead(&task, lease, failure);
	return STATE_DEAD;
}

TaskState
task_lost(const Row *lease)
{
	Failure failure = {
		.class = LEASE_LOST,
		.error = cstring_to_text("lease lost"),
		.retry_in_us = 0,
	};

	return task_fail(lease, &failure);
}

static void
give_back(Row *task, const Row *lease, int64 delay_us)
{
	event_attempt(EVENT_RELEASED, lease, NULL, NULL);
	make_pending(task, lease, GetCurrentTimestamp() + delay_us, ROW_INT32(task, TASK_ATTEMPT));
}

void
task_give_up(int64 id, int64 token)
{
	Failure failure = {.class = CANCELLED, .error = cstring_to_text("given up: cancelled")};
	Row lease;

	if (lease_take(id, token, &lease, true) == ROW_DONE)
		(void) task_fail(&lease, &failure);
}

void
task_release(const Row *lease, int64 delay_us, const Prerequisites *after)
{
	Row task;

	if (!task_of(lease, &task))
		return;
	if (ROW_BOOL(lease, LEASE_CANCEL_REQUESTED))
	{
		tally(&task, lease, NULL, NULL);
		end_cancelled(&task, lease, NULL);
	}
	else if (after != NULL && after->count > 0)
		make_wait(&task, lease, delay_us, after);
	else
		give_back(&task, lease, delay_us);
}

/* As task_release(), but a task that was declined so many times is dead. */
static TaskState
task_decline(const Row *lease, int64 delay_us, int32 times, const Failure *failure)
{
	int32 declined;
	Row task;

	if (!task_of(lease, &task))
		return STATE_DEAD;
	declined = task.nulls[TASK_DECLINED] ? 0 : ROW_INT32(&task, TASK_DECLINED);
	if (ROW_BOOL(lease, LEASE_CANCEL_REQUESTED) || declined >= times)
		return task_fail(lease, failure);
	row_set(&task, TASK_DECLINED, Int32GetDatum(declined + 1));
	give_back(&task, lease, delay_us);
	return STATE_PENDING;
}

/*
 * Takes the client's lease and finishes the task; false: the lease was lost.
 * If durable_finish of the queue is off, the commit need not be durable.
 */
static bool
task_finish_own(int64 id, int64 token, Datum result, bool noresult)
{
	const Queue *queue;
	Row lease;

	durability_begin_weak();
	if (!lease_take_own(id, token, &lease))
		return false;
	task_finish(&lease, result, noresult);
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
		check_json(PG_GETARG_DATUM(2), "result");
	PG_RETURN_BOOL(task_finish_own(id, token, PG_GETARG_DATUM(2), PG_ARGISNULL(2)));
}

/* Classes that taskq gives to what it finds itself; a worker may not give them. */
static bool
is_own_class(const char *class)
{
	return strcmp(class, LEASE_LOST) == 0 || strcmp(class, CANCELLED) == 0 ||
		   strcmp(class, WORKER_DIED) == 0 || strcmp(class, CALL_REFUSED) == 0 ||
		   strcmp(tq_class_name(tq_class_of_name(class)), class) == 0;
}

PG_FUNCTION_INFO_V1(taskq_is_own_class);
Datum
taskq_is_own_class(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_own_class(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* NULL: none was given. */
static const char *
arg_class(FunctionCallInfo fcinfo, int n)
{
	text *given = arg_name(fcinfo, n, "class");
	const char *class = given == NULL ? NULL : text_to_cstring(given);

	if (class != NULL && (is_own_class(class) || strcmp(class, NO_ROUTE) == 0))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("class must not be \"%s\"", class),
				 errdetail("taskq itself gives this class."),
				 errhint("Choose another name.")));
	return class;
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
				 errdetail("A failed attempt is stored with its reason."),
				 errhint("Say in a few words what went wrong.")));
	if (!PG_ARGISNULL(3))
		check_json(failure.detail = PG_GETARG_DATUM(3), "detail");
	failure.retry_in_us = arg_interval_us(fcinfo, 4, "retry_in", -1, RANGE_RETRY);
	failure.permanent = !PG_ARGISNULL(5) && !PG_GETARG_BOOL(5);
	failure.class = arg_class(fcinfo, 6);
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
	int64 delay_us = arg_interval_us(fcinfo, 2, "delay", 0, RANGE_DELAY);
	const Prerequisites *after;
	Row lease;

	client_call("taskq.release()");
	after = arg_prerequisites(fcinfo, 3, -1);
	if (!lease_take_own(id, token, &lease))
		PG_RETURN_BOOL(false);
	task_release(&lease, delay_us, after);
	PG_RETURN_BOOL(true);
}

PG_FUNCTION_INFO_V1(taskq_decline);
Datum
taskq_decline(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	int64 token = arg_id(fcinfo, 1, "token");
	int64 delay_us = arg_interval_us(fcinfo, 2, "delay", DECLINE_DELAY_US, RANGE_DELAY);
	int32 times = arg_int32(fcinfo, 3, "times", DECLINE_TIMES, 0, MAX_DECLINES);
	Failure failure = {.class = NO_ROUTE, .error = arg_error(fcinfo, 4), .permanent = true};
	Row lease;

	client_call("taskq.decline()");
	if (failure.error == NULL)
		failure.error = cstring_to_text("no worker has a route for it");
	if (!lease_take_own(id, token, &lease))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(state_datum(task_decline(&lease, delay_us, times, &failure)));
}

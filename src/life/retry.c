/*
 * retry.c
 *		How a task comes back: retry().
 *
 * The transaction that deletes the task's row of history brings it back.  A second caller
 * waits for that transaction and then finds nothing.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "base/arg.h"
#include "base/errors.h"
#include "base/sql.h"
#include "life/pending.h"
#include "life/submit.h"
#include "tables/grant.h"
#include "tables/key.h"
#include "tables/queue.h"
#include "tables/rows.h"

static Statement select_ended = {
	"select h.queue, h.state = 'finished' from taskq_private.all_history h where h.id = $1",
	1,
	{INT8OID},
	NULL,
};

/* Columns of a row of history that a task is made of. */
enum TakenColumn
{
	TAKEN_QUEUE,
	TAKEN_PUSH,
	TAKEN_TASK, /* the first of those that become columns of the task */
	TAKEN_NCOLUMNS = TAKEN_TASK + 12
};

static Statement take_from_history = {
	"with a as (delete from taskq_private.history h where h.id = $1 and h.state <> 'finished' "
	"returning *), "
	"b as (delete from taskq_private.history_rest h where h.id = $1 and h.state <> 'finished' "
	"returning *) "
	"select h.queue, h.push, h.submitted_at, h.max_attempts, h.priority, h.payload, h.timeout, "
	"h.key, h.kind, h.retry, h.method, h.url, h.headers, h.body "
	"from (select * from a union all select * from b) h",
	1,
	{INT8OID},
	NULL,
};

static const int task_columns[] = {
	TASK_SUBMITTED_AT,
	TASK_MAX_ATTEMPTS,
	TASK_PRIORITY,
	TASK_PAYLOAD,
	TASK_TIMEOUT,
	TASK_KEY,
	TASK_KIND,
	TASK_RETRY,
	TASK_METHOD,
	TASK_URL,
	TASK_HEADERS,
	TASK_BODY,
};

StaticAssertDecl(lengthof(task_columns) == TAKEN_NCOLUMNS - TAKEN_TASK,
				 "each column of history that is taken becomes one of the task");

static void
raise_finished(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
			 errmsg("task " INT64_FORMAT " has finished", id),
			 errdetail("A task that succeeded is not run again."),
			 errhint("Submit a new task.")));
}

/* TQ009 if the queue is of another mode than the queue to which the task was submitted. */
static void
require_mode(int64 id, const Queue *queue, bool push)
{
	if (queue->push != push)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
				 errmsg("queue \"%s\" has another mode now", queue->name),
				 errdetail("Task " INT64_FORMAT " was submitted to a %s queue.", id,
						   push ? "push" : "pull"),
				 errhint("Submit a new task.")));
}

static void
raise_no_queue(int64 id, const text *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_UNKNOWN_QUEUE),
			 errmsg("queue \"%s\" does not exist", text_to_cstring(name)),
			 errdetail("Task " INT64_FORMAT " was in it.", id),
			 errhint("Create the queue again with taskq.create_queue().")));
}

static void
take_key(const Queue *queue, const Row *task)
{
	int64 id = ROW_INT64(task, TASK_ID);
	text *key;

	if (task->nulls[TASK_KEY])
		return;
	key = DatumGetTextPP(task->values[TASK_KEY]);
	if (key_take(queue, key, id, false) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_DUPLICATE_KEY),
				 errmsg("key \"%s\" is taken in queue \"%s\"", text_to_cstring(key), queue->name),
				 errdetail("Another task has the key of task " INT64_FORMAT " now.", id),
				 errhint("Cancel that task, or leave this one.")));
}

/* The task as it was submitted, with its attempts and age counted from zero. */
static void
make_task(Row *task, int64 id, const Queue *queue, const Datum *taken, const bool *isnull)
{
	row_init(task);
	for (int i = 0; i < (int) lengthof(task_columns); i++)
	{
		task->values[task_columns[i]] = taken[TAKEN_TASK + i];
		task->nulls[task_columns[i]] = isnull[TAKEN_TASK + i];
	}
	row_set(task, TASK_ID, Int64GetDatum(id));
	row_set(task, TASK_QUEUE_ID, Int32GetDatum(queue->id));
	row_set(task, TASK_ATTEMPT, Int32GetDatum(0));
	row_set(task, TASK_REVIVED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
}

/* Whether the caller may know of the ended task; TQ009 if it has finished. */
static bool
may_retry(int64 id)
{
	Datum argument = Int64GetDatum(id);
	Datum row[2];
	bool isnull[2];

	if (!sql_as_owner(&select_ended, &argument, NULL, row, isnull, 2) ||
		!queue_may(queue_of_row(DatumGetTextPP(row[0])), PRIVILEGE_CONTROL))
		return false;
	if (DatumGetBool(row[1]))
		raise_finished(id);
	return true;
}

PG_FUNCTION_INFO_V1(taskq_retry);
Datum
taskq_retry(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	Datum argument = Int64GetDatum(id);
	TimestampTz now;
	TimestampTz run_at;
	Datum taken[TAKEN_NCOLUMNS];
	bool isnull[TAKEN_NCOLUMNS];
	const Queue *queue;
	Row task;

	client_call("taskq.retry()");
	if (!may_retry(id) ||
		!sql_as_owner(&take_from_history, &argument, NULL, taken, isnull, TAKEN_NCOLUMNS))
		PG_RETURN_BOOL(false);
	queue = queue_of_row(DatumGetTextPP(taken[TAKEN_QUEUE]));
	if (queue == NULL)
		raise_no_queue(id, DatumGetTextPP(taken[TAKEN_QUEUE]));
	else
		require_mode(id, queue, DatumGetBool(taken[TAKEN_PUSH]));
	now = GetCurrentTimestamp();
	run_at = PG_ARGISNULL(1) ? now : not_before(PG_GETARG_TIMESTAMPTZ(1), now);
	make_task(&task, id, queue, taken, isnull);
	row_set(&task, TASK_RUN_AT, TimestampTzGetDatum(run_at));
	take_key(queue, &task);
	pending_insert(&task);
	PG_RETURN_BOOL(true);
}

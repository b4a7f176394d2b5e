/*
 * retry.c
 *		retry() and redrive(): make ended tasks pending again.
 *
 * Two sessions may retry the same task.  So a caller first deletes the task's row of history,
 * and the transaction that deletes it inserts the task.  The second caller waits for that
 * transaction and then finds no row.
 *
 * redrive() chooses the tasks in one statement, and brings them back in batches, so that it never
 * has the contents of many in memory.  It passes over a task that retry() would refuse.  Whether
 * another task has the key is certain only when the key is taken, so the row of history is locked
 * first and deleted last.  It passes over a row that another session has locked.
 *
 * A dead task of a topic is a message that could not be published: it is published again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/arg.h"
#include "base/errors.h"
#include "base/sql.h"
#include "life/empty.h"
#include "life/events.h"
#include "life/pending.h"
#include "life/publish.h"
#include "life/submit.h"
#include "tables/grant.h"
#include "tables/group_id.h"
#include "tables/key.h"
#include "tables/queue.h"
#include "tables/rows.h"
#include "tables/state.h"

static Statement select_ended = {
	"select h.queue, h.state = 'finished' from taskq_private.all_history h where h.id = $1",
	1,
	{INT8OID},
	NULL,
};

/* The columns of a row of history from which a task is made. */
enum TakenColumn
{
	TAKEN_QUEUE,
	TAKEN_PUSH,
	TAKEN_LOST,
	TAKEN_TASK, /* the first of the columns that become columns of the task */
	TAKEN_NCOLUMNS = TAKEN_TASK + 18
};

/* Named, because an administrator may have added columns to one of the two tables. */
#define TAKEN_COLUMNS                                                                          \
	"queue, push, content_lost, submitted_at, max_attempts, priority, payload, timeout, key, " \
	"kind, retry, method, url, headers, body, origin, on_finish, on_dead, group_key, "         \
	"trace, call"

static Statement take_from_history = {
	"with a as (delete from taskq_private.history h where h.id = $1 and h.state <> 'finished' "
	"returning " TAKEN_COLUMNS "), "
	"b as (delete from taskq_private.history_rest h where h.id = $1 and h.state <> 'finished' "
	"returning " TAKEN_COLUMNS ") "
	"select " TAKEN_COLUMNS " from a union all select " TAKEN_COLUMNS " from b",
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
	TASK_ORIGIN,
	TASK_ON_FINISH,
	TASK_ON_DEAD,
	TASK_GROUP_KEY,
	TASK_TRACE,
	TASK_CALL,
};

StaticAssertDecl(lengthof(task_columns) == TAKEN_NCOLUMNS - TAKEN_TASK,
				 "each column taken from history must become a column of the task");

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
require_mode(int64 id, const Queue *queue, bool push, bool call)
{
	if (queue->push != push || queue->call != call)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
				 errmsg("queue \"%s\" has another mode now", queue->name),
				 errdetail("Task " INT64_FORMAT " was submitted to a %s queue.", id,
						   call ? "call" : push ? "push"
												: "pull"),
				 errhint("Submit a new task.")));
}

static void
raise_lost(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
			 errmsg("the content of task " INT64_FORMAT " was not kept", id),
			 errdetail("It was too large, or could not be read, when the task ended."),
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
	if (key_take(queue, key, id, false, &KEY_NO_TERMS) != 0)
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
	if (queue->ordered)
		row_set(task, TASK_PRIORITY, Int16GetDatum(0));
	if (!task->nulls[TASK_GROUP_KEY])
		row_set(task, TASK_GROUP_ID,
				Int64GetDatum(group_id_of(DatumGetTextPP(task->values[TASK_GROUP_KEY]))));
	row_set(task, TASK_REVIVED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
}

/* A task of a dropped queue is cancelled, and becomes a row of history now if it is none yet. */
static bool
find_ended(int64 id, Datum *row, bool *isnull)
{
	Datum argument = Int64GetDatum(id);

	if (sql_as_owner(&select_ended, &argument, NULL, row, isnull, 2))
		return true;
	(void) empty_task(id);
	return sql_as_owner(&select_ended, &argument, NULL, row, isnull, 2);
}

/* Whether the task has ended and the caller may control it; TQ009 if it has finished. */
static bool
may_retry(int64 id)
{
	Datum row[2];
	bool isnull[2];

	if (!find_ended(id, row, isnull) ||
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
	if (!isnull[TAKEN_LOST])
		raise_lost(id);
	queue = queue_of_row(DatumGetTextPP(taken[TAKEN_QUEUE]));
	if (queue == NULL)
		raise_no_queue(id, DatumGetTextPP(taken[TAKEN_QUEUE]));
	else
		require_mode(id, queue, DatumGetBool(taken[TAKEN_PUSH]), !isnull[TAKEN_NCOLUMNS - 1]);
	now = GetCurrentTimestamp();
	run_at = PG_ARGISNULL(1) ? now : not_before(PG_GETARG_TIMESTAMPTZ(1), now);
	make_task(&task, id, queue, taken, isnull);
	row_set(&task, TASK_RUN_AT, TimestampTzGetDatum(run_at));
	if (queue->topic)
		publish_again(queue, &task);
	else
	{
		take_key(queue, &task);
		pending_insert(&task);
		event_submitted(&task, queue);
	}
	PG_RETURN_BOOL(true);
}

/* ---- many tasks ---------------------------------------------------------------------- */

#define TASKS_AT_ONCE 1000
#define REGEX_MS      30000 /* the choice may take so long if it has a regular expression */

/* Which tasks, oldest end first; returned in the order of their keys, with their numbers. */
static Statement select_redrivable = {
	"select array_agg(c.id order by c.key collate \"C\", c.id), "
	"array_agg(c.n order by c.key collate \"C\", c.id) "
	"from taskq_private.redrivable($1, $2, $3, $4, $5, $6, $7, $8, $9) c "
	/* A bad expression is an error even if there is no task. */
	"where $6 is null or ('' ~ $6) is not null",
	9,
	{TEXTOID, INT4OID, BOOLOID, TEXTARRAYOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	 INT4OID},
	NULL,
};

enum ChoiceArgument
{
	CHOICE_QUEUE,
	CHOICE_QUEUE_ID,
	CHOICE_PUSH,
	CHOICE_STATES,
	CHOICE_KIND,
	CHOICE_ERROR,
	CHOICE_AFTER,
	CHOICE_BEFORE,
	CHOICE_MAX,
	CHOICE_NARGS
};

static Statement lock_in_history = {
	"with a as (select id, " TAKEN_COLUMNS " from taskq_private.history h "
	"where h.id = any ($1) and h.state::text = any ($2) for update skip locked), "
	"b as (select id, " TAKEN_COLUMNS " from taskq_private.history_rest h "
	"where h.id = any ($1) and h.state::text = any ($2) for update skip locked) "
	"select " TAKEN_COLUMNS ", id from (select * from a union all select * from b) c "
	"order by c.key collate \"C\", c.id",
	2,
	{INT8ARRAYOID, TEXTARRAYOID},
	NULL,
};
static Statement delete_from_history = {
	"with a as (delete from taskq_private.history h where h.id = any ($1)) "
	"delete from taskq_private.history_rest h where h.id = any ($1)",
	1,
	{INT8ARRAYOID},
	NULL,
};

/* A call of redrive(). */
typedef struct Redrive
{
	const Queue *queue;
	Datum choice[CHOICE_NARGS];
	char nulls[CHOICE_NARGS + 1];
	TimestampTz now;
	int64 spread_us;
	int64 total;    /* the tasks over which the time is spread */
	int64 redriven; /* tasks that were brought back */

	/* The batch. */
	const int64 *ids;
	const int64 *numbers; /* their places in the order of their ends */
	int count;
	int at;
	int64 done[TASKS_AT_ONCE];
	int ndone;
} Redrive;

static bool
is_redrivable(Datum state)
{
	return state == state_datum(STATE_DEAD) || state == state_datum(STATE_CANCELLED) ||
		   state == state_datum(STATE_EXPIRED);
}

/* The argument as an array of texts. */
static Datum
arg_states(FunctionCallInfo fcinfo, int n)
{
	ArrayType *array;
	Datum *states;
	bool *nulls;
	int count;
	Oid output;
	bool varlena;

	require_argument(fcinfo, n, "states");
	array = PG_GETARG_ARRAYTYPE_P(n);
	deconstruct_array(array, ARR_ELEMTYPE(array), sizeof(Oid), true, TYPALIGN_INT, &states, &nulls,
					  &count);
	getTypeOutputInfo(ARR_ELEMTYPE(array), &output, &varlena);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i] || !is_redrivable(states[i]))
			ereport(ERROR,
					(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
					 errmsg("states must be among dead, cancelled and expired"),
					 errdetail("Only tasks that have ended without success are run again."),
					 errhint("Leave it out for dead tasks.")));
		states[i] = CStringGetTextDatum(OidOutputFunctionCall(output, states[i]));
	}
	return PointerGetDatum(
		construct_array(states, count, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
choose_by_argument(Redrive *r, int column, FunctionCallInfo fcinfo, int n)
{
	r->nulls[column] = PG_ARGISNULL(n) ? 'n' : ' ';
	r->choice[column] = PG_ARGISNULL(n) ? (Datum) 0 : PG_GETARG_DATUM(n);
}

static void
redrive_init(Redrive *r, FunctionCallInfo fcinfo, const Queue *queue)
{
	memset(r, 0, sizeof(*r));
	memset(r->nulls, ' ', CHOICE_NARGS);
	r->queue = queue;
	r->now = GetCurrentTimestamp();
	r->spread_us = arg_interval_us(fcinfo, 7, "spread", 0, RANGE_DELAY);
	r->choice[CHOICE_QUEUE] = CStringGetTextDatum(queue->name);
	r->choice[CHOICE_QUEUE_ID] = Int32GetDatum(queue->id);
	r->choice[CHOICE_PUSH] = BoolGetDatum(queue->push);
	r->choice[CHOICE_STATES] = arg_states(fcinfo, 1);
	choose_by_argument(r, CHOICE_KIND, fcinfo, 2);
	choose_by_argument(r, CHOICE_ERROR, fcinfo, 3);
	choose_by_argument(r, CHOICE_AFTER, fcinfo, 4);
	choose_by_argument(r, CHOICE_BEFORE, fcinfo, 5);
}

/* False: another task has its key. */
static bool
bring_back(const Queue *queue, Row *task)
{
	if (!task->nulls[TASK_KEY] &&
		key_take(queue, DatumGetTextPP(task->values[TASK_KEY]), ROW_INT64(task, TASK_ID), false,
				 &KEY_NO_TERMS) != 0)
		return false;
	pending_insert(task);
	event_submitted(task, queue);
	return true;
}

/* Brings back the task of a row of history that this session has locked. */
static void
redrive_one(const Datum *taken, const bool *isnull, void *arg)
{
	Redrive *r = arg;
	int64 id = DatumGetInt64(taken[TAKEN_NCOLUMNS]);
	int64 number;
	Row task;

	while (r->at < r->count && r->ids[r->at] != id)
		r->at++;
	if (r->at == r->count)
		return;
	number = r->redriven + r->numbers[r->at++];
	make_task(&task, id, r->queue, taken, isnull);
	row_set(&task, TASK_RUN_AT,
			TimestampTzGetDatum(r->now + r->spread_us / Max(r->total, 1) * number));
	if (r->queue->topic)
		publish_again(r->queue, &task);
	else if (!bring_back(r->queue, &task))
		return;
	r->done[r->ndone++] = id;
}

/* Returns the number of tasks of the batch that were brought back. */
static int
redrive_batch(Redrive *r)
{
	Datum arguments[2] = {PointerGetDatum(array_of_ids(r->ids, r->count)),
						  r->choice[CHOICE_STATES]};
	Datum done;

	r->at = r->ndone = 0;
	sql_each_as_owner(&lock_in_history, arguments, NULL, redrive_one, r);
	done = PointerGetDatum(array_of_ids(r->done, r->ndone));
	sql_each_as_owner(&delete_from_history, &done, NULL, NULL, NULL);
	pfree(DatumGetPointer(arguments[0]));
	pfree(DatumGetPointer(done));
	return r->ndone;
}

/* Chooses up to max tasks; returns their number. */
static int
choose(Redrive *r, int max, const int64 **ids, const int64 **numbers)
{
	Datum row[2];
	bool isnull[2];
	ArrayType *array;

	r->choice[CHOICE_MAX] = Int32GetDatum(max);
	if (r->nulls[CHOICE_ERROR] == 'n')
		(void) sql_as_owner(&select_redrivable, r->choice, r->nulls, row, isnull, 2);
	else
		(void) sql_as_owner_within(REGEX_MS, &select_redrivable, r->choice, r->nulls, row, isnull,
								   2);
	if (isnull[0])
		return 0;
	array = DatumGetArrayTypeP(row[0]);
	*ids = (int64 *) ARR_DATA_PTR(array);
	*numbers = (int64 *) ARR_DATA_PTR(DatumGetArrayTypeP(row[1]));
	return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

/* One choice and its batches.  True: tasks were passed over, and there may be others instead. */
static bool
redrive_chosen(Redrive *r, int max)
{
	const int64 *ids;
	const int64 *numbers;
	int count = choose(r, max, &ids, &numbers);
	int64 redriven = 0;

	if (r->total == 0)
		r->total = count;
	for (int i = 0; i < count; i += TASKS_AT_ONCE)
	{
		r->ids = ids + i;
		r->numbers = numbers + i;
		r->count = Min(count - i, TASKS_AT_ONCE);
		redriven += redrive_batch(r);
	}
	r->redriven += redriven;
	return count == max && redriven > 0 && redriven < count;
}

PG_FUNCTION_INFO_V1(taskq_redrive);
Datum
taskq_redrive(PG_FUNCTION_ARGS)
{
	int max = arg_int32(fcinfo, 6, "max_tasks", 1000, 1, TASKQ_MAX_SUBMIT);
	Redrive *r = palloc_object(Redrive);
	const Queue *queue;

	client_call("taskq.redrive()");
	queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
	queue_require(queue, PRIVILEGE_CONTROL);
	redrive_init(r, fcinfo, queue);
	while (redrive_chosen(r, max - r->redriven))
		CHECK_FOR_INTERRUPTS();
	PG_RETURN_INT64(r->redriven);
}

/*
 * submit.c
 *		How a task begins: submit() and submit_many().
 *
 * A submit is one insert in the caller's transaction, two with a key, nothing
 * more; whoever waits for the task is woken by that transaction's
 * commit.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"
#include "utils/varlena.h"

#include "base/arg.h"
#include "base/catalog.h"
#include "base/errors.h"
#include "base/sql.h"
#include "life/pending.h"
#include "life/submit.h"
#include "tables/arming.h"
#include "tables/grant.h"
#include "tables/key.h"
#include "tables/queue.h"
#include "tables/rows.h"

#define MIN_PRIORITY   (-16)
#define MAX_PRIORITY   15
#define MAX_TIMEOUT_US US_PER_DAY

static const SubmitArguments submit_args = {
	.key = 2,
	.priority = 3,
	.run_at = 4,
	.delay = 5,
	.start_within = 6,
	.timeout = 7,
	.retry = 8,
	.max_attempts = 9,
	.kind = 10,
	.on_duplicate = 11,
};

/* keys and run_ats are arrays. */
static const SubmitArguments submit_many_args = {
	.key = -1,
	.priority = 4,
	.run_at = -1,
	.delay = 5,
	.start_within = 6,
	.timeout = 7,
	.retry = 8,
	.max_attempts = 9,
	.kind = 10,
	.on_duplicate = 11,
};

static Statement select_policy = {
	"select p.max_attempts from taskq_private.all_retry_policies p where p.name = $1",
	1,
	{TEXTOID},
	NULL,
};

static Statement insert_start_limit = {
	"insert into taskq_private.start_limit (start_by, id) values ($1, $2)",
	2,
	{TIMESTAMPTZOID, INT8OID},
	NULL,
};

static Statement delete_attempts = {
	"delete from taskq_private.attempt where task_id = $1",
	1,
	{INT8OID},
	NULL,
};

/* ---- arguments ----------------------------------------------------------- */

static void
two_times(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("run_at and delay cannot both be given"),
			 errdetail("Both say when the task becomes due."),
			 errhint("Pass one of them.")));
}

TimestampTz
not_before(TimestampTz at, TimestampTz now)
{
	return Max(at, now);
}

static TimestampTz
arg_run_at(FunctionCallInfo fcinfo, const SubmitArguments *args, TimestampTz now)
{
	int64 delay = arg_interval_us(fcinfo, args->delay, "delay", 0, 0, MAX_DELAY_US);

	if (args->run_at < 0 || PG_ARGISNULL(args->run_at))
		return now + delay;
	if (!PG_ARGISNULL(args->delay))
		two_times();
	return not_before(PG_GETARG_TIMESTAMPTZ(args->run_at), now);
}

/* Number of attempts: the argument, else what the policy says. */
static int32
arg_max_attempts(FunctionCallInfo fcinfo, const SubmitArguments *args, const Queue *queue,
				 text *policy)
{
	int32 of_policy = queue->max_attempts;

	if (policy != NULL)
	{
		Datum argument = PointerGetDatum(policy);
		Datum value;
		bool isnull;

		if (!sql_as_owner(&select_policy, &argument, NULL, &value, &isnull, 1))
			ereport(ERROR,
					(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
					 errmsg("retry policy \"%s\" does not exist", text_to_cstring(policy)),
					 errdetail("Shipped policies are default, webhook and none."),
					 errhint("Create it with taskq.create_retry_policy().")));
		of_policy = DatumGetInt32(value);
	}
	return arg_int32(fcinfo, args->max_attempts, "max_attempts", of_policy, 1, PG_INT32_MAX);
}

static OnDuplicate
arg_on_duplicate(FunctionCallInfo fcinfo, int n)
{
	char *value = PG_ARGISNULL(n) ? "keep" : text_to_cstring(PG_GETARG_TEXT_PP(n));

	if (strcmp(value, "keep") == 0)
		return DUPLICATE_KEEP;
	if (strcmp(value, "replace") == 0)
		return DUPLICATE_REPLACE;
	if (strcmp(value, "raise") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("on_duplicate must be keep, replace or raise"),
				 errdetail("It says what to do when the key is taken."),
				 errhint("keep is the default.")));
	return DUPLICATE_RAISE;
}

static void
set_argument(Row *row, int column, FunctionCallInfo fcinfo, int n)
{
	row->nulls[column] = PG_ARGISNULL(n);
	row->values[column] = PG_ARGISNULL(n) ? (Datum) 0 : PG_GETARG_DATUM(n);
}

/* The time from which a task that has not started is not started any more. */
static void
set_start_by(Row *task, FunctionCallInfo fcinfo, int n)
{
	int64 within = arg_interval_us(fcinfo, n, "start_within", -1, US_PER_MS, MAX_DELAY_US);

	if (within < 0)
		return;
	row_set(task, TASK_START_BY,
			TimestampTzGetDatum(GetCurrentTransactionStartTimestamp() + within));
}

void
submission_init(Submission *s, FunctionCallInfo fcinfo, const SubmitArguments *args,
				const Queue *queue)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	text *policy = arg_name(fcinfo, args->retry, "retry");
	int16 priority = arg_int32(fcinfo, args->priority, "priority", 0, MIN_PRIORITY, MAX_PRIORITY);
	Row *task = &s->task;

	s->queue = queue;
	s->on_duplicate = arg_on_duplicate(fcinfo, args->on_duplicate);
	row_init(task);
	(void) arg_interval_us(fcinfo, args->timeout, "timeout", US_PER_MS, US_PER_MS, MAX_TIMEOUT_US);
	row_set(task, TASK_SUBMITTED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	row_set(task, TASK_RUN_AT, TimestampTzGetDatum(arg_run_at(fcinfo, args, now)));
	row_set(task, TASK_QUEUE_ID, Int32GetDatum(queue->id));
	row_set(task, TASK_ATTEMPT, Int32GetDatum(0));
	row_set(task, TASK_PRIORITY, Int16GetDatum(priority));
	set_start_by(task, fcinfo, args->start_within);
	set_argument(task, TASK_TIMEOUT, fcinfo, args->timeout);
	row_set_text(task, TASK_KIND, arg_name(fcinfo, args->kind, "kind"));
	row_set_text(task, TASK_RETRY, policy);
	row_set(task, TASK_MAX_ATTEMPTS, Int32GetDatum(arg_max_attempts(fcinfo, args, queue, policy)));
}

/*
 * A request's JSON goes out in UTF-8.  Made here once, so that what has no
 * UTF-8 form is the submitter's error and not the executor's.
 */
static void
check_convertible(Datum value)
{
	int encoding = GetDatabaseEncoding();
	Jsonb *payload;
	char *json;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return;
	payload = DatumGetJsonbP(value);
	json = JsonbToCString(NULL, &payload->root, VARSIZE(payload));
	(void) pg_server_to_any(json, strlen(json), PG_UTF8);
}

void
submission_set_content(Submission *s, int column, Datum value, bool isnull, const char *name)
{
	s->task.nulls[column] = isnull;
	s->task.values[column] = value;
	if (isnull)
		return;
	check_size(value, name);
	if (s->queue->push && column == TASK_PAYLOAD)
		check_convertible(value);
}

/* ---- placing ----------------------------------------------------------------- */

static void
limit_start(const Row *task)
{
	Datum values[2] = {task->values[TASK_START_BY], task->values[TASK_ID]};

	if (!task->nulls[TASK_START_BY])
		(void) sql_as_owner(&insert_start_limit, values, NULL, NULL, NULL, 0);
}

static void
insert_task(Row *task)
{
	pending_insert(task);
	limit_start(task);
}

/*
 * Gives a pending task new content and schedule; its attempts and age begin
 * anew.  The submission time changes with the content, and so what is sent to
 * receivers as Idempotency-Key.  False: it is not pending any more.
 */
static bool
replace_pending(int64 id, Row *task)
{
	Row old;

	if (pending_take(id, true, &old) != ROW_DONE)
		return false;
	if (ROW_INT32(&old, TASK_ATTEMPT) > 0)
		(void) sql_as_owner(&delete_attempts, &old.values[TASK_ID], NULL, NULL, NULL, 0);
	row_set(task, TASK_ID, Int64GetDatum(id));
	insert_task(task);
	return true;
}

static void
duplicate_key(const Queue *queue, text *key, int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_DUPLICATE_KEY),
			 errmsg("key \"%s\" is taken in queue \"%s\"", text_to_cstring(key), queue->name),
			 errdetail(key_holder(queue, key) != 0
						   ? "Task " INT64_FORMAT " has it."
						   : "Task " INT64_FORMAT ", which has ended, keeps it for a while.",
					   id),
			 errhint("Submit with on_duplicate => 'keep' to get that task's id.")));
}

/* True when this submission is settled by the task that has the key. */
static bool
settle_duplicate(Submission *s, text *key, int64 other)
{
	Row lease;

	switch (s->on_duplicate)
	{
		case DUPLICATE_KEEP:
			return true;
		case DUPLICATE_RAISE:
			duplicate_key(s->queue, key, other);
			break;
		case DUPLICATE_REPLACE:
			if (replace_pending(other, &s->task))
				return true;
			if (row_read(HOT_LEASE, other, &lease))
				duplicate_key(s->queue, key, other);
			break;
	}
	return false;
}

static void
check_start(const Row *task)
{
	if (!task->nulls[TASK_START_BY] &&
		ROW_TIME(task, TASK_START_BY) <= ROW_TIME(task, TASK_RUN_AT))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("start_within is over before the task becomes due"),
				 errdetail("It counts from the submission, and the task could only expire."),
				 errhint("Pass a longer start_within, or an earlier run_at or delay.")));
}

int64
submission_place(Submission *s, text *key)
{
	int64 id;
	int64 other = 0;

	check_start(&s->task);
	id = nextval_internal(catalog_relation("task_id"), false);
	row_set_text(&s->task, TASK_KEY, key);
	row_set(&s->task, TASK_ID, Int64GetDatum(id));
	while (key != NULL && (other = key_take(s->queue, key, id,
											s->on_duplicate == DUPLICATE_REPLACE)) != 0)
	{
		CHECK_FOR_INTERRUPTS();
		if (settle_duplicate(s, key, other))
			return other;
	}
	insert_task(&s->task);
	arming_arm_if_new();
	return id;
}

/* ---- SQL ------------------------------------------------------------------------ */

/* The queue that the first argument names, if payloads can be submitted to it. */
static const Queue *
queue_for_payloads(FunctionCallInfo fcinfo)
{
	const Queue *queue;

	queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
	queue_require(queue, PRIVILEGE_SUBMIT);
	if (queue->push && queue->url == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_WRONG_MODE),
				 errmsg("queue \"%s\" is a push queue without a url", queue->name),
				 errdetail("There is nowhere to send the payload to."),
				 errhint("Call taskq.submit_http(), or create the queue with a url.")));
	return queue;
}

PG_FUNCTION_INFO_V1(taskq_submit);
Datum
taskq_submit(PG_FUNCTION_ARGS)
{
	Submission s;
	const Queue *queue;

	client_call("taskq.submit()");
	queue = queue_for_payloads(fcinfo);
	submission_init(&s, fcinfo, &submit_args, queue);
	submission_set_content(&s, TASK_PAYLOAD, PG_GETARG_DATUM(1), PG_ARGISNULL(1), "payload");
	PG_RETURN_INT64(submission_place(&s, arg_key(fcinfo, submit_args.key)));
}

/* One of the arrays of submit_many(), taken apart. */
typedef struct Elements
{
	int count; /* -1: the argument is NULL */
	Datum *values;
	bool *nulls;
} Elements;

static void
take_apart(FunctionCallInfo fcinfo, int n, const char *name, Elements *e)
{
	ArrayType *array;
	int16 length;
	bool byval;
	char align;

	e->count = -1;
	if (PG_ARGISNULL(n))
		return;
	array = PG_GETARG_ARRAYTYPE_P(n);
	if (ARR_NDIM(array) > 1 || ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) > TASKQ_MAX_SUBMIT)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("%s is not a plain array of at most %d elements", name, TASKQ_MAX_SUBMIT),
				 errdetail("It has %d dimensions and %d elements.", ARR_NDIM(array),
						   ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array))),
				 errhint("Call the function several times.")));
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &byval, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), length, byval, align, &e->values, &e->nulls,
					  &e->count);
}

static void
check_same_length(const Elements *e, const char *name, int count)
{
	if (e->count >= 0 && e->count != count)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("%s and payloads do not go together", name),
				 errdetail("There are %d of the one and %d of the other.", e->count, count),
				 errhint("Pass one element for each payload, NULL where there is none.")));
}

/* The order in which keys are taken, the same for everybody: no two calls wait for each other. */
static int
compare_keys(const void *a, const void *b, void *arg)
{
	const Elements *keys = arg;
	int x = *(const int *) a;
	int y = *(const int *) b;
	text *left;
	text *right;
	int order;

	if (keys->nulls[x] || keys->nulls[y])
		return keys->nulls[x] != keys->nulls[y] ? keys->nulls[x] - keys->nulls[y] : x - y;
	left = DatumGetTextPP(keys->values[x]);
	right = DatumGetTextPP(keys->values[y]);
	order = varstr_cmp(VARDATA_ANY(left), VARSIZE_ANY_EXHDR(left), VARDATA_ANY(right),
					   VARSIZE_ANY_EXHDR(right), C_COLLATION_OID);
	return order != 0 ? order : x - y;
}

static int *
order_of_placing(const Elements *keys, int count)
{
	int *order = palloc_array(int, count);

	for (int i = 0; i < count; i++)
		order[i] = i;
	if (keys->count > 0)
		qsort_arg(order, count, sizeof(int), compare_keys, unconstify(Elements *, keys));
	return order;
}

/* Places element i of the arrays. */
static int64
place_element(const Submission *common, int i, const Elements *payloads, const Elements *keys,
			  const Elements *run_ats)
{
	Submission s = *common;
	text *key = NULL;

	CHECK_FOR_INTERRUPTS();
	submission_set_content(&s, TASK_PAYLOAD, payloads->values[i], payloads->nulls[i], "payload");
	if (keys->count > 0 && !keys->nulls[i])
	{
		key = DatumGetTextPP(keys->values[i]);
		check_label(key, "key", TASKQ_KEY_MAX);
	}
	if (run_ats->count > 0 && !run_ats->nulls[i])
		row_set(&s.task, TASK_RUN_AT,
				TimestampTzGetDatum(not_before(DatumGetTimestampTz(run_ats->values[i]),
											   GetCurrentTransactionStartTimestamp())));
	return submission_place(&s, key);
}

PG_FUNCTION_INFO_V1(taskq_submit_many);
Datum
taskq_submit_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Submission common;
	Elements payloads;
	Elements keys;
	Elements run_ats;
	int *order;
	int64 *ids;

	client_call("taskq.submit_many()");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	submission_init(&common, fcinfo, &submit_many_args, queue_for_payloads(fcinfo));
	take_apart(fcinfo, 1, "payloads", &payloads);
	take_apart(fcinfo, 2, "keys", &keys);
	take_apart(fcinfo, 3, "run_ats", &run_ats);
	require_argument(fcinfo, 1, "payloads");
	check_same_length(&keys, "keys", payloads.count);
	check_same_length(&run_ats, "run_ats", payloads.count);
	if (run_ats.count >= 0 && !PG_ARGISNULL(submit_many_args.delay))
		two_times();

	order = order_of_placing(&keys, payloads.count);
	ids = palloc_array(int64, payloads.count);
	for (int i = 0; i < payloads.count; i++)
		ids[order[i]] = place_element(&common, order[i], &payloads, &keys, &run_ats);
	for (int i = 0; i < payloads.count; i++)
	{
		Datum value = Int64GetDatum(ids[i]);
		bool isnull = false;

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

/*
 * submit.c
 *		submit() and submit_many(), and templates for a queue.
 *
 * A submit adds very little to the caller's transaction: it inserts one row, and one more
 * each for a key and for a start limit.  The commit of that transaction wakes the processes
 * that wait for the task.
 */
#include "postgres.h"

#include "access/xact.h"
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

#include "base/arg.h"
#include "base/catalog.h"
#include "base/errors.h"
#include "base/sql.h"
#include "hints/counts.h"
#include "life/events.h"
#include "life/kept.h"
#include "life/pending.h"
#include "life/submit.h"
#include "tables/arming.h"
#include "tables/grant.h"
#include "tables/group_id.h"
#include "tables/key.h"
#include "tables/queue.h"
#include "tables/rows.h"
#include "tables/start_limit.h"

#define MAX_PREREQUISITES 1000000 /* of all tasks of a call together */

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
	.on_finish = 12,
	.on_dead = 13,
	.group_key = 14,
	.unique_for = 15,
	.max_wait = 16,
	.trace = 17,
	.after = 18,
	.after_failure = 19,
};

/* keys, run_ats and group_keys are arrays. */
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
	.on_finish = 12,
	.on_dead = 13,
	.group_key = -1,
	.unique_for = -1,
	.max_wait = -1,
	.trace = 15,
	.after = 16,
	.after_failure = 17,
};

static Statement select_policy = {
	"select p.max_attempts from taskq_private.all_retry_policies p where p.name = $1",
	1,
	{TEXTOID},
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
			 errdetail("Each of them sets the time when the task becomes due."),
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
	int64 delay = arg_interval_us(fcinfo, args->delay, "delay", 0, RANGE_DELAY);

	if (args->run_at < 0 || PG_ARGISNULL(args->run_at))
		return now + delay;
	if (!PG_ARGISNULL(args->delay))
		two_times();
	return not_before(PG_GETARG_TIMESTAMPTZ(args->run_at), now);
}

/* The number of attempts: the argument, or else that of the policy. */
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
				 errdetail("It decides what happens if the key is taken."),
				 errhint("keep is the default.")));
	return DUPLICATE_RAISE;
}

static void
set_argument(Row *row, int column, FunctionCallInfo fcinfo, int n)
{
	row->nulls[column] = PG_ARGISNULL(n);
	row->values[column] = PG_ARGISNULL(n) ? (Datum) 0 : PG_GETARG_DATUM(n);
}

/* Sets the time after which the task expires if it has not started. */
static void
set_start_by(Row *task, FunctionCallInfo fcinfo, int n)
{
	int64 within = arg_interval_us(fcinfo, n, "start_within", -1, RANGE_START_LIMIT);

	if (within < 0)
		return;
	row_set(task, TASK_START_BY,
			TimestampTzGetDatum(GetCurrentTransactionStartTimestamp() + within));
}

/* An interval; -1 if it is not given, or the function has no such argument. */
static int64
arg_if_any_us(FunctionCallInfo fcinfo, int n, const char *name)
{
	return n < 0 ? -1 : arg_interval_us(fcinfo, n, name, -1, RANGE_DELAY);
}

/* list: 0 if there are none. */
static void
set_follow_ups(Row *task, int column, Datum list)
{
	if (list != 0)
		row_set(task, column, list);
}

/* The task is due at most max_wait after "since", which may be past. */
static void
limit_wait(Submission *s, TimestampTz since)
{
	TimestampTz run_at = ROW_TIME(&s->task, TASK_RUN_AT);

	if (s->max_wait_us >= 0)
		row_set(&s->task, TASK_RUN_AT,
				TimestampTzGetDatum(Min(run_at, since + s->max_wait_us)));
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
	(void) arg_interval_us(fcinfo, args->timeout, "timeout", US_PER_MS, RANGE_TIMEOUT);
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
	if (queue->keep_origin)
		row_set(task, TASK_ORIGIN, kept_origin());
	row_set_text(task, TASK_TRACE, arg_trace(fcinfo, args->trace));
	set_follow_ups(task, TASK_ON_FINISH, arg_templates(fcinfo, args->on_finish, "on_finish"));
	set_follow_ups(task, TASK_ON_DEAD, arg_templates(fcinfo, args->on_dead, "on_dead"));
	s->key = args->key < 0 ? NULL : arg_key(fcinfo, args->key);
	s->group_key = args->group_key < 0 ? NULL : arg_group_key(fcinfo, args->group_key);
	s->unique_us = arg_if_any_us(fcinfo, args->unique_for, "unique_for");
	s->max_wait_us = arg_if_any_us(fcinfo, args->max_wait, "max_wait");
	limit_wait(s, now);
	s->wait.delay_us = arg_interval_us(fcinfo, args->delay, "delay", 0, RANGE_DELAY);
	s->wait.start_within_us =
		arg_interval_us(fcinfo, args->start_within, "start_within", -1, RANGE_START_LIMIT);
	s->after = arg_prerequisites(fcinfo, args->after, args->after_failure);
}

void
submission_set_origin(Submission *s, Datum origin)
{
	if (origin != 0 && s->queue->keep_origin)
		row_set(&s->task, TASK_ORIGIN, origin);
}

/*
 * A request sends its JSON in UTF-8.  The conversion is tried here, so that a failure is an
 * error of the submitter's statement and not of the executor's.
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
	if (column != TASK_PAYLOAD)
	{
		check_size(value, name);
		return;
	}
	check_json(value, name);
	if (s->queue->push)
		check_convertible(value);
}

/* ---- placing ----------------------------------------------------------------- */

static bool
waits(const Submission *s)
{
	return s->after != NULL && s->after->count > 0;
}

/* The delay of a task that waits counts from the end of that. */
static void
insert_task(Submission *s)
{
	Row *task = &s->task;

	if (!waits(s))
	{
		pending_insert(task);
		start_limit_insert(task);
		event_submitted(task, queue_by_id(ROW_INT32(task, TASK_QUEUE_ID)));
		return;
	}
	row_set(task, TASK_RUN_AT,
			TimestampTzGetDatum(ROW_TIME(task, TASK_RUN_AT) - s->wait.delay_us));
	prerequisites_make_wait(task);
	pending_insert(task);
	prerequisites_insert(ROW_INT64(task, TASK_ID), &s->wait, s->after);
	event_submitted(task, queue_by_id(ROW_INT32(task, TASK_QUEUE_ID)));
}

/* What the submit wants of its key. */
static KeyTerms
terms_of(const Submission *s)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	KeyTerms terms = KEY_NO_TERMS;

	if (s->unique_us >= 0)
		terms.hold_until = now + s->unique_us;
	if (s->max_wait_us >= 0)
		terms.since = now;
	return terms;
}

/*
 * The submit replaces a task that this transaction has taken.  max_wait counts from the first
 * submit of those that were replaced; if an attempt has failed meanwhile, from this one.
 */
static void
renew_key(Submission *s, text *key, const Row *old)
{
	int born = old->nulls[TASK_REVIVED_AT] ? TASK_SUBMITTED_AT : TASK_REVIVED_AT;
	bool anew = ROW_INT32(old, TASK_ATTEMPT) > 0;
	KeyTerms terms = terms_of(s);

	if (s->unique_us < 0 && s->max_wait_us < 0)
		return;
	if (s->max_wait_us >= 0 && !anew)
		terms.since = ROW_TIME(old, born);
	key_renew(s->queue->id, key, &terms, anew);
	limit_wait(s, terms.since);
}

/*
 * Gives a pending task new content and a new schedule; its attempts and age are counted
 * from zero.  The submission time changes as well, and with it the Idempotency-Key of the
 * request.  False: the task is no longer pending.
 */
static bool
replace_pending(Submission *s, text *key, int64 id)
{
	Row *task = &s->task;
	Row old;

	if (pending_take(id, true, &old) != ROW_DONE)
		return false;
	start_limit_drop(&old);
	prerequisites_drop(&old);
	if (ROW_INT32(&old, TASK_ATTEMPT) > 0)
		(void) sql_as_owner(&delete_attempts, &old.values[TASK_ID], NULL, NULL, NULL, 0);
	row_set(task, TASK_ID, Int64GetDatum(id));
	renew_key(s, key, &old);
	insert_task(s);
	if (waits(s))
		prerequisites_refuse_circle(id, s->after);
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

/* True: nothing is left to do, because the task that has the key was kept or replaced. */
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
			if (replace_pending(s, key, other))
				return true;
			if (row_read(HOT_LEASE, other, &lease))
				duplicate_key(s->queue, key, other);
			break;
	}
	return false;
}

static void
refuse_without_key(const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("%s needs a key", argument),
			 errdetail("It is about the tasks that have the same key."),
			 errhint("Pass a key, or leave out %s.", argument)));
}

static void
refuse_max_wait(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("max_wait and after cannot both be given"),
			 errdetail("A task that waits for others is not due before they have ended."),
			 errhint("Pass one of them.")));
}

void
submission_check_priority(const Queue *queue, int32 priority)
{
	if (queue->ordered && priority != 0)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("priority must be 0 in queue \"%s\"", queue->name),
				 errdetail("The queue is ordered: run_at and id decide which task is next."),
				 errhint("Leave out priority, or pass an earlier run_at.")));
}

void
submission_check(const Submission *s)
{
	const Row *task = &s->task;

	if (s->key == NULL && s->unique_us >= 0)
		refuse_without_key("unique_for");
	if (s->key == NULL && s->max_wait_us >= 0)
		refuse_without_key("max_wait");
	if (s->after != NULL && s->max_wait_us >= 0)
		refuse_max_wait();
	submission_check_priority(s->queue, ROW_INT16(task, TASK_PRIORITY));
	if (!task->nulls[TASK_START_BY] &&
		ROW_TIME(task, TASK_START_BY) <= ROW_TIME(task, TASK_RUN_AT))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("start_within is over before the task becomes due"),
				 errdetail("It counts from the submission%s, so the task would always expire.",
						   s->after != NULL ? ", or from the end of the last prerequisite" : ""),
				 errhint("Pass a longer start_within, or an earlier run_at or delay.")));
}

static void
set_group(Row *task, text *group_key)
{
	if (group_key == NULL)
		return;
	row_set_text(task, TASK_GROUP_KEY, group_key);
	row_set(task, TASK_GROUP_ID, Int64GetDatum(group_id_of(group_key)));
}

/* The task that the last submit of this session has made; 0: it has found one by its key. */
static int64 last_made;

int64
submission_place(Submission *s)
{
	text *key = s->key;
	KeyTerms terms = terms_of(s);
	int64 id;
	int64 other = 0;

	submission_check(s);
	id = nextval_internal(catalog_relation("task_id"), false);
	row_set_text(&s->task, TASK_KEY, key);
	row_set(&s->task, TASK_ID, Int64GetDatum(id));
	set_group(&s->task, s->group_key);
	while (key != NULL && (other = key_take(s->queue, key, id,
											s->on_duplicate == DUPLICATE_REPLACE, &terms)) != 0)
	{
		CHECK_FOR_INTERRUPTS();
		if (settle_duplicate(s, key, other))
		{
			last_made = 0;
			return other;
		}
	}
	insert_task(s);
	counts_submitted(s->queue->id);
	arming_arm_if_new();
	last_made = id;
	return id;
}

/* ---- SQL ------------------------------------------------------------------------ */

/* The queue that the first argument names; TQ005 if it cannot take payloads. */
static const Queue *
queue_for_payloads(FunctionCallInfo fcinfo)
{
	const Queue *queue;

	queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
	queue_require(queue, PRIVILEGE_SUBMIT);
	queue_refuse_topic(queue);
	if (queue_payload_fault(queue) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_WRONG_MODE),
				 errmsg("%s", queue_payload_fault(queue)),
				 queue->call ? errdetail("Its tasks are calls of functions.")
							 : errdetail("The payload would have no destination."),
				 queue->call
					 ? errhint("Call taskq.submit_call().")
					 : errhint("Call taskq.submit_http(), or create the queue with a url.")));
	return queue;
}

/* Judges the arguments of submit(). */
static void
read_arguments(Submission *s, FunctionCallInfo fcinfo)
{
	submission_init(s, fcinfo, &submit_args, queue_for_payloads(fcinfo));
	submission_set_content(s, TASK_PAYLOAD, PG_GETARG_DATUM(1), PG_ARGISNULL(1), "payload");
}

PG_FUNCTION_INFO_V1(taskq_submit);
Datum
taskq_submit(PG_FUNCTION_ARGS)
{
	Submission s;

	client_call("taskq.submit()");
	read_arguments(&s, fcinfo);
	PG_RETURN_INT64(submission_place(&s));
}

PG_FUNCTION_INFO_V1(taskq_created);
Datum
taskq_created(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_INT64(0) == last_made);
}

/* ---- templates --------------------------------------------------------------------- */

static void
judge(FunctionCallInfo fcinfo)
{
	Submission s;

	read_arguments(&s, fcinfo);
	submission_check(&s);
}

static int64
submit(FunctionCallInfo fcinfo, Datum origin)
{
	Submission s;

	read_arguments(&s, fcinfo);
	submission_set_origin(&s, origin);
	return submission_place(&s);
}

static text *
queue_name(FunctionCallInfo fcinfo)
{
	return PG_GETARG_TEXT_PP(0);
}

static const char *
fault(FunctionCallInfo fcinfo)
{
	const Queue *queue = queue_of_row(PG_GETARG_TEXT_PP(0));

	if (queue == NULL)
		return psprintf("queue \"%s\" does not exist", text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (queue_payload_fault(queue) != NULL)
		return queue_payload_fault(queue);
	return prerequisites_fault(fcinfo, submit_args.after);
}

static bool
takes_payload(FunctionCallInfo fcinfo)
{
	return true;
}

static const TemplateKey template_keys[] = {
	{"queue", TEMPLATE_TEXT, 0, -1, NULL},
	{"payload", TEMPLATE_JSON, 1, TASK_PAYLOAD, NULL},
	{"key", TEMPLATE_TEXT, 2, TASK_KEY, NULL},
	{"priority", TEMPLATE_INT, 3, TASK_PRIORITY, NULL},
	{"delay", TEMPLATE_INTERVAL, 5, -1, NULL},
	{"start_within", TEMPLATE_INTERVAL, 6, -1, NULL},
	{"timeout", TEMPLATE_INTERVAL, 7, TASK_TIMEOUT, NULL},
	{"retry", TEMPLATE_TEXT, 8, TASK_RETRY, NULL},
	{"max_attempts", TEMPLATE_INT, 9, TASK_MAX_ATTEMPTS, NULL},
	{"kind", TEMPLATE_TEXT, 10, TASK_KIND, NULL},
	{"on_duplicate", TEMPLATE_TEXT, 11, -1, NULL},
	{"on_finish", TEMPLATE_JSON, 12, TASK_ON_FINISH, NULL},
	{"on_dead", TEMPLATE_JSON, 13, TASK_ON_DEAD, NULL},
	{"group_key", TEMPLATE_TEXT, 14, TASK_GROUP_KEY, NULL},
	{"unique_for", TEMPLATE_INTERVAL, 15, -1, NULL},
	{"max_wait", TEMPLATE_INTERVAL, 16, -1, NULL},
	{"trace", TEMPLATE_TEXT, 17, -1, NULL},
	{"after", TEMPLATE_IDS, 18, -1, NULL},
	{"after_failure", TEMPLATE_TEXT, 19, -1, NULL},
};

const TemplateTarget submit_to_queue = {
	.name = "queue",
	.keys = template_keys,
	.nkeys = lengthof(template_keys),
	.nargs = 20,
	.judge = judge,
	.submit = submit,
	.queue = queue_name,
	.fault = fault,
	.takes_payload = takes_payload,
};

/* ---- many --------------------------------------------------------------------------- */

/* The elements of an array argument of submit_many(). */
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
				 errmsg("%s and payloads must have the same length", name),
				 errdetail("There are %d %s and %d payloads.", e->count, name, count),
				 errhint("Pass one element for each payload, NULL where there is none.")));
}

/* The order in which keys are taken.  It is the same in every call, so there is no deadlock. */
static int
compare_keys(const void *a, const void *b, void *arg)
{
	const Elements *keys = arg;
	int x = *(const int *) a;
	int y = *(const int *) b;
	int order;

	if (keys->nulls[x] || keys->nulls[y])
		return keys->nulls[x] != keys->nulls[y] ? keys->nulls[x] - keys->nulls[y] : x - y;
	order = key_compare(DatumGetTextPP(keys->values[x]), DatumGetTextPP(keys->values[y]));
	return order != 0 ? order : x - y;
}

/* Each task waits for each of the tasks that after names. */
static void
check_number_of_prerequisites(const Submission *common, int count)
{
	if (common->after != NULL && (int64) common->after->count * count > MAX_PREREQUISITES)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("too many tasks would wait for too many others"),
				 errdetail("%d tasks would wait for %d each; the product must not exceed %d.",
						   count, common->after->count, MAX_PREREQUISITES),
				 errhint("Let one task wait for the others, and these for that one.")));
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
			  const Elements *run_ats, const Elements *group_keys)
{
	Submission s = *common;

	CHECK_FOR_INTERRUPTS();
	submission_set_content(&s, TASK_PAYLOAD, payloads->values[i], payloads->nulls[i], "payload");
	if (keys->count > 0 && !keys->nulls[i])
	{
		s.key = DatumGetTextPP(keys->values[i]);
		check_label(s.key, "key", TASKQ_KEY_MAX);
	}
	if (group_keys->count > 0 && !group_keys->nulls[i])
	{
		s.group_key = DatumGetTextPP(group_keys->values[i]);
		check_label(s.group_key, "group_key", TASKQ_KEY_MAX);
	}
	if (run_ats->count > 0 && !run_ats->nulls[i])
		row_set(&s.task, TASK_RUN_AT,
				TimestampTzGetDatum(not_before(DatumGetTimestampTz(run_ats->values[i]),
											   GetCurrentTransactionStartTimestamp())));
	return submission_place(&s);
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
	Elements group_keys;
	int *order;
	int64 *ids;

	client_call("taskq.submit_many()");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	submission_init(&common, fcinfo, &submit_many_args, queue_for_payloads(fcinfo));
	take_apart(fcinfo, 1, "payloads", &payloads);
	take_apart(fcinfo, 2, "keys", &keys);
	take_apart(fcinfo, 3, "run_ats", &run_ats);
	take_apart(fcinfo, 14, "group_keys", &group_keys);
	require_argument(fcinfo, 1, "payloads");
	check_same_length(&keys, "keys", payloads.count);
	check_same_length(&run_ats, "run_ats", payloads.count);
	check_same_length(&group_keys, "group_keys", payloads.count);
	if (run_ats.count >= 0 && !PG_ARGISNULL(submit_many_args.delay))
		two_times();
	check_number_of_prerequisites(&common, payloads.count);

	order = order_of_placing(&keys, payloads.count);
	ids = palloc_array(int64, payloads.count);
	for (int i = 0; i < payloads.count; i++)
		ids[order[i]] =
			place_element(&common, order[i], &payloads, &keys, &run_ats, &group_keys);
	for (int i = 0; i < payloads.count; i++)
	{
		Datum value = Int64GetDatum(ids[i]);
		bool isnull = false;

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

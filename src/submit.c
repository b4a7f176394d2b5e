/*
 * submit.c
 *		How a task begins: submit() and submit_http().
 *
 * A submit is two inserts in the caller's transaction, nothing more; whoever
 * waits for the task is woken by that transaction's commit.
 */
#include "task.h"

#include "access/xact.h"
#include "commands/sequence.h"
#include "core/http.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"

#define MIN_PRIORITY     (-16)
#define MAX_PRIORITY     15
#define MAX_TIMEOUT_US   US_PER_DAY
#define MAX_URL          8192
#define MAX_METHOD       32
#define MAX_HEADERS      100
#define MAX_HEADERS_SIZE 32768

/* Where the arguments that both functions share begin; the same order in both. */
typedef struct Shared
{
	int priority;
	int run_at;
	int delay;
	int timeout;
	int retry;
	int max_attempts;
	int kind;
} Shared;

static const Shared submit_args = {2, 3, 4, 5, 6, 7, 8};
static const Shared submit_http_args = {6, 7, 8, 9, 10, 11, 12};

static Statement select_policy = {
	"select p.max_attempts from taskq._retry_policies p where p.name = $1",
	1,
	{TEXTOID},
	NULL,
};

static TimestampTz
arg_run_at(FunctionCallInfo fcinfo, const Shared *args, TimestampTz now)
{
	int64 delay = arg_interval_us(fcinfo, args->delay, "delay", 0, 0, MAX_DELAY_US);

	if (PG_ARGISNULL(args->run_at))
		return now + delay;
	if (!PG_ARGISNULL(args->delay))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("run_at and delay cannot both be given"),
				 errdetail("Both say when the task becomes due."),
				 errhint("Pass one of them.")));
	/* A time gone by is now: the order among due tasks is that of submission. */
	return Max(PG_GETARG_TIMESTAMPTZ(args->run_at), now);
}

/* Number of attempts: the argument, else what the policy says. */
static int32
arg_max_attempts(FunctionCallInfo fcinfo, const Shared *args, const Queue *queue, text *policy)
{
	int32 of_policy = queue->max_attempts;

	if (policy != NULL)
	{
		Datum argument = PointerGetDatum(policy);
		Datum value;
		bool isnull;

		if (!owner_query(&select_policy, &argument, NULL, &value, &isnull, 1))
			ereport(ERROR,
					(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
					 errmsg("retry policy \"%s\" does not exist", text_to_cstring(policy)),
					 errdetail("Shipped policies are default, webhook and none."),
					 errhint("Create it with taskq.create_retry_policy().")));
		of_policy = DatumGetInt32(value);
	}
	return arg_int32(fcinfo, args->max_attempts, "max_attempts", of_policy, 1, PG_INT32_MAX);
}

static void
set_text(Row *row, int column, text *value)
{
	row->nulls[column] = value == NULL;
	row->values[column] = PointerGetDatum(value);
}

static void
set_argument(Row *row, int column, FunctionCallInfo fcinfo, int n)
{
	row->nulls[column] = PG_ARGISNULL(n);
	row->values[column] = PG_ARGISNULL(n) ? (Datum) 0 : PG_GETARG_DATUM(n);
}

static void
set_value(Row *row, int column, Datum value)
{
	row->nulls[column] = false;
	row->values[column] = value;
}

/* Fills the columns that every task has; the id comes last, so that errors use none up. */
static void
fill_task(Row *task, FunctionCallInfo fcinfo, const Shared *args, const Queue *queue)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	text *policy = arg_name(fcinfo, args->retry, "retry");
	int16 priority = arg_int32(fcinfo, args->priority, "priority", 0, MIN_PRIORITY, MAX_PRIORITY);

	(void) arg_interval_us(fcinfo, args->timeout, "timeout", US_PER_MS, US_PER_MS, MAX_TIMEOUT_US);
	set_value(task, TASK_SUBMITTED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	set_value(task, TASK_RUN_AT, TimestampTzGetDatum(arg_run_at(fcinfo, args, now)));
	set_value(task, TASK_QUEUE_ID, Int32GetDatum(queue->id));
	set_value(task, TASK_ATTEMPT, Int32GetDatum(0));
	set_value(task, TASK_PRIORITY, Int16GetDatum(priority));
	set_argument(task, TASK_TIMEOUT, fcinfo, args->timeout);
	set_text(task, TASK_KIND, arg_name(fcinfo, args->kind, "kind"));
	set_text(task, TASK_RETRY, policy);
	set_value(task, TASK_MAX_ATTEMPTS,
			  Int32GetDatum(arg_max_attempts(fcinfo, args, queue, policy)));
	set_value(task, TASK_ID,
			  Int64GetDatum(nextval_internal(taskq_relation("task_id"), false)));
}

/*
 * A request's JSON goes out in UTF-8.  Made here once, so that what has no
 * UTF-8 form is the submitter's error and not the executor's.
 */
static void
check_convertible(const Row *task)
{
	int encoding = GetDatabaseEncoding();
	Jsonb *payload;
	char *json;

	if (task->nulls[TASK_PAYLOAD] || encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return;
	payload = DatumGetJsonbP(task->values[TASK_PAYLOAD]);
	json = JsonbToCString(NULL, &payload->root, VARSIZE(payload));
	(void) pg_server_to_any(json, strlen(json), PG_UTF8);
}

static void
set_payload(Row *task, FunctionCallInfo fcinfo, int n, int column, const char *name)
{
	set_argument(task, column, fcinfo, n);
	if (!task->nulls[column])
		check_size(task->values[column], name);
}

static int64
insert_task(Row *task)
{
	HotRelation tasks;

	hot_open(&tasks, HOT_TASK);
	row_insert(&tasks, task);
	hot_close(&tasks);
	task_make_ready(task);
	queue_arm_if_new();
	return ROW_INT64(task, TASK_ID);
}

void
task_make_ready(const Row *task)
{
	const Queue *queue = queue_by_id(ROW_INT32(task, TASK_QUEUE_ID));
	HotRelation ready;
	Row row;

	row_init(&row);
	set_value(&row, READY_RUN_AT, task->values[TASK_RUN_AT]);
	set_value(&row, READY_ID, task->values[TASK_ID]);
	set_value(&row, READY_QUEUE_ID, task->values[TASK_QUEUE_ID]);
	set_value(&row, READY_PRIORITY, task->values[TASK_PRIORITY]);
	hot_open(&ready, HOT_READY);
	row_insert(&ready, &row);
	hot_close(&ready);
	CommandCounterIncrement();
	if (queue != NULL && queue->push)
		wakeup_executor_at_commit();
}

PG_FUNCTION_INFO_V1(taskq_submit);
Datum
taskq_submit(PG_FUNCTION_ARGS)
{
	const Queue *queue;
	Row task;

	require_writable("taskq.submit()");
	queue_hold();
	queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
	if (queue->push && queue->url == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_WRONG_MODE),
				 errmsg("queue \"%s\" is a push queue without a url", queue->name),
				 errdetail("There is nowhere to send the payload to."),
				 errhint("Call taskq.submit_http(), or create the queue with a url.")));
	row_init(&task);
	set_payload(&task, fcinfo, 1, TASK_PAYLOAD, "payload");
	if (queue->push)
		check_convertible(&task);
	fill_task(&task, fcinfo, &submit_args, queue);
	PG_RETURN_INT64(insert_task(&task));
}

static void
invalid_request(const char *what, const char *wrong)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("invalid %s", what),
			 errdetail("The %s cannot be used: %s.", what, wrong),
			 errhint("See the comment of taskq.submit_http().")));
}

/* What goes into a request line or header as it is: ASCII alone. */
static bool
is_ascii(const char *value)
{
	for (; *value != '\0'; value++)
	{
		if (IS_HIGHBIT_SET(*value))
			return false;
	}
	return true;
}

/* The text argument n, at most max bytes of ASCII. */
static char *
arg_wire_text(FunctionCallInfo fcinfo, int n, const char *what, int max)
{
	char *value;

	if (PG_ARGISNULL(n))
		invalid_request(what, "it is NULL");
	value = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (strlen(value) > (size_t) max)
		invalid_request(what, psprintf("it has more than %d bytes", max));
	if (!is_ascii(value))
		invalid_request(what, "it has characters outside ASCII, which must be percent-encoded");
	return value;
}

static bool
is_reserved(const char *name)
{
	static const char *const reserved[] = {
		"Host",
		"Content-Length",
		"Transfer-Encoding",
		"Connection",
		"User-Agent",
		"X-Task-Id",
		"X-Task-Queue",
		"X-Task-Attempt",
		"Idempotency-Key",
	};

	for (size_t i = 0; i < lengthof(reserved); i++)
	{
		if (pg_strcasecmp(name, reserved[i]) == 0)
			return true;
	}
	return false;
}

/* Of a header that is refused only the name is told, and that only if it is harmless. */
static void
check_header(const char *name, const JsonbValue *value)
{
	char *text;

	if (is_reserved(name))
		invalid_request("headers", psprintf("\"%s\" is not the submitter's to set", name));
	if (tq_header_invalid(name, "") != NULL)
		invalid_request("headers", "a name is not an HTTP token");
	if (value->type != jbvString)
		invalid_request("headers", psprintf("the value of \"%s\" is not a string", name));
	text = pnstrdup(value->val.string.val, value->val.string.len);
	if (!is_ascii(text) || tq_header_invalid(name, text) != NULL)
		invalid_request("headers", psprintf("the value of \"%s\" is not printable ASCII", name));
}

static void
check_headers(Datum headers)
{
	Jsonb *jsonb = DatumGetJsonbP(headers);
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	JsonbValue v;
	JsonbIteratorToken token;
	char *name = NULL;
	int count = 0;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		invalid_request("headers", "they are not a JSON object");
	if (VARSIZE_ANY(jsonb) > MAX_HEADERS_SIZE)
		invalid_request("headers", psprintf("they have more than %d bytes", MAX_HEADERS_SIZE));
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(v.val.string.val, v.val.string.len);
		else if (token == WJB_VALUE)
			check_header(name, &v);
		if (token == WJB_KEY && ++count > MAX_HEADERS)
			invalid_request("headers", psprintf("there are more than %d", MAX_HEADERS));
	}
}

/* method, url, headers and body of submit_http(). */
static void
fill_request(Row *task, FunctionCallInfo fcinfo)
{
	char *url = arg_wire_text(fcinfo, 0, "url", MAX_URL);
	char *method = arg_wire_text(fcinfo, 2, "method", MAX_METHOD);

	if (tq_url_invalid(url) != NULL)
		invalid_request("url", tq_url_invalid(url));
	if (tq_method_invalid(method) != NULL)
		invalid_request("method", tq_method_invalid(method));
	if (!PG_ARGISNULL(3))
		check_headers(PG_GETARG_DATUM(3));
	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(4))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("payload and body cannot both be given"),
				 errdetail("Both are what is sent."),
				 errhint("Pass one of them.")));
	set_payload(task, fcinfo, 1, TASK_PAYLOAD, "payload");
	set_payload(task, fcinfo, 4, TASK_BODY, "body");
	set_text(task, TASK_URL, cstring_to_text(url));
	set_text(task, TASK_METHOD, cstring_to_text(method));
	set_argument(task, TASK_HEADERS, fcinfo, 3);
}

PG_FUNCTION_INFO_V1(taskq_submit_http);
Datum
taskq_submit_http(PG_FUNCTION_ARGS)
{
	const Queue *queue;
	Row task;

	require_writable("taskq.submit_http()");
	queue_hold();
	queue = queue_by_name(arg_name(fcinfo, 5, "queue"));
	if (!queue->push)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_WRONG_MODE),
				 errmsg("queue \"%s\" is a pull queue", queue->name),
				 errdetail("Its tasks are acquired by workers and not sent."),
				 errhint("Use a push queue such as \"http\", or taskq.submit().")));
	row_init(&task);
	fill_request(&task, fcinfo);
	check_convertible(&task);
	fill_task(&task, fcinfo, &submit_http_args, queue);
	PG_RETURN_INT64(insert_task(&task));
}

PG_FUNCTION_INFO_V1(taskq_wake_executor);
Datum
taskq_wake_executor(PG_FUNCTION_ARGS)
{
	wakeup_executor_at_commit();
	PG_RETURN_VOID();
}

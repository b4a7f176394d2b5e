/*
 * submit_http.c
 *		How a request becomes a task: submit_http().
 *
 * What cannot be sent, or would be somebody else's to decide, is refused here,
 * while the submitter is there to hear it.  The engine checks again.
 */
#include "task.h"

#include "core/request.h"
#include "core/url.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#define MAX_METHOD       32
#define MAX_HEADERS      100
#define MAX_HEADERS_SIZE 32768

static const SubmitArguments submit_http_args = {
	.key = 6,
	.priority = 7,
	.run_at = 8,
	.delay = 9,
	.start_within = 10,
	.timeout = 11,
	.retry = 12,
	.max_attempts = 13,
	.kind = 14,
	.on_duplicate = 15,
};

#define ARG_ENDPOINT 16
#define ARG_PATH     17

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
		"webhook-id",
		"webhook-timestamp",
		"webhook-signature",
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

int
headers_find(const Jsonb *headers, const char *name, char **value)
{
	JsonbIterator *it = JsonbIteratorInit(unconstify(JsonbContainer *, &headers->root));
	JsonbValue v;
	JsonbIteratorToken token;
	bool named = false;
	int count = 0;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			named = v.val.string.len == (int) strlen(name) &&
					pg_strncasecmp(v.val.string.val, name, v.val.string.len) == 0;
			count += named;
		}
		else if (token == WJB_VALUE && named && value != NULL && v.type == jbvString)
			*value = pnstrdup(v.val.string.val, v.val.string.len);
	}
	return count;
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
		{
			check_header(name, &v);
			if (headers_find(jsonb, name, NULL) > 1)
				invalid_request("headers", psprintf("there are two of the name \"%s\"", name));
		}
		if (token == WJB_KEY && ++count > MAX_HEADERS)
			invalid_request("headers", psprintf("there are more than %d", MAX_HEADERS));
	}
}

PG_FUNCTION_INFO_V1(taskq_check_headers);
Datum
taskq_check_headers(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(0))
		check_headers(PG_GETARG_DATUM(0));
	PG_RETURN_VOID();
}

static void
fill_url(Submission *s, FunctionCallInfo fcinfo)
{
	char *url = url_to_ascii(PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0));

	row_set_text(&s->task, TASK_URL, cstring_to_text(url));
}

/* To an endpoint: the url is its own affair, also when the task is sent. */
static void
fill_path(Submission *s, FunctionCallInfo fcinfo)
{
	char *path;

	if (!PG_ARGISNULL(0))
		invalid_request("url", "an endpoint has its own");
	if (PG_ARGISNULL(ARG_PATH))
		return;
	path = arg_wire_text(fcinfo, ARG_PATH, "path", TQ_MAX_URL);
	if (tq_path_invalid(path) != NULL)
		invalid_request("path", tq_path_invalid(path));
	if (strlen(s->queue->url) + strlen(path) > TQ_MAX_URL)
		invalid_request("path", psprintf("with the url it has more than %d bytes", TQ_MAX_URL));
	row_set_text(&s->task, TASK_URL, cstring_to_text(path));
}

/* url or path, method, headers and body of submit_http(). */
static void
fill_request(Submission *s, FunctionCallInfo fcinfo)
{
	char *method = arg_wire_text(fcinfo, 2, "method", MAX_METHOD);

	if (s->queue->endpoint)
		fill_path(s, fcinfo);
	else
		fill_url(s, fcinfo);
	if (tq_method_invalid(method) != NULL)
		invalid_request("method", tq_method_invalid(method));
	if (strcmp(method, "HEAD") == 0 && (!PG_ARGISNULL(1) || !PG_ARGISNULL(4)))
		invalid_request("method", "HEAD has no body");
	if (!PG_ARGISNULL(3))
	{
		check_headers(PG_GETARG_DATUM(3));
		row_set(&s->task, TASK_HEADERS, PG_GETARG_DATUM(3));
	}
	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(4))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("payload and body cannot both be given"),
				 errdetail("Both are what is sent."),
				 errhint("Pass one of them.")));
	submission_set_content(s, TASK_PAYLOAD, PG_GETARG_DATUM(1), PG_ARGISNULL(1), "payload");
	submission_set_content(s, TASK_BODY, PG_GETARG_DATUM(4), PG_ARGISNULL(4), "body");
	row_set_text(&s->task, TASK_METHOD, cstring_to_text(method));
}

static const Queue *
find_endpoint(text *name)
{
	const Queue *queue = queue_find(name);

	if (queue == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_UNKNOWN_QUEUE),
				 errmsg("endpoint \"%s\" does not exist", text_to_cstring(name)),
				 errdetail("No endpoint of that name was created in this database."),
				 errhint("taskq.create_endpoint() creates it; taskq.endpoints shows all there "
						 "are.")));
	return queue;
}

/* The queue that is named, or the endpoint, or else the one that exists from the start. */
static const Queue *
queue_to_send_by(FunctionCallInfo fcinfo)
{
	text *name = arg_name(fcinfo, 5, "queue");
	text *endpoint = arg_name(fcinfo, ARG_ENDPOINT, "endpoint");
	const Queue *queue;

	if (endpoint == NULL && !PG_ARGISNULL(ARG_PATH))
		invalid_request("path", "no endpoint is named");
	if (endpoint == NULL)
		return queue_by_name(name != NULL ? name : cstring_to_text("http"));
	if (name != NULL)
		invalid_request("queue", "an endpoint is a queue itself");
	queue = find_endpoint(endpoint);
	if (!queue->endpoint && queue_may(queue, PRIVILEGE_SUBMIT))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_WRONG_MODE),
				 errmsg("queue \"%s\" is not an endpoint", queue->name),
				 errdetail("It has no destination of its own."),
				 errhint("taskq.create_endpoint() creates endpoints; taskq.endpoints shows all "
						 "there are.")));
	return queue;
}

PG_FUNCTION_INFO_V1(taskq_submit_http);
Datum
taskq_submit_http(PG_FUNCTION_ARGS)
{
	Submission s;
	const Queue *queue;

	client_call("taskq.submit_http()");
	queue = queue_to_send_by(fcinfo);
	queue_require(queue, PRIVILEGE_SUBMIT);
	if (!queue->push)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_WRONG_MODE),
				 errmsg("queue \"%s\" is a pull queue", queue->name),
				 errdetail("Its tasks are acquired by workers and not sent."),
				 errhint("Use a push queue such as \"http\", or taskq.submit().")));
	submission_init(&s, fcinfo, &submit_http_args, queue);
	fill_request(&s, fcinfo);
	PG_RETURN_INT64(submission_place(&s, arg_key(fcinfo, submit_http_args.key)));
}

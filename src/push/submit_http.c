/*
 * submit_http.c
 *		submit_http(), and templates for a url or an endpoint: make a task of a request.
 *
 * A request that cannot be sent, or that sets what only taskq or the endpoint may set, is
 * refused here, because the submitting session can still report the error.  The engine checks
 * again before it sends.
 */
#include "postgres.h"

#include "common/string.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "base/arg.h"
#include "base/errors.h"
#include "core/request.h"
#include "core/url.h"
#include "life/submit.h"
#include "push/headers.h"
#include "push/submit_http.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/rows.h"

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
	.on_finish = 18,
	.on_dead = 19,
	.group_key = 20,
	.unique_for = 21,
	.max_wait = 22,
	.trace = 23,
	.after = 24,
	.after_failure = 25,
};

#define ARG_URL      0
#define ARG_PAYLOAD  1
#define ARG_METHOD   2
#define ARG_HEADERS  3
#define ARG_BODY     4
#define ARG_QUEUE    5
#define ARG_ENDPOINT 16
#define ARG_PATH     17

/* The text argument n, at most max bytes of ASCII. */
static char *
arg_wire_text(FunctionCallInfo fcinfo, int n, const char *what, int max)
{
	char *value;

	if (PG_ARGISNULL(n))
		refuse_part(what, "it is NULL");
	value = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (strlen(value) > (size_t) max)
		refuse_part(what, psprintf("it has more than %d bytes", max));
	if (!pg_is_ascii(value))
		refuse_part(what, "it has characters outside ASCII, which must be percent-encoded");
	return value;
}

static void
fill_url(Submission *s, FunctionCallInfo fcinfo)
{
	char *url = url_to_ascii(PG_ARGISNULL(ARG_URL) ? NULL : PG_GETARG_TEXT_PP(ARG_URL));

	row_set_text(&s->task, TASK_URL, cstring_to_text(url));
}

/* A task of an endpoint has only a path; the endpoint's url is read when the task is sent. */
static void
fill_path(Submission *s, FunctionCallInfo fcinfo)
{
	char *path;

	if (!PG_ARGISNULL(ARG_URL))
		refuse_part("url", "an endpoint has its own");
	if (PG_ARGISNULL(ARG_PATH))
		return;
	path = arg_wire_text(fcinfo, ARG_PATH, "path", TQ_MAX_URL);
	if (tq_path_invalid(path) != NULL)
		refuse_part("path", tq_path_invalid(path));
	if (strlen(s->queue->url) + strlen(path) > TQ_MAX_URL)
		refuse_part("path", psprintf("with the url it has more than %d bytes", TQ_MAX_URL));
	row_set_text(&s->task, TASK_URL, cstring_to_text(path));
}

/* Reads url or path, method, headers and content. */
static void
fill_request(Submission *s, FunctionCallInfo fcinfo)
{
	char *method = arg_wire_text(fcinfo, ARG_METHOD, "method", TQ_MAX_METHOD);

	if (s->queue->endpoint)
		fill_path(s, fcinfo);
	else
		fill_url(s, fcinfo);
	if (tq_method_invalid(method) != NULL)
		refuse_part("method", tq_method_invalid(method));
	if (strcmp(method, "HEAD") == 0 && (!PG_ARGISNULL(ARG_PAYLOAD) || !PG_ARGISNULL(ARG_BODY)))
		refuse_part("method", "HEAD has no body");
	if (!PG_ARGISNULL(ARG_HEADERS))
	{
		headers_check(PG_GETARG_DATUM(ARG_HEADERS), s->queue->header_style);
		row_set(&s->task, TASK_HEADERS, PG_GETARG_DATUM(ARG_HEADERS));
	}
	if (!PG_ARGISNULL(ARG_PAYLOAD) && !PG_ARGISNULL(ARG_BODY))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("payload and body cannot both be given"),
				 errdetail("Each of them is the content of the request."),
				 errhint("Pass one of them.")));
	submission_set_content(s, TASK_PAYLOAD, PG_GETARG_DATUM(ARG_PAYLOAD),
						   PG_ARGISNULL(ARG_PAYLOAD), "payload");
	submission_set_content(s, TASK_BODY, PG_GETARG_DATUM(ARG_BODY), PG_ARGISNULL(ARG_BODY),
						   "body");
	row_set_text(&s->task, TASK_METHOD, cstring_to_text(method));
}

static const Queue *
find_endpoint(text *name)
{
	const Queue *queue = queue_find(name);

	if (queue == NULL || !queue_may(queue, PRIVILEGE_ANY))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_UNKNOWN_QUEUE),
				 errmsg("endpoint \"%s\" does not exist", text_to_cstring(name)),
				 errdetail("No endpoint of that name was created in this database, or the current "
						   "role has no privilege on it."),
				 errhint("taskq.create_endpoint() creates it; taskq.endpoints shows all "
						 "endpoints.")));
	return queue;
}

/* The queue or endpoint that the arguments name, or else the queue "http". */
static const Queue *
queue_to_send_by(FunctionCallInfo fcinfo)
{
	text *name = arg_name(fcinfo, ARG_QUEUE, "queue");
	text *endpoint = arg_name(fcinfo, ARG_ENDPOINT, "endpoint");
	const Queue *queue;

	if (endpoint == NULL && !PG_ARGISNULL(ARG_PATH))
		refuse_part("path", "no endpoint is named");
	if (endpoint == NULL)
		return queue_by_name(name != NULL ? name : cstring_to_text("http"));
	if (name != NULL)
		refuse_part("queue", "an endpoint is a queue itself");
	queue = find_endpoint(endpoint);
	if (!queue->endpoint && queue_may(queue, PRIVILEGE_SUBMIT))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_WRONG_MODE),
				 errmsg("queue \"%s\" is not an endpoint", queue->name),
				 errdetail("It has no destination of its own."),
				 errhint("taskq.create_endpoint() creates endpoints; taskq.endpoints shows all "
						 "endpoints.")));
	return queue;
}

/* Judges the arguments of submit_http(). */
static void
read_arguments(Submission *s, FunctionCallInfo fcinfo)
{
	const Queue *queue = queue_to_send_by(fcinfo);

	queue_require(queue, PRIVILEGE_SUBMIT);
	queue_refuse_topic(queue);
	if (!queue->push)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_WRONG_MODE),
				 errmsg("queue \"%s\" is a %s", queue->name, queue_mode_name(queue)),
				 queue->call ? errdetail("Its tasks are calls of functions.")
							 : errdetail("Workers acquire its tasks; they are not sent."),
				 errhint("Use a push queue such as \"http\", or taskq.submit().")));
	submission_init(s, fcinfo, &submit_http_args, queue);
	fill_request(s, fcinfo);
}

PG_FUNCTION_INFO_V1(taskq_submit_http);
Datum
taskq_submit_http(PG_FUNCTION_ARGS)
{
	Submission s;

	client_call("taskq.submit_http()");
	read_arguments(&s, fcinfo);
	PG_RETURN_INT64(submission_place(&s));
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
	if (!PG_ARGISNULL(ARG_ENDPOINT))
		return PG_GETARG_TEXT_PP(ARG_ENDPOINT);
	return PG_ARGISNULL(ARG_QUEUE) ? cstring_to_text("http") : PG_GETARG_TEXT_PP(ARG_QUEUE);
}

static const char *
fault(FunctionCallInfo fcinfo)
{
	const Queue *queue = queue_of_row(queue_name(fcinfo));

	if (queue == NULL)
		return psprintf("queue \"%s\" does not exist", text_to_cstring(queue_name(fcinfo)));
	if (!queue->push)
		return psprintf("queue \"%s\" is a %s", queue->name, queue_mode_name(queue));
	if (!queue->endpoint && !PG_ARGISNULL(ARG_ENDPOINT))
		return psprintf("queue \"%s\" is not an endpoint", queue->name);
	if (queue->endpoint && PG_ARGISNULL(ARG_ENDPOINT))
		return psprintf("queue \"%s\" is an endpoint", queue->name);
	return prerequisites_fault(fcinfo, submit_http_args.after);
}

static bool
takes_payload(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(ARG_BODY) &&
		   strcmp(text_to_cstring(PG_GETARG_TEXT_PP(ARG_METHOD)), "HEAD") != 0;
}

static const TemplateKey template_keys[] = {
	{"url", TEMPLATE_TEXT, ARG_URL, TASK_URL, NULL},
	{"payload", TEMPLATE_JSON, ARG_PAYLOAD, TASK_PAYLOAD, NULL},
	{"method", TEMPLATE_TEXT, ARG_METHOD, TASK_METHOD, "POST"},
	{"headers", TEMPLATE_JSON, ARG_HEADERS, TASK_HEADERS, NULL},
	{"body", TEMPLATE_BYTEA, ARG_BODY, TASK_BODY, NULL},
	{"queue", TEMPLATE_TEXT, ARG_QUEUE, -1, NULL},
	{"key", TEMPLATE_TEXT, 6, TASK_KEY, NULL},
	{"priority", TEMPLATE_INT, 7, TASK_PRIORITY, NULL},
	{"delay", TEMPLATE_INTERVAL, 9, -1, NULL},
	{"start_within", TEMPLATE_INTERVAL, 10, -1, NULL},
	{"timeout", TEMPLATE_INTERVAL, 11, TASK_TIMEOUT, NULL},
	{"retry", TEMPLATE_TEXT, 12, TASK_RETRY, NULL},
	{"max_attempts", TEMPLATE_INT, 13, TASK_MAX_ATTEMPTS, NULL},
	{"kind", TEMPLATE_TEXT, 14, TASK_KIND, NULL},
	{"on_duplicate", TEMPLATE_TEXT, 15, -1, NULL},
	{"endpoint", TEMPLATE_TEXT, ARG_ENDPOINT, -1, NULL},
	{"path", TEMPLATE_TEXT, ARG_PATH, TASK_URL, NULL},
	{"on_finish", TEMPLATE_JSON, 18, TASK_ON_FINISH, NULL},
	{"on_dead", TEMPLATE_JSON, 19, TASK_ON_DEAD, NULL},
	{"group_key", TEMPLATE_TEXT, 20, TASK_GROUP_KEY, NULL},
	{"unique_for", TEMPLATE_INTERVAL, 21, -1, NULL},
	{"max_wait", TEMPLATE_INTERVAL, 22, -1, NULL},
	{"trace", TEMPLATE_TEXT, 23, -1, NULL},
	{"after", TEMPLATE_IDS, 24, -1, NULL},
	{"after_failure", TEMPLATE_TEXT, 25, -1, NULL},
};

#define TARGET(key)                                                                        \
	{                                                                                      \
		.name = key, .keys = template_keys, .nkeys = lengthof(template_keys), .nargs = 26, \
		.judge = judge, .submit = submit, .queue = queue_name, .fault = fault,             \
		.takes_payload = takes_payload,                                                    \
	}

const TemplateTarget submit_to_url = TARGET("url");
const TemplateTarget submit_to_endpoint = TARGET("endpoint");

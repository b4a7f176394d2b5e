/*
 * submit_http.c
 *		How a request becomes a task: submit_http().
 *
 * What cannot be sent, or would be somebody else's to decide, is refused here,
 * while the submitter is there to hear it.  The engine checks again.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/arg.h"
#include "base/errors.h"
#include "core/request.h"
#include "core/url.h"
#include "life/submit.h"
#include "push/headers.h"
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
};

#define ARG_ENDPOINT 16
#define ARG_PATH     17

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
	char *method = arg_wire_text(fcinfo, 2, "method", TQ_MAX_METHOD);

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
		headers_check(PG_GETARG_DATUM(3));
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

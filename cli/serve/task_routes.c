/*
 * task_routes.c
 *		Routes of tasks: to submit, look at, search and change them.
 *
 * Each statement returns a status and a body, see exchange_take().  Ids and tokens are strings in
 * JSON, because a token is more than a number of JavaScript can be.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/serve/exchange.h"
#include "cli/serve/members.h"
#include "cli/serve/task_routes.h"
#include "cli/serve/waiters.h"

/* clang-format off */

/* ---- submit ---------------------------------------------------------------------- */

#define SUBMITTED(call) \
	"select case when taskq._created(id) then 201 else 200 end, '{\"id\":\"' || id || " \
	"'\",\"created\":' || taskq._created(id) || '}', '../../tasks/' || id as \"Location\" " \
	"from (select " call " as id) as s"

/* Both know the first values in the same places. */
#define SUBMIT_ARGUMENTS \
	"payload => $2::jsonb, key => $3, priority => coalesce($4::int, 0), run_at => " \
	"$5::timestamptz, " \
	"delay => $6::interval, start_within => $7::interval, timeout => $8::interval, retry => $9, " \
	"max_attempts => $10::int, kind => $11, on_duplicate => coalesce($12, 'keep'), group_key " \
	"=> $13, " \
	"unique_for => $14::interval, max_wait => $15::interval, on_finish => $16::jsonb, " \
	"on_dead => $17::jsonb, trace => $18, after => case when $19::text is not null then " \
	"array(select e::bigint from jsonb_array_elements_text($19::jsonb) as e) end, " \
	"after_failure => coalesce($20, 'cancel')"

static const gate_statement submit_statement = {"serve_submit",
	SUBMITTED("taskq.submit(queue => $1, " SUBMIT_ARGUMENTS ")"),
	20, 0};

/* An endpoint is the queue itself. */
static const gate_statement submit_http_statement = {"serve_submit_http",
	SUBMITTED("taskq.submit_http(queue => case when $22::text is null then $1 end, "
	"endpoint => $22, url => $21, " SUBMIT_ARGUMENTS ", method => coalesce($23, 'POST'), "
	"headers => $24::jsonb, body => decode($25, 'base64'), path => $26)"),
	26, 0};

static const gate_statement submit_many_statement = {"serve_submit_many",
	"with e as materialized (select e, n from jsonb_array_elements($2::jsonb) with ordinality as "
	"x (e, n)), "
	"s as materialized (select id, row_number() over () as n from taskq.submit_many($1, "
	"payloads => array(select coalesce(e -> 'payload', 'null') from e order by n), "
	"keys => array(select e ->> 'key' from e order by n), "
	"run_ats => array(select (e ->> 'run_at')::timestamptz from e order by n), "
	"group_keys => array(select e ->> 'group_key' from e order by n), trace => $3) as id) "
	"select 201, '{\"ids\":' || coalesce(json_agg(id::text order by n), '[]') || '}' from s",
	3, 0};

static const route_member submit_members[] = {
	{"payload", MEMBER_JSON}, {"key", MEMBER_TEXT}, {"priority", MEMBER_NUMBER},
	{"run_at", MEMBER_TEXT}, {"delay", MEMBER_LENGTH}, {"start_within", MEMBER_LENGTH},
	{"timeout", MEMBER_LENGTH}, {"retry", MEMBER_TEXT}, {"max_attempts", MEMBER_NUMBER},
	{"kind", MEMBER_TEXT}, {"on_duplicate", MEMBER_TEXT}, {"group_key", MEMBER_TEXT},
	{"unique_for", MEMBER_LENGTH}, {"max_wait", MEMBER_LENGTH}, {"on_finish", MEMBER_JSON},
	{"on_dead", MEMBER_JSON}, {"trace", MEMBER_TEXT}, {"after", MEMBER_JSON},
	{"after_failure", MEMBER_TEXT}, {"url", MEMBER_TEXT}, {"endpoint", MEMBER_TEXT},
	{"method", MEMBER_TEXT}, {"headers", MEMBER_JSON}, {"body", MEMBER_TEXT},
	{"path", MEMBER_TEXT}};

/* clang-format on */

static void
submit_task(exchange *x)
{
	const char *endpoint = members_value(x, "endpoint");

	if (members_is_batch(x))
		exchange_send(x, &submit_many_statement, exchange_take);
	else if (endpoint != NULL && strcmp(endpoint, x->parameters[0]) != 0)
		exchange_error(x, 400, NULL, "endpoint must be the queue of the path", NULL, NULL);
	else if (endpoint != NULL || members_value(x, "url") != NULL)
		exchange_send(x, &submit_http_statement, exchange_take);
	else if (members_value(x, "method") != NULL || members_value(x, "headers") != NULL ||
			 members_value(x, "body") != NULL || members_value(x, "path") != NULL)
		exchange_error(x, 400, NULL, "method, headers, body and path need url or endpoint", NULL,
					   NULL);
	else
		exchange_send(x, &submit_statement, exchange_take);
}

/* clang-format off */

/* ---- look ------------------------------------------------------------------------ */

static const gate_statement task_statement = {"serve_task",
	"select 200, row_to_json(x)::text, '\"' || x.state || '-' || x.attempt || '\"' as \"ETag\" "
	"from (select t.id::text as id, t.queue, t.key, t.kind, t.group_key, t.state, t.priority, "
	"t.attempt, "
	"t.max_attempts, t.run_at, t.submitted_at, t.started_at, t.ended_at, t.lease_until, t.worker, "
	"t.cancel_requested, t.fraction, t.message, t.method, t.url, t.payload, t.result, t.error, "
	"t.request_headers, encode(t.request_body, 'base64') as request_body, t.origin, t.trace "
	"from taskq.tasks t where t.id = $1::bigint) x",
	1, 0};

const gate_statement ended_statement = {"serve_ended",
	"select id from taskq.results($1::bigint[]) where state is null or state not in ('pending', "
	"'running')",
	1, 0};

static const gate_statement attempts_statement = {"serve_attempts",
	"select 200, '{\"attempts\":' || coalesce(json_agg(x order by x.attempt), '[]') || '}' "
	"from (select a.attempt, a.started_at, a.ended_at, a.worker, a.class, a.error, a.detail, "
	"a.status, "
	"extract(epoch from a.elapsed) as elapsed, extract(epoch from a.dns) as dns, "
	"extract(epoch from a.connect) as connect, extract(epoch from a.tls) as tls, "
	"extract(epoch from a.first_byte) as first_byte from taskq.attempts a where a.task_id = "
	"$1::bigint) x",
	1, 0};

static const gate_statement result_statement = {"serve_result",
	"select 200, row_to_json(x)::text from (select $1::text as id, r.state, r.result, r.error, "
	"r.ended_at "
	"from taskq.result($1::bigint) r where r.state is not null) x",
	1, 0};

static const gate_statement response_statement = {"serve_response",
	"select r.status, r.headers ->> 'content-type', r.body, r.truncated, "
	"extract(epoch from r.elapsed) from taskq.response($1::bigint) r",
	1, 0};

/*
 * The last row of a search that was ended by its limit has no id: see find_tasks().  A page ends
 * with the task with which it has so many bytes: no client decides how much memory it takes.
 */
#define PAGE_BYTES "4194304"
#define FOUND_COLUMNS \
	"f.id::text as id, f.queue, f.key, f.kind, f.group_key, f.state, f.priority, f.attempt, " \
	"f.max_attempts, f.run_at, f.submitted_at, f.started_at, f.ended_at, f.worker, f.error, " \
	"f.trace"

static const gate_statement find_statement = {"serve_find",
	"with f as materialized (select f.*, row_number() over () as n from taskq.find_tasks("
	"queue => $1, states => string_to_array($2, ',')::taskq.state[], kind => $3, key => $4, "
	"key_prefix => $5, payload => $6::jsonb, error => $7, class => $8, worker => $9, "
	"since => $10::timestamptz, until => $11::timestamptz, \"limit\" => coalesce($12::int, 50), "
	"after => $13::bigint, scan => coalesce($14::int, 100000), group_key => $15) f), "
	"r as (select f.n, f.id, f.next, f.looked_at, f.submitted_at, case when f.id is null then null "
	"when $17::boolean then (select row_to_json(x) from (select "
	FOUND_COLUMNS ") x) when $16::int is not null then (select row_to_json(x) from (select "
	FOUND_COLUMNS ", left(f.payload::text, $16::int) as payload_start, "
	"octet_length(f.payload::text) as payload_bytes) x) else (select row_to_json(x) from (select "
	FOUND_COLUMNS ", f.payload) x) end as task from f), "
	"s as (select r.*, coalesce(sum(octet_length(r.task::text)) over (order by r.n "
	"rows between unbounded preceding and 1 preceding), 0) as bytes_before, "
	"count(*) over () as of from r), "
	"p as materialized (select * from s where bytes_before < " PAGE_BYTES "), "
	"t as (select count(id) as n, coalesce(max(of) > count(*), false) as cut, "
	"coalesce(bool_or(id is null), false) as ended, min(next) as next, "
	"coalesce(max(looked_at), 0) as looked, max(submitted_at) filter (where id is null) as since "
	"from p) "
	"select 200, '{\"tasks\":' || coalesce((select json_agg(p.task order by p.n)::text from p "
	"where p.id is not null), '[]') "
	"|| ',\"next\":' || case when t.n >= coalesce($12::int, 50) or t.ended or t.cut "
	"then '\"' || t.next || '\"' else 'null' end || ',\"scanned\":' || t.looked "
	"|| ',\"since\":' || coalesce(to_json(t.since)::text, 'null') "
	"|| ',\"complete\":' || (t.n < coalesce($12::int, 50) and not t.ended and not t.cut) || '}' "
	"from t",
	17, 0};

static const route_member find_query[] = {
	{"queue", MEMBER_TEXT}, {"state", MEMBER_TEXT}, {"kind", MEMBER_TEXT}, {"key", MEMBER_TEXT},
	{"key_prefix", MEMBER_TEXT}, {"payload", MEMBER_TEXT}, {"error", MEMBER_TEXT},
	{"class", MEMBER_TEXT}, {"worker", MEMBER_TEXT}, {"since", MEMBER_TEXT}, {"until", MEMBER_TEXT},
	{"limit", MEMBER_TEXT}, {"after", MEMBER_ID}, {"scan", MEMBER_TEXT},
	{"group_key", MEMBER_TEXT}, {"preview", MEMBER_TEXT}};

static const route_member wait_query[] = {{"wait", MEMBER_WAIT}};

/* clang-format on */

static void
get_task(exchange *x)
{
	waiters_get_task(x, x->parameters[0]);
}

/* What of a query is JSON is checked here, so that no piece of it comes into the server's log. */
void
task_routes_find(exchange *x)
{
	const char *payload = x->values[5];

	if (payload != NULL && !cli_scan(payload, strlen(payload), NULL, NULL))
	{
		exchange_error(x, 400, NULL, "the parameter \"payload\" must be JSON", NULL, NULL);
		return;
	}
	x->values[COUNT(find_query)] = x->gateway->hide_payload ? "true" : "false";
	exchange_send(x, &find_statement, exchange_take);
}

/* Whether it is fit to be a header of ours. */
static bool
is_header(const char *text)
{
	const char *c;

	for (c = text; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			return false;
	return c != text;
}

/* The receiver's body is anybody's text: no browser takes it for a page of ours. */
static void
take_response(void *arg, gate_end end, const PGresult *result)
{
	exchange *x = arg;
	const char *type;
	char *bytes;
	size_t len;

	if (exchange_has_failed(x, end, result))
		return;
	if (PQntuples(result) == 0)
	{
		exchange_error(x, 404, NULL, "there is no answer to this task", NULL, NULL);
		return;
	}
	/* libpq's memory is malloc()'s, except on Windows. */
	bytes = (char *) PQunescapeBytea((const unsigned char *) PQgetvalue(result, 0, 2), &len);
	if (bytes == NULL)
	{
		exchange_unavailable(x, "there is no memory");
		return;
	}
	type = PQgetvalue(result, 0, 1);
	http_add(x->http, "X-Taskq-Status", PQgetvalue(result, 0, 0));
	http_add(x->http, "X-Taskq-Truncated", *PQgetvalue(result, 0, 3) == 't' ? "true" : "false");
	http_add(x->http, "X-Taskq-Elapsed", PQgetvalue(result, 0, 4));
	http_add(x->http, "Content-Security-Policy", "default-src 'none'; sandbox");
	http_add(x->http, "Content-Disposition", "attachment");
	http_answer_free(x->http, 200, is_header(type) ? type : HTTP_TYPE_BYTES, bytes, len);
}

static void
respond(exchange *x)
{
	exchange_send(x, &response_statement, take_response);
}

/* clang-format off */

/* ---- change ---------------------------------------------------------------------- */

/* The state before, which the snapshot of the statement shows. */
#define BEFORE "with before as materialized (select state from taskq.results(array[$1::bigint])), "
#define REFUSED \
	"when (select state from before) is null then 404 else 409 end, " \
	"case when (select done from act) then "
#define UNFIT(reason) \
	" when (select state from before) is null then 'there is no such task, or it is not shown " \
	"to this role' " \
	"else " reason " end from act"

static const gate_statement cancel_statement = {"serve_cancel",
	BEFORE "act as materialized (select taskq.cancel($1::bigint, $2) as done from before) "
	"select case when done then case when (select state from before) = 'running' then 202 else "
	"200 end " REFUSED
	"'{\"id\":\"' || $1 || '\",\"state\":\"' || case when (select state from before) = 'running' "
	"then 'cancelling' else 'cancelled' end || '\"}'"
	UNFIT("'the task has ended'"),
	2, 0};

static const gate_statement retry_statement = {"serve_retry",
	BEFORE "act as materialized (select taskq.retry($1::bigint, "
	"coalesce($2::timestamptz, now() + $3::interval)) as done from before) "
	"select case when done then 200 " REFUSED
	"'{\"id\":\"' || $1 || '\",\"state\":\"pending\"}'"
	UNFIT("'the task has not ended, or has finished'"),
	3, 0};

static const gate_statement reschedule_statement = {"serve_reschedule",
	BEFORE "act as materialized (select taskq.reschedule($1::bigint, "
	"coalesce($2::timestamptz, now() + $3::interval), $4::int) as done from before) "
	"select case when done then 200 " REFUSED
	"'{\"id\":\"' || $1 || '\",\"state\":\"pending\"}'"
	UNFIT("'the task is not pending'"),
	4, 0};

static const route_member reason_query[] = {{"reason", MEMBER_TEXT}};
static const route_member retry_members[] = {{"run_at", MEMBER_TEXT}, {"delay", MEMBER_LENGTH}};
static const route_member reschedule_members[] = {
	{"run_at", MEMBER_TEXT}, {"delay", MEMBER_LENGTH}, {"priority", MEMBER_NUMBER}};

/* ---- many ------------------------------------------------------------------------ */

/* At most so many at once; the caller repeats while more is true. */
#define MANY "least(coalesce($3::int, 1000), 1000)"
#define FILTER(name) "$2::jsonb ->> '" name "'"

static const gate_statement redrive_statement = {"serve_redrive",
	"select 200, '{\"done\":' || n || ',\"skipped\":0,\"more\":' || (n >= " MANY ") || '}' "
	"from (select taskq.redrive(" FILTER("queue") ", "
	"coalesce((select array_agg(s)::taskq.state[] from jsonb_array_elements_text($2::jsonb -> "
	"'states') s), '{dead}'), "
	FILTER("kind") ", " FILTER("error") ", (" FILTER("since") ")::timestamptz, "
	"(" FILTER("until") ")::timestamptz, "
	MANY ", coalesce($4::interval, '0')) as n where $1 = 'retry') x",
	4, 0};

/* What bulk would do: so many of those that it looks at. */
#define FOUND(states) \
	"with f as materialized (select id, state, looked_at, next from " \
	"taskq.find_tasks(" FILTER("queue") ", " \
	"coalesce((select array_agg(s)::taskq.state[] from jsonb_array_elements_text($2::jsonb -> " \
	"'states') s), " states "), " \
	FILTER("kind") ", " FILTER("key") ", " FILTER("key_prefix") ", $2::jsonb -> 'payload', " \
	"" FILTER("error") ", " \
	FILTER("class") ", " FILTER("worker") ", (" FILTER("since") ")::timestamptz, " \
	"(" FILTER("until") ")::timestamptz, " \
	MANY "))"

static const gate_statement dry_statement = {"serve_dry_run",
	FOUND("case $1 when 'retry' then '{dead}' else '{pending, running}' end::taskq.state[]")
	" select 200, '{\"would_do\":' || count(id) || ',\"scanned\":' || coalesce(max(looked_at), 0) "
	"|| ',\"more\":' || (count(*) >= " MANY " or coalesce(bool_or(id is null), false)) || '}' "
	"from f",
	3, 0};

static const gate_statement cancel_many_statement = {"serve_cancel_many",
	FOUND("'{pending, running}'::taskq.state[]")
	", c as materialized (select c from taskq.cancel_many(array(select id from f where id is not "
	"null "
	"and state in ('pending', 'running')), $4) as c) "
	"select 200, '{\"done\":' || (select count(*) from c) || ',\"skipped\":' || "
	"((select count(id) from f) - (select count(*) from c)) || ',\"more\":' || "
	"(select count(*) >= " MANY " or coalesce(bool_or(id is null), false) from f) || '}' where "
	"$1 = 'cancel'",
	4, 0};

/* reason is in the place of spread for a cancel. */
static const route_member bulk_members[] = {
	{"action", MEMBER_TEXT}, {"filter", MEMBER_JSON}, {"limit", MEMBER_NUMBER},
	{"spread", MEMBER_LENGTH}, {"reason", MEMBER_TEXT}, {"dry_run", MEMBER_TRUTH}};
/* clang-format on */

/* The members of a filter that an action knows. */
typedef struct Filter
{
	bool cancels;
	bool has_queue;
	bool is_right;
} Filter;

static void
check_filter(void *arg, cli_slice name, cli_slice value)
{
	static const char *const known[] = {"queue", "states", "kind", "error", "since", "until",
										"key", "key_prefix", "payload", "class", "worker"};
	Filter *filter = arg;
	int n = filter->cancels ? COUNT(known) : 6;
	bool found = false;
	int i;

	for (i = 0; i < n; i++)
		found = found || cli_slice_is(name, known[i]);
	filter->is_right = filter->is_right && found;
	if (cli_slice_is(name, "queue"))
		filter->has_queue = *value.text == '"';
}

static void
bulk(exchange *x)
{
	const char *action = x->values[0];
	const char *filter = x->values[1];
	bool cancels = action != NULL && strcmp(action, "cancel") == 0;
	bool dry = x->values[5] != NULL && strcmp(x->values[5], "true") == 0;
	Filter found = {.cancels = cancels, .is_right = true};

	if (!cancels && (action == NULL || strcmp(action, "retry") != 0))
		exchange_error(x, 400, NULL, "action must be retry or cancel", NULL, NULL);
	else if (filter == NULL || *filter != '{' ||
			 !cli_scan(filter, strlen(filter), check_filter, &found) || !found.has_queue)
		exchange_error(x, 400, NULL, "filter must be an object with a queue", NULL, NULL);
	else if (!found.is_right)
		exchange_error(x, 400, NULL, "filter has a member that is not known", NULL,
					   cancels ? "There are queue, states, kind, key, key_prefix, payload, error, "
								 "class, worker, since and until."
							   : "There are queue, states, kind, error, since and until.");
	else if (dry)
		exchange_send(x, &dry_statement, exchange_take);
	else if (cancels)
	{
		x->values[3] = x->values[4];
		exchange_send(x, &cancel_many_statement, exchange_take);
	}
	else
		exchange_send(x, &redrive_statement, exchange_take);
}

/* ---- the table ------------------------------------------------------------------- */

#define QUERY(array) .query = array, .nquery = COUNT(array)
#define BODY(array)  .body = array, .nbody = COUNT(array)

static const route routes[] = {
	{"POST", "/v1/queues/{queue}/tasks", "Submit a task, or a list or lines of tasks",
	 ROUTE_CHANGES | ROUTE_SUBMITS | ROUTE_BATCH, BODY(submit_members), .run = submit_task},
	{"GET", "/v1/tasks", "Search tasks, newest "
						 "first",
	 0, QUERY(find_query), .run = task_routes_find},
	{"GET", "/v1/tasks/{id}", "A task; wait: until it has ended", 0, QUERY(wait_query),
	 .statement = &task_statement, .run = get_task},
	{"GET", "/v1/tasks/{id}/attempts", "Its failed attempts", 0, .statement = &attempts_statement},
	{"GET", "/v1/tasks/{id}/result", "Its state and result", 0, .statement = &result_statement},
	{"GET", "/v1/tasks/{id}/response", "The last HTTP answer to it", 0, .run = respond},
	{"DELETE", "/v1/tasks/{id}", "Cancel a task", ROUTE_CHANGES, QUERY(reason_query),
	 .statement = &cancel_statement},
	{"POST", "/v1/tasks/{id}/retry", "Bring back a task that has ended", ROUTE_CHANGES,
	 BODY(retry_members), .statement = &retry_statement},
	{"POST", "/v1/tasks/{id}/reschedule", "Change when a pending task is due", ROUTE_CHANGES,
	 BODY(reschedule_members), .statement = &reschedule_statement},
	{"POST", "/v1/bulk", "Retry or cancel all tasks that match", ROUTE_CHANGES, BODY(bulk_members),
	 .run = bulk}};

const route_table task_routes = {routes, COUNT(routes)};

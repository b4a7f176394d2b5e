/*
 * miyamoto.c
 *		The API of Miyamoto, a task queue with HTTP at both of its ends.
 *
 * What is submitted is taken apart by a function of the extension, as bytes: nothing of it is
 * changed, and nothing that is malformed comes into the server's log.
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/serve/exchange.h"
#include "cli/serve/miyamoto.h"
#include "cli/serve/query.h"
#include "cli/serve/task_routes.h"
#include "cli/serve/waiters.h"

/* clang-format off */

/* The answers are Miyamoto's, byte for byte. */
static const gate_statement submit_statement = {"serve_miyamoto",
	"select case when error is not null then 400 else 200 end, coalesce(error, "
	"'{\"status\": \"' || case when created then 'scheduled' else 'duplicate' end || '\", "
	"\"id\": \"' || id || '\"}') "
	"from taskq._http_submit($1, $2, $3, $4, $5)",
	5, 1 << 2};

static const gate_statement create_statement = {"serve_create",
	"select 200, '{}' from taskq.create_queue($1, mode => 'push')", 1, 0};

static const gate_statement task_statement = {"serve_miyamoto_task",
	"select 200, '{\"status\": \"' || x.state || '\", ' || substr(row_to_json(x)::text, 2), "
	"'\"' || x.state || '-' || x.attempt || '\"' as \"ETag\" "
	"from (select t.id::text as id, t.queue, t.key, t.kind, t.state, t.priority, t.attempt, "
	"t.max_attempts, t.run_at, "
	"t.submitted_at, t.started_at, t.ended_at, t.method, t.url, t.payload, t.result, t.error "
	"from taskq.tasks t where t.queue = $1 and t.id = $2::bigint) x",
	2, 0};

static const gate_statement cancel_statement = {"serve_miyamoto_cancel",
	"with before as materialized (select r.state from taskq.results(array[$2::bigint]) r), "
	"act as materialized (select taskq.cancel($2::bigint) as done from before where $1::text <> "
	"'') "
	"select case when done then 200 when (select state from before) is null then 404 else 409 end, "
	"case when done then '{\"status\": \"' || case when (select state from before) = 'running' "
	"then 'cancelling' "
	"else 'cancelled' end || '\", \"id\": \"' || $2 || '\"}' "
	"when (select state from before) is null then 'there is no such task, or it is not shown to "
	"this role' "
	"else 'the task has ended' end from act",
	2, 0};

#define LOST "'the lease of task ' || $1 || ' is lost'"
#define SAYS(state) "'{\"status\": \"' || " state " || '\", \"id\": \"' || $1 || '\"}'"

static const gate_statement ack_statement = {"serve_ack",
	"select case when done then 200 else 409 end, case when done then " SAYS("'finished'") " "
	"else " LOST " end "
	"from (select taskq.finish($1::bigint, $2::bigint) as done) x",
	2, 0};
static const gate_statement nack_statement = {"serve_nack",
	"select case when state is not null then 200 else 409 end, coalesce(" SAYS("state") ", "
	"" LOST ") "
	"from (select taskq.fail($1::bigint, $2::bigint, coalesce($3, 'nack')) as state) x",
	3, 0};
static const gate_statement keepalive_statement = {"serve_keepalive",
	"select case when x.lease_until is not null then 200 else 409 end, "
	"case when x.lease_until is not null then " SAYS("'running'") " else " LOST " end "
	"from (select 1) one left join taskq.heartbeat($1::bigint, $2::bigint) x on true",
	2, 0};
/* clang-format on */

/* ---- submit ---------------------------------------------------------------------- */

static bool
is_json(const exchange *x)
{
	const char *text = x->http->body.len > 0 ? x->http->body.data : "";

	return text[strspn(text, " \t\r\n")] == '{';
}

static bool
is_form(const char *type)
{
	size_t len = type != NULL ? strcspn(type, "; \t") : 0;

	return type == NULL ||
		   (len == strlen(HTTP_TYPE_FORM) && strncasecmp(type, HTTP_TYPE_FORM, len) == 0);
}

static void take_created(void *arg, gate_end end, const PGresult *result);

static bool
is_sqlstate(gate_end end, const PGresult *result, const char *code)
{
	const char *got = end == GATE_ERROR ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;

	return got != NULL && strcmp(got, code) == 0;
}

static void
take_submitted(void *arg, gate_end end, const PGresult *result)
{
	exchange *x = arg;

	if (is_sqlstate(end, result, "TQ001") && x->gateway->create_queues)
		exchange_send(x, &create_statement, take_created);
	else
		exchange_take(x, end, result);
}

/* Another request may have made the queue at the same time. */
static void
take_created(void *arg, gate_end end, const PGresult *result)
{
	exchange *x = arg;

	if (end == GATE_DONE || is_sqlstate(end, result, "TQ002"))
		exchange_send(x, &submit_statement, exchange_take);
	else
		exchange_take(x, end, result);
}

static void
submit_body(exchange *x)
{
	const char *type = http_header(x->http, "Content-Type");

	if (!is_json(x) && !is_form(type))
	{
		exchange_error(x, 415, NULL, "the body must be a form or JSON", NULL, NULL);
		return;
	}
	x->values[1] = type != NULL ? type : HTTP_TYPE_FORM;
	x->values[2] = x->http->body.len > 0 ? x->http->body.data : "";
	x->values[3] = http_header(x->http, "Idempotency-Key");
	x->values[4] = exchange_trace(x);
	exchange_send(x, &submit_statement, take_submitted);
}

/* ---- look ------------------------------------------------------------------------ */

static void
get_task(exchange *x)
{
	waiters_get_task(x, x->parameters[1]);
}

/* ---- the worker's later word ----------------------------------------------------- */

/* A field of a form; copied, decoded. */
typedef struct Field
{
	exchange *x;
	const char *name;
	const char *value;
} Field;

static void
take_field(void *arg, cli_slice name, cli_slice value)
{
	Field *field = arg;
	char *text = value.text != NULL ? http_alloc(field->x->http, value.len + 1) : NULL;

	if (cli_slice_is(name, field->name) && text != NULL &&
		query_decode(value.text, value.len, true, text))
		field->value = text;
}

static const char *
form_field(exchange *x, const char *name)
{
	Field field = {x, name, NULL};

	if (x->http->body.len > 0)
		query_split(x->http->body.data, take_field, &field);
	return field.value;
}

/* The token may stand in the query, the form or a header. */
static void
report(exchange *x)
{
	const char *token = x->values[2];
	const char *error = x->values[3];

	if (token == NULL)
		token = http_header(x->http, "X-Task-Token");
	if (token == NULL)
		token = form_field(x, "token");
	if (error == NULL)
		error = form_field(x, "error");
	if (token == NULL || *token == '\0' || strspn(token, "-0123456789") != strlen(token))
	{
		exchange_error(x, 400, NULL, "the token of the task is missing", NULL,
					   "It may stand in the query, the form, or the header X-Task-Token.");
		return;
	}
	x->values[0] = x->parameters[1];
	x->values[1] = token;
	x->values[2] = error;
	exchange_send(x, x->route->statement, exchange_take);
}

/* ---- the table ------------------------------------------------------------------- */

static const route_member wait_query[] = {{"wait", MEMBER_WAIT}};
static const route_member report_query[] = {{"token", MEMBER_ID}, {"error", MEMBER_TEXT}};

#define QUERY(array) .query = array, .nquery = COUNT(array)
#define REPORT       ROUTE_MIYAMOTO | ROUTE_CHANGES | ROUTE_RAW | ROUTE_LEASE

static const route routes[] = {
	{"POST", "/{queue}", "Miyamoto: submit a request", ROUTE_MIYAMOTO | ROUTE_CHANGES | ROUTE_RAW,
	 .run = submit_body},
	{"GET", "/{queue}", "Miyamoto: the newest tasks", ROUTE_MIYAMOTO, .run = task_routes_find},
	{"GET", "/{queue}/{id}", "Miyamoto: a task", ROUTE_MIYAMOTO, QUERY(wait_query),
	 .statement = &task_statement, .run = get_task},
	{"DELETE", "/{queue}/{id}", "Miyamoto: cancel a task", ROUTE_MIYAMOTO | ROUTE_CHANGES,
	 .statement = &cancel_statement},
	{"POST", "/{queue}/{id}/ack", "Miyamoto: a task is done", REPORT, QUERY(report_query),
	 .statement = &ack_statement, .run = report},
	{"POST", "/{queue}/{id}/nack", "Miyamoto: an attempt has failed", REPORT, QUERY(report_query),
	 .statement = &nack_statement, .run = report},
	{"POST", "/{queue}/{id}/keepalive", "Miyamoto: extend a lease", REPORT, QUERY(report_query),
	 .statement = &keepalive_statement, .run = report}};

const route_table miyamoto_routes = {routes, COUNT(routes)};

/*
 * own_routes.c
 *		Routes of the gateway itself: whether it works, who one is, which routes there are.
 *
 * Whether the database answers is asked with a limit of its own.  A request that has been answered
 * is gone, but its statement may still be under way, so that belongs to an object of this file.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/serve/exchange.h"
#include "cli/serve/metrics_route.h"
#include "cli/serve/own_routes.h"
#include "cli/serve/stats.h"
#include "core/clock.h"

#define READY_MS 2000

/* clang-format off */

static const gate_statement alive_statement = {"serve_alive", "select true, null", 0, 0};
/* Anybody may ask, so it names the checks and tells no details. */
static const gate_statement strict_statement = {"serve_strict",
	"select bool_and(ok), string_agg(\"check\", ', ') filter (where not ok) "
	"from taskq.status()", 0, 0};

static const gate_statement whoami_statement = {"serve_whoami",
	"select 200, json_build_object('name', $1::text, 'role', current_user, 'anonymous', "
	"$2::boolean, 'ui', $3::boolean, "
	"'hide_payload', $4::boolean, 'version', $5::text, 'database', current_database(), "
	"'privileges', json_build_object("
	"'submit', pg_has_role('taskq_submitter', 'usage') or pg_has_role('taskq_admin', 'usage'), "
	"'work', pg_has_role('taskq_worker', 'usage') or pg_has_role('taskq_admin', 'usage'), "
	"'view', pg_has_role('taskq_reader', 'usage') or pg_has_role('taskq_admin', 'usage'), "
	"'control', pg_has_role('taskq_admin', 'usage'), 'admin', pg_has_role('taskq_admin', "
	"'usage')), "
	"'queues', coalesce((select json_object_agg(p.queue, p.privileges) from "
	"taskq._own_privileges() p), '{}'))::text",
	5, 0};
/* clang-format on */

/* ---- is it ready ----------------------------------------------------------------- */

typedef struct Question
{
	struct Question *next;
	gate_call call;
	exchange *x; /* NULL: it has been answered */
	int64_t until_ms;
} Question;

static Question *questions;

static void
forget_question(Question *q)
{
	Question **at = &questions;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	free(q);
}

static void
take_ready(void *arg, gate_end end, const PGresult *result)
{
	static const char yes[] = "{\"ready\":true}\n";
	Question *q = arg;
	exchange *x = q->x;

	forget_question(q);
	if (x == NULL || exchange_has_failed(x, end, result))
		return;
	if (*PQgetvalue(result, 0, 0) == 't')
		exchange_json(x, 200, yes, strlen(yes));
	else
		exchange_error(x, 503, NULL, "a check fails", PQgetvalue(result, 0, 1), NULL);
}

void
own_routes_step(void)
{
	Question *q;

	for (q = questions; q != NULL; q = q->next)
		if (q->x != NULL && tq_clock_ms() >= q->until_ms)
		{
			exchange_unavailable(q->x, "the database does not answer within 2 s");
			q->x = NULL;
		}
}

int64_t
own_routes_timeout(void)
{
	const Question *q;
	int64_t until = -1;

	for (q = questions; q != NULL; q = q->next)
		if (q->x != NULL && (until < 0 || q->until_ms < until))
			until = q->until_ms;
	return until < 0 ? -1 : tq_later(until - tq_clock_ms(), 0);
}

static bool
is_strict(const exchange *x)
{
	return x->http->query != NULL && strncmp(x->http->query, "strict", 6) == 0;
}

static void
tell_ready(exchange *x)
{
	Question *q = calloc(1, sizeof(*q));

	if (q == NULL)
	{
		exchange_unavailable(x, "there is no memory");
		return;
	}
	q->x = x;
	q->until_ms = tq_clock_ms() + READY_MS;
	q->next = questions;
	questions = q;
	q->call = (gate_call){.statement = is_strict(x) ? &strict_statement : &alive_statement,
						  .role = is_strict(x) ? x->gateway->reader : "none",
						  .application = "taskq serve",
						  .take = take_ready,
						  .arg = q};
	if (gate_send(x->gateway->gate, &q->call))
		return;
	forget_question(q);
	exchange_reject(x, REJECTED_QUEUED, 503, "too many requests wait for the database", NULL);
}

static void
tell_health(exchange *x)
{
	static const char text[] = "{\"alive\":true}\n";

	exchange_json(x, 200, text, strlen(text));
}

/* ---- who ------------------------------------------------------------------------- */

static const char *
truth(bool value)
{
	return value ? "true" : "false";
}

static void
tell_who(exchange *x)
{
	x->values[0] = x->name;
	x->values[1] = truth(x->kind == AUTH_ANONYMOUS);
	x->values[2] = truth(x->ui);
	x->values[3] = truth(x->gateway->hide_payload);
	x->values[4] = TASKQ_VERSION;
	exchange_send(x, &whoami_statement, exchange_take);
}

/* ---- which routes there are ------------------------------------------------------ */

/* What a member is in JSON Schema. */
static const char *const schemas[] = {
	[MEMBER_TEXT] = "{\"type\":\"string\"}",
	[MEMBER_NUMBER] = "{\"type\":\"number\"}",
	[MEMBER_LENGTH] = "{\"type\":[\"number\",\"string\"],\"description\":\"seconds, or as "
					  "PostgreSQL "
					  "has it: 90 s\"}",
	[MEMBER_TRUTH] = "{\"type\":\"boolean\"}",
	[MEMBER_JSON] = "{}",
	[MEMBER_ID] = "{\"type\":\"string\",\"pattern\":\"^-?[0-9]+$\"}",
	[MEMBER_WAIT] = "{\"type\":\"number\",\"minimum\":0,\"maximum\":60}"};

static void
add_parameter(tq_buffer *b, cli_slice name, const char *place, const char *schema)
{
	if (b->data[b->len - 1] == '}')
		exchange_append(b, ",");
	exchange_append(b, "{\"name\":\"");
	(void) tq_buffer_append(b, name.text, name.len);
	exchange_append(b, "\",\"in\":\"");
	exchange_append(b, place);
	exchange_append(b, strcmp(place, "path") == 0 ? "\",\"required\":true" : "\"");
	exchange_append(b, ",\"schema\":");
	exchange_append(b, schema);
	exchange_append(b, "}");
}

static void
add_parameters(tq_buffer *b, const route *r)
{
	const char *at = r->path;
	int i;

	exchange_append(b, ",\"parameters\":[");
	while ((at = strchr(at, '{')) != NULL)
	{
		cli_slice name = {at + 1, strcspn(at + 1, "}")};

		add_parameter(b, name, "path", schemas[MEMBER_TEXT]);
		at += name.len;
	}
	for (i = 0; i < r->nquery; i++)
		add_parameter(b, (cli_slice){r->query[i].name, strlen(r->query[i].name)}, "query",
					  schemas[r->query[i].kind]);
	exchange_append(b, "]");
}

static void
add_body(tq_buffer *b, const route *r)
{
	int i;

	if (r->nbody == 0)
		return;
	exchange_append(b, ",\"requestBody\":{\"content\":{\"application/json\":{\"schema\":"
					   "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
	for (i = 0; i < r->nbody; i++)
	{
		exchange_append(b, i > 0 ? "," : "");
		exchange_quote(b, r->body[i].name);
		exchange_append(b, ":");
		exchange_append(b, schemas[r->body[i].kind]);
	}
	exchange_append(b, "}}}}}");
}

static void
add_route(tq_buffer *b, const route *r, bool first)
{
	const char *c;

	exchange_append(b, first ? "\"" : ",\"");
	for (c = r->method; *c != '\0'; c++)
		(void) tq_buffer_append(b, (char[]){(char) (*c | 0x20)}, 1);
	exchange_append(b, "\":{\"summary\":");
	exchange_quote(b, r->about);
	if ((r->flags & ROUTE_PUBLIC) != 0)
		exchange_append(b, ",\"security\":[]");
	add_parameters(b, r);
	add_body(b, r);
	exchange_append(b, ",\"responses\":{\"default\":{\"description\":\"JSON; an error has "
					   "status, reason, "
					   "and perhaps code, detail and hint\"}}}");
}

/* The methods of a path, at the first row that has it. */
static void
add_path(tq_buffer *b, const route_table *tables, int ntables, const route *wanted, bool first_path)
{
	bool first = true;
	int i;
	int j;

	exchange_append(b, first_path ? "" : ",");
	exchange_quote(b, wanted->path);
	exchange_append(b, ":{");
	for (i = 0; i < ntables; i++)
		for (j = 0; j < tables[i].n; j++)
			if (strcmp(tables[i].routes[j].path, wanted->path) == 0)
			{
				add_route(b, &tables[i].routes[j], first);
				first = false;
			}
	exchange_append(b, "}");
}

static bool
is_first_of_path(const route_table *tables, int ntables, const route *wanted)
{
	int i;
	int j;

	for (i = 0; i < ntables; i++)
		for (j = 0; j < tables[i].n; j++)
			if (strcmp(tables[i].routes[j].path, wanted->path) == 0)
				return &tables[i].routes[j] == wanted;
	return false;
}

static void
tell_routes(exchange *x)
{
	int ntables;
	const route_table *tables = route_tables(&ntables);
	bool first = true;
	tq_buffer b;
	int i;
	int j;

	tq_buffer_init(&b, INT_MAX);
	exchange_append(&b, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"taskq\",\"version\":");
	exchange_quote(&b, TASKQ_VERSION);
	exchange_append(&b, "},\"components\":{\"securitySchemes\":{\"token\":{\"type\":\"http\","
						"\"scheme\":\"bearer\"}}},\"security\":[{\"token\":[]}],\"paths\":{");
	for (i = 0; i < ntables; i++)
		for (j = 0; j < tables[i].n; j++)
			if (is_first_of_path(tables, ntables, &tables[i].routes[j]))
			{
				add_path(&b, tables, ntables, &tables[i].routes[j], first);
				first = false;
			}
	exchange_append(&b, "}}");
	exchange_buffer(x, 200, &b);
}

/* ---- the table ------------------------------------------------------------------- */

static const route_member stats_query[] = {
	{"window", MEMBER_NUMBER}, {"queue", MEMBER_TEXT}, {"after", MEMBER_ID}};
static const route_member ready_query[] = {{"strict", MEMBER_TEXT}};

static const route routes[] = {
	{"GET", "/healthz", "Whether this process works", ROUTE_PUBLIC, .run = tell_health},
	{"GET", "/readyz", "Whether the database answers; strict: and all is "
					   "well",
	 ROUTE_PUBLIC | ROUTE_RAW,
	 .query = ready_query, .nquery = COUNT(ready_query), .run = tell_ready},
	{"GET", "/metrics", "What Prometheus collects", 0, .run = metrics_route_tell},
	{"GET", "/v1/whoami", "Which role the token is, and what it may do", 0, .run = tell_who},
	{"GET", "/v1/stats", "Numbers of the queues, and how they were", 0, .query = stats_query,
	 .nquery = COUNT(stats_query), .run = stats_tell},
	{"GET", "/v1/openapi.json", "These routes", 0, .run = tell_routes}};

const route_table own_routes = {routes, COUNT(routes)};

/*
 * exchange.c
 *		A request and its answer: who asks, which route it is, and what the database says.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/serve/exchange.h"
#include "cli/serve/members.h"
#include "cli/serve/metrics_route.h"
#include "cli/serve/query.h"
#include "cli/serve/rejected.h"
#include "cli/worklog.h"
#include "client/json.h"
#include "core/clock.h"
#include "core/trace.h"

#define MAX_BATCH_BYTES (16 << 20)
#define MAX_RAW_BYTES   65536 /* of a body that is not for the database */

/* ---- texts ----------------------------------------------------------------------- */

void
exchange_append(tq_buffer *b, const char *text)
{
	(void) tq_buffer_append(b, text, strlen(text));
}

void
exchange_quote(tq_buffer *b, const char *text)
{
	char *quoted = tq_json_bytes(text, strlen(text));

	if (quoted == NULL)
		b->overflowed = true;
	else
		exchange_append(b, quoted);
	free(quoted);
}

static void
append_member(tq_buffer *b, const char *name, const char *value)
{
	if (value == NULL || *value == '\0')
		return;
	exchange_append(b, ",\"");
	exchange_append(b, name);
	exchange_append(b, "\":");
	exchange_quote(b, value);
}

/* ---- answers --------------------------------------------------------------------- */

void
exchange_json(exchange *x, int status, const char *json, size_t len)
{
	http_answer(x->http, status, HTTP_TYPE_JSON, json, len);
}

/* Each ends with a line feed, for those who look at it in a terminal. */
static void
answer_buffer(http_request *r, int status, tq_buffer *json)
{
	char *text;
	size_t len;

	exchange_append(json, "\n");
	if (json->overflowed)
	{
		tq_buffer_free(json);
		http_answer_static(r, 500, NULL, "", 0);
		return;
	}
	text = tq_buffer_steal(json, &len);
	http_answer_free(r, status, HTTP_TYPE_JSON, text, len);
}

void
exchange_buffer(exchange *x, int status, tq_buffer *json)
{
	answer_buffer(x->http, status, json);
}

static void
answer_error(http_request *r, int status, const char *code, const char *reason, const char *detail,
			 const char *hint)
{
	tq_buffer json;

	tq_buffer_init(&json, INT_MAX);
	exchange_append(&json, "{\"status\":\"error\"");
	append_member(&json, "code", code);
	append_member(&json, "reason", reason);
	append_member(&json, "detail", detail);
	append_member(&json, "hint", hint);
	exchange_append(&json, "}");
	if (status == 503 || status == 429)
		http_add(r, "Retry-After", "1");
	if (status == 401)
		http_add(r, "WWW-Authenticate", "Bearer");
	answer_buffer(r, status, &json);
}

void
exchange_error(exchange *x, int status, const char *code, const char *reason, const char *detail,
			   const char *hint)
{
	answer_error(x->http, status, code, reason, detail, hint);
}

void
exchange_refuse(http_request *r, int status, const char *reason, const char *hint)
{
	answer_error(r, status, NULL, reason, NULL, hint);
}

void
exchange_unavailable(exchange *x, const char *reason)
{
	exchange_error(x, 503, NULL, reason, NULL, NULL);
}

void
exchange_reject(exchange *x, rejection why, int status, const char *reason, const char *hint)
{
	rejected_count(why);
	exchange_error(x, status, NULL, reason, NULL, hint);
}

/* ---- what the database says ------------------------------------------------------ */

/* The first entry that the SQLSTATE begins with. */
/* clang-format off */
static const struct
{
	const char *code;
	int status;
} statuses[] = {
	{"TQ001", 404}, {"TQ010", 404}, {"TQ002", 409}, {"TQ003", 409},
	{"TQ005", 409}, {"TQ009", 409}, {"TQ004", 400}, {"TQ008", 400},
	{"TQ006", 413}, {"TQ007", 403}, {"42501", 403}, {"54000", 413},
	{"25006", 503}, {"57014", 503}, {"57P0", 503}, {"55P03", 503},
	{"08", 503}, {"53", 503}, {"22", 400}, {"23", 400}};
/* clang-format on */

static int
status_of_code(const char *code)
{
	int i;

	for (i = 0; i < COUNT(statuses); i++)
		if (strncmp(code, statuses[i].code, strlen(statuses[i].code)) == 0)
			return statuses[i].status;
	return 500;
}

static void
answer_sql_error(exchange *x, const PGresult *result)
{
	const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	int status = status_of_code(code != NULL ? code : "");

	if (status == 403 && x->kind == AUTH_ANONYMOUS)
		status = 401;
	if (status != 500)
	{
		exchange_error(x, status, code, message,
					   PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL),
					   PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
		return;
	}
	cli_log(NULL, "%s %s failed: SQLSTATE %s", x->route->method, x->route->path,
			code != NULL ? code : "none");
	exchange_error(x, 500, code, "the database reports an error that is not expected", NULL,
				   "The log of the server says more.");
}

static void
answer_unknown(exchange *x)
{
	static const char text[] =
		"{\"status\":\"error\",\"reason\":\"the connection to the database was lost\","
		"\"unknown\":true,\"hint\":\"It may have been done.  With an Idempotency-Key a submit "
		"can be "
		"repeated.\"}\n";

	exchange_json(x, 504, text, strlen(text));
}

bool
exchange_has_failed(exchange *x, gate_end end, const PGresult *result)
{
	if (end == GATE_DONE)
		return false;
	if (end == GATE_ERROR)
		answer_sql_error(x, result);
	else if (end == GATE_UNKNOWN)
		answer_unknown(x);
	else
		exchange_unavailable(x, "there is no connection to the database");
	return true;
}

static const char *
text_at(const PGresult *result, int column)
{
	return column < PQnfields(result) && !PQgetisnull(result, 0, column)
			   ? PQgetvalue(result, 0, column)
			   : NULL;
}

static bool
is_known_already(const exchange *x, int status, const char *etag)
{
	const char *known = http_header(x->http, "If-None-Match");

	return status == 200 && etag != NULL && known != NULL && strcmp(known, etag) == 0;
}

static void
answer_row(exchange *x, const PGresult *result)
{
	int status = atoi(PQgetvalue(result, 0, 0));
	const char *body = text_at(result, 1);
	tq_buffer json;
	int i;

	if (status >= 400)
	{
		bool lost = (x->route->flags & ROUTE_LEASE) != 0 && status == 409;

		exchange_error(x, status, lost ? "lost" : NULL, body, NULL, NULL);
		return;
	}
	for (i = 2; i < PQnfields(result); i++)
		if (text_at(result, i) != NULL)
			http_add(x->http, PQfname(result, i), text_at(result, i));
	i = PQfnumber(result, "\"ETag\"");
	if (i >= 0 && is_known_already(x, status, text_at(result, i)))
		status = 304;
	if (body == NULL || status == 304)
	{
		http_answer_static(x->http, status, NULL, "", 0);
		return;
	}
	tq_buffer_init(&json, INT_MAX);
	exchange_append(&json, body);
	exchange_buffer(x, status, &json);
}

void
exchange_take(void *arg, gate_end end, const PGresult *result)
{
	exchange *x = arg;

	if (exchange_has_failed(x, end, result))
		return;
	if (PQntuples(result) == 0)
		exchange_error(x, 404, NULL, "there is no such task, or it is not shown to this role", NULL,
					   NULL);
	else
		answer_row(x, result);
}

void
exchange_send(exchange *x, const gate_statement *statement, gate_taker *take)
{
	int i;

	x->call = (gate_call){.statement = statement,
						  .role = x->role,
						  .application = "taskq serve",
						  .take = take,
						  .arg = x};
	for (i = 0; i < statement->nvalues; i++)
	{
		x->call.values[i] = x->values[i];
		/* Bytes are the body as it came. */
		if ((statement->binary >> i & 1) != 0)
			x->call.lengths[i] = (int) x->http->body.len;
	}
	if (!gate_send(x->gateway->gate, &x->call))
		exchange_reject(x, REJECTED_QUEUED, 503, "too many requests wait for the database", NULL);
}

/* ---- a request begins ------------------------------------------------------------ */

/* False: it was answered. */
static bool
find_route(exchange *x)
{
	http_request *r = x->http;
	route_match match = route_find(r->method, r->path);
	int i;

	x->route = match.route;
	if (match.allowed[0] == '\0')
	{
		exchange_error(x, 404, NULL, "there is nothing at this path", NULL, NULL);
		return false;
	}
	if (x->route == NULL)
	{
		http_add(r, "Allow", match.allowed);
		if (strcmp(r->method, "OPTIONS") == 0)
			http_answer_static(r, 204, NULL, "", 0);
		else
			exchange_error(x, 405, NULL, "this path does not know the method", match.allowed, NULL);
		return false;
	}
	for (i = 0; i < ROUTE_MAX_PARAMETERS && match.parameters[i].text != NULL; i++)
	{
		char *decoded = http_alloc(r, match.parameters[i].len + 1);

		if (decoded == NULL || !query_decode(match.parameters[i].text, match.parameters[i].len,
											 false, decoded))
		{
			exchange_error(x, 400, NULL, "the path is not valid", NULL, NULL);
			return false;
		}
		x->parameters[i] = decoded;
	}
	return true;
}

/* Browsers tell which page has made a request; other programs do not. */
static bool
is_from_other_site(const http_request *r)
{
	const char *site = http_header(r, "Sec-Fetch-Site");

	return site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
}

/* A page of another site cannot set this header without a preflight, which is never allowed. */
static bool
has_mark(const http_request *r)
{
	const char *mark = http_header(r, "X-Taskq");

	return mark != NULL && strcmp(mark, "1") == 0;
}

/*
 * Whether the request is for an address or for localhost.  Any other name may be one of somebody's
 * page, made to mean this machine after the page was loaded: a browser believes that the request
 * goes to where the page is from.
 */
static bool
is_own_name(const http_request *r)
{
	const char *host = http_header(r, "Host");
	size_t len;

	if (host == NULL || *host == '[')
		return true;
	len = strcspn(host, ":");
	return strspn(host, "0123456789.") >= len ||
		   (len == strlen("localhost") && strncasecmp(host, "localhost", len) == 0);
}

static void
refuse_as_forged(exchange *x, const char *reason, const char *hint)
{
	exchange_reject(x, REJECTED_FORGERY, 403, reason, hint);
}

/*
 * Who did not show a token may be somebody whose browser was told to send the request.  Browsers
 * tell the site only to servers that they take for secure, but the origin of each change.
 */
static void
refuse_forgery(exchange *x)
{
	if (x->kind == AUTH_ANONYMOUS && http_is_direct(x->http) && !is_own_name(x->http))
		refuse_as_forged(x, "without a token, the gateway has no name but localhost",
						 "Ask localhost or its address.");
	if (x->http->status != 0 || (x->route->flags & ROUTE_CHANGES) == 0 || x->kind == AUTH_TOKEN)
		return;
	if (is_from_other_site(x->http))
		refuse_as_forged(x, "the request comes from a page of another site", NULL);
	else if (x->kind == AUTH_COOKIE && !has_mark(x->http))
		refuse_as_forged(x, "a request by cookie needs the header X-Taskq: 1", NULL);
	else if (http_header(x->http, "Origin") != NULL && !has_mark(x->http))
		refuse_as_forged(x, "a request of a page needs the header X-Taskq: 1", NULL);
}

static void
find_out_who(exchange *x)
{
	auth_who who = auth_ask(x->gateway->auth, x->http);

	x->kind = who.kind;
	x->ui = who.ui;
	x->name = http_copy(x->http, who.name, strlen(who.name));
	x->role = http_copy(x->http, who.role, strlen(who.role));
	if (who.kind == AUTH_TOO_MANY)
		exchange_reject(x, REJECTED_GUESSING, 429, "too many wrong tokens came from this address",
						NULL);
	else if (who.kind == AUTH_REFUSED)
		exchange_reject(x, REJECTED_TOKEN, 401, "the token is wrong or has expired", NULL);
	else if (who.kind == AUTH_NOBODY)
		exchange_reject(x, REJECTED_TOKEN, 401, "a token is needed",
						"Send the header Authorization: Bearer TOKEN.");
	else if (x->name == NULL || x->role == NULL)
		exchange_unavailable(x, "there is no memory");
	else
		refuse_forgery(x);
}

size_t
exchange_begin(void *arg, http_request *r)
{
	exchange *x = calloc(1, sizeof(*x));
	gateway *g = arg;

	if (x == NULL)
	{
		http_answer_static(r, 503, NULL, "", 0);
		return 0;
	}
	r->owner = x;
	x->gateway = g;
	x->http = r;
	if (strcmp(r->path, "*") == 0)
		http_answer_static(r, 204, NULL, "", 0);
	else if (g->stopping)
		exchange_reject(x, REJECTED_STOPPING, 503, "the gateway stops", NULL);
	else if (find_route(x) && (x->route->flags & ROUTE_PUBLIC) == 0)
		find_out_who(x);
	if (r->status != 0 || strcmp(r->method, "GET") == 0)
		return 0;
	if ((x->route->flags & ROUTE_BATCH) != 0)
		return MAX_BATCH_BYTES;
	return (x->route->flags & ROUTE_PUBLIC) != 0 ? MAX_RAW_BYTES : g->max_payload;
}

const char *
exchange_trace(const exchange *x)
{
	const char *trace = http_header(x->http, "traceparent");

	return trace != NULL && tq_trace_invalid(trace) == NULL ? trace : NULL;
}

static void
set_member(exchange *x, const char *name, const char *value)
{
	int first = x->nvalues - x->route->nbody;
	int i;

	for (i = 0; i < x->route->nbody; i++)
		if (strcmp(x->route->body[i].name, name) == 0)
			x->values[first + i] = value;
}

/* Idempotency-Key is the key of the task, and traceparent its trace, as the body may tell, too. */
static bool
take_headers(exchange *x)
{
	const char *given = http_header(x->http, "Idempotency-Key");
	const char *key = members_value(x, "key");
	const char *fault = NULL;

	if ((x->route->flags & ROUTE_SUBMITS) == 0)
		return true;
	if (members_is_batch(x))
	{
		fault = given != NULL ? "a batch has no Idempotency-Key" : NULL;
		/* Of all its tasks; behind the list. */
		x->values[2] = exchange_trace(x);
	}
	else
	{
		fault = given != NULL && key != NULL && strcmp(key, given) != 0
					? "key and Idempotency-Key differ"
					: NULL;
		if (given != NULL)
			set_member(x, "key", given);
		if (members_value(x, "trace") == NULL)
			set_member(x, "trace", exchange_trace(x));
	}
	if (fault != NULL)
		exchange_error(x, 400, NULL, fault, NULL, NULL);
	return fault == NULL;
}

void
exchange_handle(void *arg, http_request *r)
{
	exchange *x = r->owner;

	(void) arg;
	if (!members_read(x) || !take_headers(x))
		return;
	if (x->route->run != NULL)
		x->route->run(x);
	else
		exchange_send(x, x->route->statement, exchange_take);
}

void
exchange_end(void *arg, http_request *r)
{
	exchange *x = r->owner;

	(void) arg;
	if (x == NULL)
		return;
	metrics_route_count(x);
	/* That nothing came is no change. */
	if (x->route != NULL && (x->route->flags & ROUTE_CHANGES) != 0 && r->status != 204)
		cli_log_at(LOG_USUAL, NULL, "%s %s %s %s %s %d %lld ms", r->address,
				   x->name != NULL && *x->name != '\0' ? x->name : "-",
				   x->role != NULL && *x->role != '\0' ? x->role : "-", x->route->method, r->path,
				   r->status, (long long) (tq_clock_ms() - r->arrived_ms));
	free(x);
	r->owner = NULL;
}

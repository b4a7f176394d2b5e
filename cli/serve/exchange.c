/*
 * exchange.c
 *		A request and its answer: statements, and what the database says to them.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/serve/exchange.h"
#include "cli/serve/rejected.h"
#include "cli/worklog.h"
#include "client/json.h"
#include "core/clock.h"
#include "core/trace.h"

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
	{"TQ011", 410}, {"TQ006", 413}, {"TQ007", 403}, {"42501", 403}, {"54000", 413},
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

const char *
exchange_trace(const exchange *x)
{
	const char *trace = http_header(x->http, "traceparent");

	return trace != NULL && tq_trace_invalid(trace) == NULL ? trace : NULL;
}

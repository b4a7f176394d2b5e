/*
 * metrics_route.c
 *		GET /metrics: what Prometheus collects, of the database and of this process.
 *
 * If the database cannot be asked, taskq_up is 0 and what it would have said is left out; the
 * answer is there all the same, so that this is told from a gateway that is down.
 */
#include <limits.h>
#include <string.h>

#include "cli/metrics.h"
#include "cli/serve/counts.h"
#include "cli/serve/metrics_route.h"
#include "cli/serve/waiters.h"

static const gate_statement metrics_statement = {
	"serve_metrics", "select name, type, help, labels, value from taskq.metrics()", 0, 0};

static void
add_own(cli_exposition *e, const gateway *g)
{
	counts_tell_one(e, "taskq_gateway_connections", "gauge", "Requests that are not at their end.",
					"{}", http_count(g->http));
	counts_tell_one(e, "taskq_gateway_waiting", "gauge",
					"Requests that wait for a task or its end.", "{}", waiters_count(g->waiters));
	counts_tell_one(e, "taskq_gateway_queued", "gauge", "Requests that wait for the database.",
					"{}", gate_queued(g->gate));
	counts_tell(e);
}

static bool
wants_openmetrics(const exchange *x)
{
	const char *accept = http_header(x->http, "Accept");

	return accept != NULL && strstr(accept, "application/openmetrics-text") != NULL;
}

/* A role that may not see them is refused; any other failure means that taskq_up is 0. */
static void
take_metrics(void *arg, gate_end end, const PGresult *result)
{
	exchange *x = arg;
	const char *code = end == GATE_ERROR ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	bool openmetrics = wants_openmetrics(x);
	cli_exposition e;
	tq_buffer out;
	char *text;
	size_t len;

	if (code != NULL && strcmp(code, "42501") == 0)
	{
		(void) exchange_has_failed(x, end, result);
		return;
	}
	tq_buffer_init(&out, INT_MAX);
	cli_exposition_begin(&e, &out, openmetrics);
	counts_tell_one(&e, "taskq_up", "gauge", "Whether the database could be asked.", "{}",
					end == GATE_DONE ? 1 : 0);
	if (end == GATE_DONE)
		cli_metrics_add(&e, result);
	add_own(&e, x->gateway);
	cli_exposition_end(&e);
	if (out.overflowed)
	{
		tq_buffer_free(&out);
		exchange_unavailable(x, "there is no memory");
		return;
	}
	text = tq_buffer_steal(&out, &len);
	http_answer_free(x->http, 200, cli_exposition_type(openmetrics), text, len);
}

void
metrics_route_tell(exchange *x)
{
	exchange_send(x, &metrics_statement, take_metrics);
}

/*
 * metrics_route.c
 *		GET /metrics: what Prometheus collects, of the database and of this process.
 *
 * If the database cannot be asked, taskq_up is 0 and what it would have said is left out; the
 * answer is there all the same, so that this is told from a gateway that is down.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/metrics.h"
#include "cli/serve/metrics_route.h"
#include "cli/serve/waiters.h"
#include "core/clock.h"

#define MAX_SERIES 512
#define MAX_LABELS 300

static const gate_statement metrics_statement = {
	"serve_metrics", "select name, type, help, labels, value from taskq.metrics()", 0, 0};

/* Answers of a route with a status. */
typedef struct Counter
{
	const route *route;
	int status;
	unsigned long long n;
} Counter;

/* How long the answers of a route took; waiting is part of it. */
typedef struct Times
{
	const route *route;
	unsigned long long buckets[8];
	unsigned long long n;
	double sum_s;
} Times;

static const double bounds_s[] = {0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60};

static Counter counters[MAX_SERIES];
static int ncounters;
static Times times[MAX_SERIES];
static int ntimes;

/* ---- counting -------------------------------------------------------------------------- */

static void
count_status(const route *r, int status)
{
	int i = 0;

	while (i < ncounters && (counters[i].route != r || counters[i].status != status))
		i++;
	if (i == MAX_SERIES)
		return;
	if (i == ncounters)
		counters[ncounters++] = (Counter){r, status, 0};
	counters[i].n++;
}

static void
count_time(const route *r, double seconds)
{
	int i = 0;
	int j;

	while (i < ntimes && times[i].route != r)
		i++;
	if (i == MAX_SERIES)
		return;
	if (i == ntimes)
		times[ntimes++] = (Times){.route = r};
	for (j = 0; j < COUNT(bounds_s); j++)
		if (seconds <= bounds_s[j])
			times[i].buckets[j]++;
	times[i].n++;
	times[i].sum_s += seconds;
}

void
metrics_route_count(const exchange *x)
{
	double seconds = (double) (tq_clock_ms() - x->http->arrived_ms) / 1000;

	/* Paths that are none are anybody's invention. */
	if (x->route == NULL)
		return;
	count_status(x->route, x->http->status);
	count_time(x->route, seconds);
}

/* ---- telling ----------------------------------------------------------------------------- */

static void
add_own_sample(cli_exposition *e, const char *name, const char *type, const char *help,
			   const char *labels, double value)
{
	char text[40];
	cli_sample sample = {name, type, help, labels, text};

	snprintf(text, sizeof(text), "%.15g", value);
	(void) cli_exposition_add(e, &sample);
}

static void
add_counters(cli_exposition *e)
{
	char labels[MAX_LABELS];
	int i;

	for (i = 0; i < ncounters; i++)
	{
		snprintf(labels, sizeof(labels), "{\"route\":\"%s\",\"method\":\"%s\",\"code\":\"%d\"}",
				 counters[i].route->path, counters[i].route->method, counters[i].status);
		add_own_sample(e, "taskq_gateway_requests_total", "counter", "Answers of this process.",
					   labels,
					   (double) counters[i].n);
	}
}

static void
add_rejected(cli_exposition *e)
{
	char labels[MAX_LABELS];
	int i;

	for (i = 0; i < REJECTED_N; i++)
	{
		snprintf(labels, sizeof(labels), "{\"reason\":\"%s\"}", rejected_name(i));
		add_own_sample(e, "taskq_gateway_rejected_total", "counter",
					   "Requests that this process refused without asking the database.", labels,
					   (double) rejected_number(i));
	}
}

static void
add_times(cli_exposition *e)
{
	static const char help[] = "How long answers took, with the time that was waited.";
	char labels[MAX_LABELS];
	int i;
	int j;

	for (i = 0; i < ntimes; i++)
	{
		const route *r = times[i].route;

		for (j = 0; j < COUNT(bounds_s); j++)
		{
			snprintf(labels, sizeof(labels),
					 "{\"route\":\"%s\",\"method\":\"%s\",\"le\":\"%g\"}", r->path, r->method,
					 bounds_s[j]);
			add_own_sample(e, "taskq_gateway_request_seconds_bucket", "histogram", help, labels,
						   (double) times[i].buckets[j]);
		}
		snprintf(labels, sizeof(labels), "{\"route\":\"%s\",\"method\":\"%s\",\"le\":\"+Inf\"}",
				 r->path, r->method);
		add_own_sample(e, "taskq_gateway_request_seconds_bucket", "histogram", help, labels,
					   (double) times[i].n);
		snprintf(labels, sizeof(labels), "{\"route\":\"%s\",\"method\":\"%s\"}", r->path,
				 r->method);
		add_own_sample(e, "taskq_gateway_request_seconds_sum", "histogram", help, labels,
					   times[i].sum_s);
		add_own_sample(e, "taskq_gateway_request_seconds_count", "histogram", help, labels,
					   (double) times[i].n);
	}
}

static void
add_own(cli_exposition *e, const gateway *g)
{
	add_own_sample(e, "taskq_gateway_connections", "gauge", "Requests that are not at their end.",
				   "{}", http_count(g->http));
	add_own_sample(e, "taskq_gateway_waiting", "gauge", "Requests that wait for a task or its end.",
				   "{}", waiters_count(g->waiters));
	add_own_sample(e, "taskq_gateway_queued", "gauge", "Requests that wait for the database.", "{}",
				   gate_queued(g->gate));
	add_counters(e);
	add_rejected(e);
	add_times(e);
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
	add_own_sample(&e, "taskq_up", "gauge", "Whether the database could be asked.", "{}",
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

/*
 * counts.c
 *		What this process has answered and refused, for its metrics.
 */
#include <stdio.h>

#include "cli/command.h"
#include "cli/serve/counts.h"
#include "cli/serve/rejected.h"

#define MAX_SERIES 512
#define MAX_LABELS 300

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
counts_add(const route *r, int status, double seconds)
{
	count_status(r, status);
	count_time(r, seconds);
}

/* ---- telling ----------------------------------------------------------------------------- */

void
counts_tell_one(cli_exposition *e, const char *name, const char *type, const char *help,
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
		counts_tell_one(e, "taskq_gateway_requests_total", "counter", "Answers of this process.",
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
		counts_tell_one(e, "taskq_gateway_rejected_total", "counter",
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
			counts_tell_one(e, "taskq_gateway_request_seconds_bucket", "histogram", help, labels,
							(double) times[i].buckets[j]);
		}
		snprintf(labels, sizeof(labels), "{\"route\":\"%s\",\"method\":\"%s\",\"le\":\"+Inf\"}",
				 r->path, r->method);
		counts_tell_one(e, "taskq_gateway_request_seconds_bucket", "histogram", help, labels,
						(double) times[i].n);
		snprintf(labels, sizeof(labels), "{\"route\":\"%s\",\"method\":\"%s\"}", r->path,
				 r->method);
		counts_tell_one(e, "taskq_gateway_request_seconds_sum", "histogram", help, labels,
						times[i].sum_s);
		counts_tell_one(e, "taskq_gateway_request_seconds_count", "histogram", help, labels,
						(double) times[i].n);
	}
}

void
counts_tell(cli_exposition *e)
{
	add_counters(e);
	add_rejected(e);
	add_times(e);
}

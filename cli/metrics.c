/*
 * metrics.c
 *		What taskq.metrics() returns, as Prometheus reads it; the command metrics.
 *
 * Nothing is printed before all of it is there, so that a collector never reads a half of it after
 * an error.
 */
#include <limits.h>
#include <stdio.h>

#include "cli/metrics.h"
#include "cli/query.h"
#include "cli/report.h"

#define MAX_QUEUES 10000 /* that metrics() takes */

const char cli_metrics_sql[] =
	"select name, type, help, labels, value from taskq.metrics($1::int)";

static const cli_option metrics_options[] = {
	{0, "openmetrics", NULL, "print OpenMetrics 1.0 instead of the text format 0.0.4", NULL, NULL,
	 NULL},
	{0, "queues", "N", "the N queues with the most tasks have their own rows, and the\n"
					   "others are added up as queue=\"other\" (default: 300)",
	 NULL, NULL, NULL}};

static cli_sample
sample_of(const PGresult *rows, int row)
{
	return (cli_sample){
		.name = PQgetvalue(rows, row, 0),
		.type = PQgetvalue(rows, row, 1),
		.help = PQgetvalue(rows, row, 2),
		.labels = PQgetvalue(rows, row, 3),
		.value = PQgetvalue(rows, row, 4)};
}

void
cli_metrics_add(cli_exposition *e, const PGresult *rows)
{
	int i;

	for (i = 0; i < PQntuples(rows); i++)
	{
		cli_sample sample = sample_of(rows, i);

		cli_exposition_add(e, &sample);
	}
}

static int
run_metrics(cli_call *call)
{
	int number = cli_number(call, "queues", 0, MAX_QUEUES, 300);
	char text[16];
	const char *queues = text;
	cli_exposition exposition;
	tq_buffer out;
	PGresult *rows;

	snprintf(text, sizeof(text), "%d", number);
	rows = cli_query(cli_metrics_sql, 1, &queues);
	tq_buffer_init(&out, INT_MAX);
	cli_exposition_begin(&exposition, &out, cli_value(call, "openmetrics") != NULL);
	cli_metrics_add(&exposition, rows);
	cli_exposition_end(&exposition);
	if (out.overflowed)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	fwrite(out.data, 1, out.len, stdout);
	tq_buffer_free(&out);
	PQclear(rows);
	return EXIT_DONE;
}

const cli_command cli_metrics = {
	.name = "metrics",
	.synopsis = "[OPTION]...",
	.about = "Print metrics for Prometheus",
	.details = "The role needs the privilege view on the queues; a member of taskq_reader sees\n"
			   "all of them, and what concerns the whole database.",
	.examples = "  taskq metrics --openmetrics",
	.options = metrics_options,
	.noptions = COUNT(metrics_options),
	.run = run_metrics};

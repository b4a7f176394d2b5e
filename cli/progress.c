/*
 * progress.c
 *		progress: tells how far the present task is, inside a command of a worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/call.h"
#include "cli/progress.h"
#include "cli/report.h"

/* 0.4 or 40%, as a number from 0 to 1. */
static const char *
fraction_of(const char *text)
{
	static char fraction[32];
	char *end;
	double number = strtod(text, &end);

	if (strcmp(end, "%") == 0)
		number /= 100;
	else if (*end != '\0' || end == text)
		cli_usage("\"%s\" is not a part such as 0.4 or 40%%", text);
	snprintf(fraction, sizeof(fraction), "%.6g", number);
	return fraction;
}

static int
run_progress(cli_call *call)
{
	const char *id = getenv("TASKQ_TASK_ID");
	const char *token = getenv("TASKQ_TOKEN");
	cli_statement s;
	PGresult *result;
	bool ours;

	if (id == NULL || token == NULL)
		cli_usage("taskq progress runs inside a command of taskq work");
	cli_begin(&s, "*", "progress");
	cli_pass(&s, "id", NULL, id);
	cli_pass(&s, "token", NULL, token);
	cli_pass(&s, "fraction", NULL, fraction_of(call->arguments[0]));
	cli_pass(&s, "message", NULL, cli_argument(call, 1));
	result = cli_end_or_fail(&s, "");
	ours = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	PQclear(result);
	if (!ours)
		cli_fail(EXIT_NOTHING, NULL, "the lease of task %s is lost", id);
	return EXIT_DONE;
}

const cli_command cli_progress = {
	.name = "progress",
	.synopsis = "PART [MESSAGE]",
	.about = "Report how far a task is, inside a command of work",
	.details = "PART is 0.4 or 40%.  The task is that of TASKQ_TASK_ID and TASKQ_TOKEN.",
	.examples = "  taskq work default --drain -- sh -c 'taskq progress 40% resizing'",
	.min_arguments = 1,
	.max_arguments = 2,
	.run = run_progress};

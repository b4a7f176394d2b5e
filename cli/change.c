/*
 * change.c
 *		Commands that change tasks: cancel, retry, reschedule, redrive.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/call.h"
#include "cli/change.h"
#include "cli/filter.h"
#include "cli/ids.h"
#include "cli/input.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/settings.h"

#define PAGE "1000"

static const cli_option cancel_options[] = {
	{0, "queue", "QUEUE", "instead of ids: the tasks of this queue that "
						  "match",
	 "queue", NULL, NULL},
	FILTER_OPTIONS,
	{0, "reason", "TEXT", "kept as the error of the task", NULL, NULL, NULL},
};

static const cli_option retry_options[] = {
	{0, "at", "TIME", "not due before this time", NULL, NULL, NULL},
	{0, "in", "DURATION", "not due before so long from now", NULL, NULL, NULL},
};

static const cli_option reschedule_options[] = {
	{0, "now", NULL, "due now (the default)", NULL, NULL, NULL},
	{0, "at", "TIME", "not due before this time", NULL, NULL, NULL},
	{0, "in", "DURATION", "not due before so long from now", NULL, NULL, NULL},
	{0, "priority", "N", "-16 (first) to 15 (last)", "priority", NULL, NULL},
};

static const cli_option redrive_options[] = {
	{'s', "state", "STATE,...", "dead (the default), cancelled, "
								"expired",
	 "states", "taskq.state[]", cli_array},
	{0, "kind", "KIND", "only tasks of this kind", "kind", NULL, NULL},
	{0, "error", "REGEX", "only tasks with such an error", "error", NULL, NULL},
	{0, "since", "TIME", "only tasks that ended at that time or later", "ended_after", NULL, NULL},
	{0, "until", "TIME", "only tasks that ended before that time", "ended_before", NULL, NULL},
	{0, "spread", "DURATION", "they become due evenly over this time", "spread", NULL, NULL},
	{0, "limit", "N", "at most so many", NULL, NULL, NULL},
	{0, "batch", "N", "tasks in a transaction (default: 1000)", NULL, NULL, NULL},
};

/* ---- cancel, retry, reschedule ----------------------------------------------- */

static long
cancel_ids(const char *ids, const char *reason)
{
	const char *values[2] = {ids, reason};
	PGresult *cancelled = cli_query("select id from taskq.cancel_many($1, $2) as id", 2, values);
	long n = PQntuples(cancelled);

	cli_print_ids(cancelled);
	PQclear(cancelled);
	return n;
}

/* Cancels the tasks that a search finds, a page in each transaction. */
static long
cancel_found(const cli_call *call)
{
	const char *reason = cli_value(call, "reason");
	char after[32] = "";
	long n = 0;

	for (;;)
	{
		cli_statement s;
		PGresult *page;

		cli_begin(&s, "pg_catalog.array_agg(id) filter (where id is not null and state in "
					  "('pending', 'running')) as ids, "
					  "pg_catalog.min(next) as next, pg_catalog.count(*) as n",
				  "find_tasks");
		cli_pass_options(&s, call);
		cli_pass(&s, "\"limit\"", NULL, PAGE);
		cli_pass(&s, "after", NULL, *after != '\0' ? after : NULL);
		page = cli_end_or_fail(&s, "");
		if (!PQgetisnull(page, 0, 0))
			n += cancel_ids(PQgetvalue(page, 0, 0), reason);
		snprintf(after, sizeof(after), "%s", PQgetvalue(page, 0, 1));
		if (*after == '\0')
		{
			PQclear(page);
			return n;
		}
		PQclear(page);
	}
}

static int
run_cancel(cli_call *call)
{
	bool by_filter = call->narguments == 0;
	long n;

	if (by_filter && cli_value(call, "queue") == NULL)
		cli_usage("taskq cancel needs ids, or --queue");
	if (!by_filter && cli_value(call, "queue") != NULL)
		cli_usage("taskq cancel takes ids or --queue, not both");
	if (by_filter)
	{
		cli_confirm("cancel the tasks of \"%s\" that match?", cli_value(call, "queue"));
		n = cancel_found(call);
	}
	else
		n = cancel_ids(cli_ids_argument(call), cli_value(call, "reason"));
	if (n < call->narguments)
		cli_note("%ld of %d tasks had ended, or are not "
				 "known",
				 call->narguments - n, call->narguments);
	return n > 0 ? EXIT_DONE : EXIT_NOTHING;
}

/* Passes on when a task is due: --at or --in; neither is now. */
static void
pass_time(cli_statement *s, const cli_call *call)
{
	if (cli_value(call, "at") != NULL && cli_value(call, "in") != NULL)
		cli_usage("--at and --in cannot be used together");
	cli_pass_option(s, "run_at", NULL, call, "at");
	cli_pass_option(s, "run_at", "interval + pg_catalog.clock_timestamp()", call, "in");
}

/* Calls a function of one task for each id.  An error about one does not stop the others. */
static int
for_each_task(cli_call *call, const char *function, const char *refusal)
{
	int status = EXIT_DONE;
	int i;

	for (i = 0; i < call->narguments; i++)
	{
		cli_statement s;
		PGresult *result;

		cli_begin(&s, "*", function);
		cli_pass(&s, "id", NULL, cli_id_argument(call->arguments[i]));
		cli_pass_options(&s, call);
		pass_time(&s, call);
		result = cli_end(&s, "");
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
		{
			cli_refuse_value(&s, result);
			status = cli_report_error(result, NULL);
			if (settings.dry_run || status == EXIT_CONNECTION)
				exit(status);
		}
		else if (*PQgetvalue(result, 0, 0) == 't')
			puts(call->arguments[i]);
		else
		{
			cli_note("task %s %s", call->arguments[i], refusal);
			status = status == EXIT_DONE ? EXIT_NOTHING : status;
		}
		PQclear(result);
	}
	return status;
}

static int
run_retry(cli_call *call)
{
	return for_each_task(call, "retry", "has not ended, or is not known");
}

static int
run_reschedule(cli_call *call)
{
	return for_each_task(call, "reschedule", "is not pending");
}

/* ---- redrive ----------------------------------------------------------------- */

/* One batch; returns the number of tasks that are pending again. */
static long
redrive_batch(const cli_call *call, long size)
{
	char max[32];
	cli_statement s;
	PGresult *result;
	long n;

	snprintf(max, sizeof(max), "%ld", size);
	cli_begin(&s, "*", "redrive");
	cli_pass(&s, "queue", NULL, call->arguments[0]);
	cli_pass(&s, "max_tasks", NULL, max);
	cli_pass_options(&s, call);
	result = cli_end_or_fail(&s, "");
	n = strtol(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return n;
}

static int
run_redrive(cli_call *call)
{
	long limit = cli_number(call, "limit", 1, 2000000000, 2000000000);
	long batch = cli_number(call, "batch", 1, 100000, 1000);
	long total = 0;
	long n;

	cli_confirm("bring back the ended tasks of \"%s\" that match?", call->arguments[0]);
	do
	{
		long size = batch < limit - total ? batch : limit - total;

		n = redrive_batch(call, size);
		total += n;
		if (n < size)
			break;
	} while (total < limit);
	printf("%ld\n", total);
	return total > 0 ? EXIT_DONE : EXIT_NOTHING;
}

const cli_command cli_cancel = {
	.name = "cancel",
	.synopsis = "ID... | --queue QUEUE [OPTION]...",
	.about = "Cancel tasks; the workers of running tasks are told",
	.details = "Prints the ids of the tasks that have ended or whose workers are told.",
	.max_arguments = -1,
	.options = cancel_options,
	.noptions = COUNT(cancel_options),
	.run = run_cancel};

const cli_command cli_retry = {
	.name = "retry",
	.synopsis = "ID... [OPTION]...",
	.about = "Make dead, cancelled or expired tasks pending again",
	.min_arguments = 1,
	.max_arguments = -1,
	.options = retry_options,
	.noptions = COUNT(retry_options),
	.run = run_retry};

const cli_command cli_reschedule = {
	.name = "reschedule",
	.synopsis = "ID... [OPTION]...",
	.about = "Change when pending tasks are due, or their priority",
	.min_arguments = 1,
	.max_arguments = -1,
	.options = reschedule_options,
	.noptions = COUNT(reschedule_options),
	.run = run_reschedule};

const cli_command cli_redrive = {
	.name = "redrive",
	.synopsis = "QUEUE [OPTION]...",
	.about = "Bring back all ended tasks of a queue that match, those that ended first",
	.details = "Each batch is a transaction.  Prints the number of tasks that are pending again.",
	.examples = "  taskq redrive default --limit 10 --yes\n"
				"  taskq redrive default --error timeout --spread '10 min' --yes",
	.min_arguments = 1,
	.max_arguments = 1,
	.options = redrive_options,
	.noptions = COUNT(redrive_options),
	.run = run_redrive};

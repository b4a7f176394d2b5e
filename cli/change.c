/*
 * change.c
 *		Commands that change tasks: cancel, retry, reschedule, redrive, purge.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/call.h"
#include "cli/change.h"
#include "cli/filter.h"
#include "cli/ids.h"
#include "cli/input.h"
#include "cli/meter.h"
#include "cli/query.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "core/clock.h"

#define PAGE  "1000"
#define BATCH 1000 /* of redrive, and of purge: the page */

/* Of find_tasks(): how many a command would act on, and whether there may be more. */
#define FOUND_COLUMNS(condition)                          \
	"pg_catalog.count(id) filter (where " condition "), " \
	"pg_catalog.count(*) = " PAGE " or pg_catalog.bool_or(id is null) is true"
#define IS_LIVE  "state in ('pending', 'running')"
#define IS_ENDED "state in ('dead', 'cancelled', 'expired')"

static const cli_option cancel_options[] = {
	{0, "queue", "QUEUE", "instead of ids: the tasks of this queue that "
						  "match",
	 "queue", NULL, NULL},
	FILTER_OPTIONS,
	SCAN_OPTION,
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

/* Whether the program will ask. */
static bool
asks(void)
{
	return !settings.yes && !settings.dry_run;
}

/*
 * How many tasks a search finds that was begun with FOUND_COLUMNS, as a question says it: "12", or
 * "1000+" for that many and perhaps more.  "the" if the role may not search.
 */
static const char *
found_at_least(cli_statement *s)
{
	static char text[32];
	PGresult *found;

	cli_pass(s, "\"limit\"", NULL, PAGE);
	found = cli_end(s, "");
	if (PQresultStatus(found) == PGRES_TUPLES_OK)
		snprintf(text, sizeof(text), "%s%s", PQgetvalue(found, 0, 0),
				 *PQgetvalue(found, 0, 1) == 't' ? "+" : "");
	else
		strcpy(text, "the");
	PQclear(found);
	return text;
}

/* How many tasks of a queue that column of queue_stats() counts; 0: it is not known. */
static long
count_tasks(const char *queue, const char *sql)
{
	PGresult *stats = cli_try(sql, 1, &queue);
	long n = 0;

	if (PQresultStatus(stats) == PGRES_TUPLES_OK && PQntuples(stats) == 1)
		n = strtol(PQgetvalue(stats, 0, 0), NULL, 10);
	PQclear(stats);
	return n;
}

/* How many tasks a cancel without a filter is for; 0: there is a filter, or it is not known. */
static long
live_tasks(const cli_call *call)
{
	int i;

	for (i = 0; i < call->ngiven; i++)
		if (strcmp(call->given[i].option->name, "queue") != 0 &&
			strcmp(call->given[i].option->name, "reason") != 0)
			return 0;
	return count_tasks(cli_value(call, "queue"),
					   "select pending + running from taskq.queue_stats($1)");
}

static double
part_of(long n, long total)
{
	return total > 0 ? (double) n / (double) total : -1;
}

/* Cancels the tasks that a search finds, a page in each transaction. */
static long
cancel_found(const cli_call *call)
{
	const char *reason = cli_value(call, "reason");
	long total = live_tasks(call);
	char after[32] = "";
	long n = 0;

	cli_meter_begin("cancel", cli_value(call, "queue"), settings.quiet, tq_clock_ms());
	for (;;)
	{
		cli_statement s;
		PGresult *page;

		cli_begin(&s, "pg_catalog.array_agg(id) filter (where " IS_LIVE ") as ids, "
					  "pg_catalog.min(next) as next",
				  "find_tasks");
		cli_pass_options(&s, call);
		cli_pass(&s, "\"limit\"", NULL, PAGE);
		cli_pass(&s, "after", NULL, *after != '\0' ? after : NULL);
		page = cli_end_or_fail(&s, "");
		if (!PQgetisnull(page, 0, 0))
			n += cancel_ids(PQgetvalue(page, 0, 0), reason);
		cli_meter_show(n, total, part_of(n, total), tq_clock_ms());
		snprintf(after, sizeof(after), "%s", PQgetvalue(page, 0, 1));
		if (*after == '\0')
		{
			PQclear(page);
			cli_meter_clear();
			return n;
		}
		PQclear(page);
	}
}

static void
confirm_cancel(const cli_call *call)
{
	cli_statement s;

	if (!asks())
		return;
	cli_begin(&s, FOUND_COLUMNS(IS_LIVE), "find_tasks");
	cli_pass_options(&s, call);
	cli_confirm("cancel %s tasks of \"%s\" that match?", found_at_least(&s),
				cli_value(call, "queue"));
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
		confirm_cancel(call);
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

/* find_tasks() knows when tasks were submitted, and redrive() when they ended. */
static void
confirm_redrive(const cli_call *call)
{
	const char *states = cli_value(call, "state");
	const char *found = "the";
	cli_statement s;

	if (asks() && cli_value(call, "since") == NULL && cli_value(call, "until") == NULL)
	{
		cli_begin(&s, FOUND_COLUMNS(IS_ENDED), "find_tasks");
		cli_pass(&s, "queue", NULL, call->arguments[0]);
		cli_pass(&s, "states", "taskq.state[]", cli_array(states != NULL ? states : "dead"));
		cli_pass(&s, "kind", NULL, cli_value(call, "kind"));
		cli_pass(&s, "error", NULL, cli_value(call, "error"));
		found = found_at_least(&s);
	}
	cli_confirm("bring back %s ended tasks of \"%s\" that match?", found, call->arguments[0]);
}

static int
run_redrive(cli_call *call)
{
	long limit = cli_number(call, "limit", 1, 2000000000, 2000000000);
	long batch = cli_number(call, "batch", 1, 100000, BATCH);
	long total = 0;
	long n;

	confirm_redrive(call);
	cli_meter_begin("redrive", call->arguments[0], settings.quiet, tq_clock_ms());
	do
	{
		long size = batch < limit - total ? batch : limit - total;

		n = redrive_batch(call, size);
		total += n;
		cli_meter_show(total, 0, -1, tq_clock_ms());
		if (n < size)
			break;
	} while (total < limit);
	cli_meter_clear();
	printf("%ld\n", total);
	return total > 0 ? EXIT_DONE : EXIT_NOTHING;
}

/* ---- purge ----------------------------------------------------------------------- */

static long
purge_batch(const char *queue, const char *max)
{
	const char *values[] = {queue, max};
	PGresult *purged = cli_query("select taskq.purge_queue($1, $2)", 2, values);
	long n = strtol(PQgetvalue(purged, 0, 0), NULL, 10);

	PQclear(purged);
	return n;
}

/*
 * In batches, each a transaction, until one is not full: then what is left is done at once, so that
 * tasks which are submitted meanwhile do not keep it going.  A dry run is one transaction anyway.
 */
static int
run_purge(cli_call *call)
{
	const char *queue = call->arguments[0];
	long n = BATCH;
	long total = 0;
	long pending;

	cli_confirm("cancel all pending tasks of \"%s\"?", queue);
	pending = settings.dry_run
				  ? 0
				  : count_tasks(queue, "select pending from taskq.queue_stats($1)");
	cli_meter_begin("purge", queue, settings.quiet, tq_clock_ms());
	while (!settings.dry_run && n == BATCH)
	{
		n = purge_batch(queue, PAGE);
		total += n;
		cli_meter_show(total, pending, part_of(total, pending), tq_clock_ms());
	}
	total += purge_batch(queue, NULL);
	cli_meter_clear();
	printf("%ld\n", total);
	return EXIT_DONE;
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

const cli_command cli_purge = {
	.name = "purge",
	.synopsis = "QUEUE",
	.about = "Cancel the pending tasks of a queue",
	.details = "A thousand tasks are a transaction, so it can be interrupted.  Prints the number\n"
			   "of cancelled tasks.",
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run_purge};

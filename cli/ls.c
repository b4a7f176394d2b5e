/*
 * ls.c
 *		ls: lists and searches tasks.
 */

#include "cli/call.h"
#include "cli/filter.h"
#include "cli/ls.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/unserved.h"

#define LS_COLUMNS 8 /* of a table; JSON has all */

static const char ls_columns[] =
	"id, queue, state, kind, key, attempt, coalesce(ended_at, started_at, run_at) as at, "
	"error, priority, max_attempts, submitted_at, run_at, started_at, ended_at, worker, payload, "
	"looked_at, next, group_key";

static const cli_option ls_options[] = {
	FILTER_OPTIONS,
	{0, "limit", "N", "at most so many, 1 to 1000 (default: 50)", "\"limit\"", NULL, NULL},
	{0, "after", "CURSOR", "go on from where the last list ended", "after", NULL, NULL},
	{0, "unserved", NULL,
	 "instead of tasks, the kinds of pending tasks that no\nrunning worker does; --scan alone goes "
	 "with it",
	 NULL, NULL, NULL},
};

/* The last row of a search that was ended by --scan has no id; returns the result without it. */
static PGresult *
tell_stop(PGresult *found)
{
	int last = PQntuples(found) - 1;
	PGresult *rest;
	int row;
	int i;

	if (last < 0 || !PQgetisnull(found, last, PQfnumber(found, "id")))
		return found;
	cli_note("looked at the newest %s tasks, back to %s; --scan looks further, --after %s "
			 "goes on from there",
			 PQgetvalue(found, last, PQfnumber(found, "looked_at")),
			 PQgetvalue(found, last, PQfnumber(found, "submitted_at")),
			 PQgetvalue(found, last, PQfnumber(found, "next")));
	rest = PQcopyResult(found, PG_COPYRES_ATTRS);
	for (row = 0; rest != NULL && row < last; row++)
		for (i = 0; i < PQnfields(found); i++)
			PQsetvalue(rest, row, i, PQgetvalue(found, row, i),
					   PQgetisnull(found, row, i) ? -1 : PQgetlength(found, row, i));
	PQclear(found);
	if (rest == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	return rest;
}

static int
run_ls(cli_call *call)
{
	cli_statement s;
	PGresult *found;

	if (cli_value(call, "unserved") != NULL)
		return cli_run_unserved(call);
	cli_begin(&s, ls_columns, "find_tasks");
	cli_pass(&s, "queue", NULL, cli_argument(call, 0));
	cli_pass_options(&s, call);
	found = tell_stop(cli_end_or_fail(&s, ""));
	cli_print(found, LS_COLUMNS);
	PQclear(found);
	return EXIT_DONE;
}

const cli_command cli_ls = {
	.name = "ls",
	.synopsis = "[QUEUE] [OPTION]...",
	.about = "List and search tasks, newest first",
	.details = "AT is when a task ended or started, or is due.\n"
			   "Looks at no more tasks than --scan says, and tells when that has ended the search.",
	.examples = "  taskq ls default --state dead,expired\n  taskq ls --payload '{\"to\": "
				"\"ada\"}' --json=id,state",
	.max_arguments = 1,
	.options = ls_options,
	.noptions = COUNT(ls_options),
	.run = run_ls};

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
#include "client/array.h"

#define NSHOWN     8         /* columns of a table; JSON has all */
#define MAX_QUEUES (1 << 20) /* bytes of all names */

#define LS_COLUMNS                                                                                 \
	"id, queue, state, kind, key, attempt, coalesce(ended_at, started_at, run_at) as at, "         \
	"error, priority, max_attempts, submitted_at, run_at, started_at, ended_at, worker, payload, " \
	"looked_at, next, group_key, trace"

static const cli_option ls_options[] = {
	FILTER_OPTIONS,
	SCAN_OPTION,
	{0, "limit", "N", "at most so many, 1 to 1000 (default: 50)", "\"limit\"", NULL, NULL},
	{0, "after", "CURSOR", "go on from where the last list ended", "after", NULL, NULL},
	{0, "unserved", NULL,
	 "instead of tasks, the kinds of pending tasks that no\nrunning worker does; --scan alone goes "
	 "with it",
	 NULL, NULL, NULL},
};

/*
 * Of a search that --scan has ended, the last row has no id: it tells how far the search came.
 * That is told unless --limit has ended the list before.  Returns the tasks alone, at most limit of
 * them.
 */
static PGresult *
take_tasks(PGresult *found, int limit)
{
	int id = PQfnumber(found, "id");
	int last = PQntuples(found) - 1;
	PGresult *tasks;
	int n = 0;
	int i;

	while (n <= last && !PQgetisnull(found, n, id))
		n++;
	if (n <= last && n <= limit)
		cli_note("looked at the newest %s tasks, back to %s; --scan looks further, --after %s "
				 "goes on from there",
				 PQgetvalue(found, last, PQfnumber(found, "looked_at")),
				 PQgetvalue(found, last, PQfnumber(found, "submitted_at")),
				 PQgetvalue(found, last, PQfnumber(found, "next")));
	n = n < limit ? n : limit;
	if (n > last)
		return found;
	tasks = PQcopyResult(found, PG_COPYRES_ATTRS);
	for (int row = 0; tasks != NULL && row < n; row++)
		for (i = 0; i < PQnfields(found); i++)
			PQsetvalue(tasks, row, i, PQgetvalue(found, row, i),
					   PQgetisnull(found, row, i) ? -1 : PQgetlength(found, row, i));
	PQclear(found);
	if (tasks == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	return tasks;
}

static PGresult *
search_one(const cli_call *call)
{
	cli_statement s;

	cli_begin(&s, LS_COLUMNS, "find_tasks");
	cli_pass(&s, "queue", NULL, cli_argument(call, 0));
	cli_pass_options(&s, call);
	return cli_end_or_fail(&s, "");
}

/*
 * Searches each queue by itself, and puts the tasks together, newest first.  A task that is older
 * than where --scan has ended the search of another queue is left for --after.
 */
static PGresult *
search_each(const cli_call *call)
{
	PGresult *found;
	tq_buffer queues;
	cli_statement s;

	tq_buffer_init(&queues, MAX_QUEUES);
	for (int i = 0; i < call->narguments; i++)
		tq_array_add(&queues, call->arguments[i]);
	cli_begin_each(&s, "with found as (select f.* from", "find_tasks", "queue",
				   tq_array_end(&queues));
	if (queues.overflowed)
		cli_usage("there are too many queues");
	cli_pass_options(&s, call);
	found = cli_end_or_fail(&s, " f) select " LS_COLUMNS " from found where id is null or "
								"id >= coalesce((select pg_catalog.max(next) from found where id "
								"is null), 0) order by id desc nulls last, next");
	tq_buffer_free(&queues);
	return found;
}

static int
run_ls(cli_call *call)
{
	int limit = cli_number(call, "limit", 1, 1000, 50);
	PGresult *found;

	if (cli_value(call, "unserved") != NULL)
		return cli_run_unserved(call);
	found = take_tasks(call->narguments > 1 ? search_each(call) : search_one(call), limit);
	cli_print(found, NSHOWN);
	PQclear(found);
	return EXIT_DONE;
}

const cli_command cli_ls = {
	.name = "ls",
	.synopsis = "[QUEUE]... [OPTION]...",
	.about = "List and search tasks, newest first",
	.details = "AT is when a task ended or started, or is due.\n"
			   "Looks at no more tasks than --scan says, and tells when that has ended the search.",
	.examples = "  taskq ls default --state dead,expired\n  taskq ls --payload '{\"to\": "
				"\"ada\"}' --json=id,state",
	.max_arguments = -1,
	.options = ls_options,
	.noptions = COUNT(ls_options),
	.run = run_ls};

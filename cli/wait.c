/*
 * wait.c
 *		wait: until tasks have ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ids.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "cli/show.h"
#include "cli/wait.h"

#define WAIT_SLICE "60 s" /* of a wait without an end */

static const char results_sql[] =
	"select r.id, r.state, r.ended_at, r.error, r.result from taskq.results($1) r";


static const cli_option wait_options[] = {
	{0, "any", NULL, "wait for the first one only", NULL, NULL, NULL},
};

static bool
is_state(const PGresult *results, int row, const char *state)
{
	return strcmp(PQgetvalue(results, row, PQfnumber(results, "state")), state) == 0;
}

/* How many have ended; a task that is not known counts as one, as in wait_all(). */
static int
count_ended(const PGresult *results)
{
	int ended = 0;
	int i;

	for (i = 0; i < PQntuples(results); i++)
		if (!is_state(results, i, "pending") && !is_state(results, i, "running"))
			ended++;
	return ended;
}

/* Waits until all, or any, have ended or the time is up.  The results are the caller's. */
static PGresult *
wait_for(const char *ids, bool any, const char *timeout)
{
	const char *values[2] = {ids, timeout != NULL ? timeout : any ? "500 ms"
																  : WAIT_SLICE};
	const char *until[2] = {timeout != NULL ? timeout : "infinity", NULL};
	PGresult *deadline = NULL;
	PGresult *results;

	if (any && timeout != NULL)
		deadline = cli_query("select pg_catalog.clock_timestamp() + $1::interval", 1, until);
	if (any)
		values[1] = "500 ms";
	for (;;)
	{
		PGresult *now;
		bool over;

		results = cli_query(results_sql, 1, &ids);
		if (count_ended(results) >= (any ? 1 : PQntuples(results)))
			break;
		if (deadline != NULL)
		{
			const char *at = PQgetvalue(deadline, 0, 0);

			now = cli_query("select pg_catalog.clock_timestamp() >= $1::timestamptz", 1, &at);
			over = *PQgetvalue(now, 0, 0) == 't';
			PQclear(now);
			if (over)
				break;
		}
		PQclear(cli_query("call taskq.wait_all($1, $2)", 2, values));
		if (timeout != NULL && !any)
		{
			PQclear(results);
			results = cli_query(results_sql, 1, &ids);
			break;
		}
		PQclear(results);
	}
	PQclear(deadline);
	return results;
}

static int
status_of_ends(const PGresult *results, bool any)
{
	int needed = any ? 1 : PQntuples(results);
	int finished = 0;
	int i;

	if (count_ended(results) < needed)
		return EXIT_TIME;
	for (i = 0; i < PQntuples(results); i++)
	{
		if (PQgetisnull(results, i, PQfnumber(results, "state")))
			return EXIT_NOTHING;
		finished += is_state(results, i, "finished");
	}
	return finished >= needed ? EXIT_DONE : EXIT_NOT_FINISHED;
}

int
cli_wait_and_print(const char *id, const char *timeout, bool answer)
{
	char ids[32];
	PGresult *results;
	int status;

	snprintf(ids, sizeof(ids), "{%s}", id);
	cli_session_without_limit();
	results = wait_for(ids, false, timeout);
	status = status_of_ends(results, false);
	if (status == EXIT_DONE && answer)
		cli_print_answer(id);
	else if (status == EXIT_DONE)
	{
		PGresult *value = cli_query("select result from taskq.result($1)", 1, &id);

		cli_print_value(value);
		PQclear(value);
	}
	else
		cli_note("task %s is %s%s%s", id, PQgetvalue(results, 0, 1),
				 PQgetisnull(results, 0, 3) ? "" : ": ", PQgetvalue(results, 0, 3));
	PQclear(results);
	return status;
}

/* Their rows have nothing but the id. */
static void
tell_unknown(const PGresult *results, const cli_call *call)
{
	int i;

	for (i = 0; i < PQntuples(results) && i < call->narguments; i++)
		if (PQgetisnull(results, i, PQfnumber(results, "state")))
			cli_note("there is no task %s", call->arguments[i]);
}

static int
run_wait(cli_call *call)
{
	const char *ids = cli_ids_argument(call);
	bool any = cli_value(call, "any") != NULL;
	PGresult *results;
	int status;

	if (settings.dry_run)
		cli_usage("taskq wait changes nothing and has no --dry-run");
	cli_session_without_limit();
	results = wait_for(ids, any, settings.timeout);
	cli_print(results, PQnfields(results));
	tell_unknown(results, call);
	status = status_of_ends(results, any);
	PQclear(results);
	return status;
}

const cli_command cli_wait = {
	.name = "wait",
	.synopsis = "ID... [--any]",
	.about = "Wait until tasks have ended",
	.details = "--timeout is the longest time; without it there is no limit.",
	.min_arguments = 1,
	.max_arguments = -1,
	.options = wait_options,
	.noptions = COUNT(wait_options),
	.run = run_wait};

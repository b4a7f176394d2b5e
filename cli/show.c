/*
 * show.c
 *		show and result: all about a task, and what it returned.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ids.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/report.h"
#include "cli/settings.h"
#include "cli/show.h"

static const char show_sql[] =
	"select id, queue, state, kind, key, group_key, priority, attempt, max_attempts, submitted_at, "
	"run_at, started_at, ended_at, lease_until, worker, cancel_requested, fraction, message, "
	"method, url, payload, call, result, error, origin, trace, "
	/* The first ones by their ids. */
	"(select count(*) || case count(*) when 1 then ' other: ' else ' others: ' end || "
	"pg_catalog.string_agg(d.task_id::text, ', ' order by d.task_id) filter (where d.n <= 10) || "
	"case when count(*) > 10 then ', ...' else '' end from (select w.task_id, "
	"pg_catalog.row_number() over (order by w.task_id) as n from taskq.dependencies w "
	"where w.dependent = t.id) as d having count(*) > 0) as waits_for "
	"from taskq.tasks t where id = $1";
static const char attempts_sql[] =
	"select attempt, started_at, ended_at, worker, class, status, elapsed, error, detail, dns, "
	"connect, tls, first_byte from taskq.attempts where task_id = $1 order by attempt, ended_at";

static const cli_option result_options[] = {
	{0, "answer", NULL, "the body of the last HTTP answer, byte for byte", NULL, NULL, NULL},
	{0, "headers", NULL, "the headers of the last HTTP answer, as JSON", NULL, NULL, NULL},
};

/* The failed attempts below the task; in other formats they are a list of their own. */
static void
show_attempts(const char *id)
{
	PGresult *attempts = cli_query(attempts_sql, 1, &id);

	if (PQntuples(attempts) > 0 && settings.format == FORMAT_TABLE)
	{
		puts("\nfailed attempts");
		cli_print(attempts, PQnfields(attempts));
	}
	PQclear(attempts);
}

static int
run_show(cli_call *call)
{
	int status = EXIT_DONE;
	int i;

	for (i = 0; i < call->narguments; i++)
	{
		const char *id = cli_id_argument(call->arguments[i]);
		PGresult *task = cli_query(show_sql, 1, &id);

		if (PQntuples(task) == 0)
		{
			cli_note("there is no task %s", id);
			status = EXIT_NOTHING;
		}
		else
		{
			cli_print_record(task);
			show_attempts(id);
		}
		PQclear(task);
	}
	return status;
}

static void
print_bytes(const PGresult *result)
{
	size_t len;
	unsigned char *bytes;

	if (PQgetisnull(result, 0, 0))
		return;
	bytes = PQunescapeBytea((const unsigned char *) PQgetvalue(result, 0, 0), &len);
	if (bytes == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	fwrite(bytes, 1, len, stdout);
	PQfreemem(bytes);
}

static PGresult *
look_at_answer(const char *id)
{
	return cli_query("select body from taskq.response($1)", 1, &id);
}

void
cli_print_answer(const char *id)
{
	PGresult *answer = look_at_answer(id);

	if (PQntuples(answer) > 0)
		print_bytes(answer);
	PQclear(answer);
}

/* Why a task has no result; returns the exit status that says so. */
static int
tell_no_result(const PGresult *result, const char *id)
{
	const char *state = PQgetvalue(result, 0, 1);
	bool live = strcmp(state, "pending") == 0 || strcmp(state, "running") == 0;

	if (strcmp(state, "finished") == 0)
		return EXIT_DONE;
	cli_note("task %s is %s%s%s", id, state, PQgetisnull(result, 0, 2) ? "" : ": ",
			 PQgetvalue(result, 0, 2));
	return live ? EXIT_TIME : EXIT_NOT_FINISHED;
}

static int
run_result(cli_call *call)
{
	const char *id = cli_id_argument(call->arguments[0]);
	bool answer = cli_value(call, "answer") != NULL;
	bool headers = cli_value(call, "headers") != NULL;
	PGresult *result;
	int status = EXIT_DONE;

	if (answer)
		result = look_at_answer(id);
	else if (headers)
		result = cli_query("select headers from taskq.response($1)", 1, &id);
	else
		result = cli_query("select result, state, error from taskq.result($1)", 1, &id);
	if (PQntuples(result) == 0)
		cli_fail(EXIT_NOTHING, NULL, "there is no %s %s", answer || headers ? "answer to "
																			  "task"
																			: "task",
				 id);
	if (answer)
		print_bytes(result);
	else
		cli_print_value(result);
	if (!answer && !headers)
		status = tell_no_result(result, id);
	PQclear(result);
	return status;
}

const cli_command cli_show = {
	.name = "show",
	.synopsis = "ID...",
	.about = "Show all about a task: settings, times, payload, failed attempts",
	.min_arguments = 1,
	.max_arguments = -1,
	.run = run_show};

const cli_command cli_result = {
	.name = "result",
	.synopsis = "ID [--answer | --headers]",
	.about = "Print the result of a task, or the last HTTP answer to it",
	.details = "The exit status is 6 if the task has not ended, and 7 if it has ended without "
			   "having\n"
			   "finished; a line on standard error says so.",
	.min_arguments = 1,
	.max_arguments = 1,
	.options = result_options,
	.noptions = COUNT(result_options),
	.run = run_result};

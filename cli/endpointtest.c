/*
 * endpointtest.c
 *		endpoint test: sends one request, and shows what became of it.
 *
 * It is a task of the endpoint like any other, with one attempt: a full endpoint, a paused one or
 * an open circuit holds it back as well.
 */
#include <string.h>

#include "cli/call.h"
#include "cli/endpointtest.h"
#include "cli/ids.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/report.h"
#include "cli/settings.h"

#define DEFAULT_WAIT "30 s" /* as that for statements */

static const char outcome_sql[] =
	"select t.id, t.state, r.status, a.class, t.error, coalesce(r.elapsed, a.elapsed) as elapsed, "
	"a.dns, a.connect, a.tls, a.first_byte, pg_catalog.octet_length(r.body) as body_bytes "
	"from taskq.tasks t left join taskq.response(t.id) r on true "
	"left join taskq.attempts a on a.task_id = t.id where t.id = $1";

static void
wait_for_end(const char *id)
{
	const char *values[] = {id, settings.timeout != NULL ? settings.timeout : DEFAULT_WAIT};

	PQclear(cli_query("call taskq.wait($1, $2)", 2, values));
}

static int
show_outcome(const char *id)
{
	PGresult *outcome = cli_query(outcome_sql, 1, &id);
	const char *state;
	int status = EXIT_NOT_FINISHED;

	if (PQntuples(outcome) == 0)
		cli_fail(EXIT_PERMISSION, NULL, "task %s was sent, but the role may not see it", id);
	state = PQgetvalue(outcome, 0, 1);
	cli_print_record(outcome);
	if (strcmp(state, "finished") == 0)
		status = EXIT_DONE;
	else if (strcmp(state, "pending") == 0 || strcmp(state, "running") == 0)
	{
		cli_note("the time is up; the task goes on: taskq show %s", id);
		status = EXIT_TIME;
	}
	PQclear(outcome);
	return status;
}

int
cli_test_endpoint(cli_call *call)
{
	const char *payload = cli_argument(call, 1);
	size_t len;
	cli_statement s;
	PGresult *submitted;
	int status = EXIT_DONE;

	cli_begin(&s, "*", "submit_http");
	cli_pass(&s, "endpoint", NULL, cli_argument(call, 0));
	cli_pass(&s, "payload", NULL, payload != NULL ? cli_payload(payload, &len) : "{}");
	cli_pass(&s, "max_attempts", NULL, "1");
	cli_pass(&s, "kind", NULL, "test");
	cli_pass_options(&s, call);
	submitted = cli_end_or_fail(&s, " as id");
	if (settings.dry_run)
		cli_print_ids(submitted);
	else
	{
		wait_for_end(PQgetvalue(submitted, 0, 0));
		status = show_outcome(PQgetvalue(submitted, 0, 0));
	}
	PQclear(submitted);
	return status;
}

/*
 * flow.c
 *		queue set-limit and the like: limits and groups of queues.
 */
#include "cli/call.h"
#include "cli/flow.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/report.h"
#include "cli/session.h"

static const char limits_sql[] =
	"select queue, scope, group_key, max_running, rate, per, burst, weight from taskq.limits "
	"where $1::text is null or queue = $1 order by queue, scope desc, group_key";

static const char before_sql[] =
	"select pg_catalog.concat_ws(', ', 'max_running ' || max_running, "
	"'rate ' || rate || ' per ' || per || ', burst ' || burst, 'weight ' || nullif(weight, 1)) "
	"from taskq.limits where queue = $1 and scope = $2 and group_key is not distinct from $3";

int
cli_list_limits(cli_call *call)
{
	const char *queue = cli_argument(call, 0);
	PGresult *limits = cli_query(limits_sql, 1, &queue);

	cli_print(limits, PQnfields(limits));
	PQclear(limits);
	return EXIT_DONE;
}

int
cli_list_groups(cli_call *call)
{
	cli_statement s;
	PGresult *groups;

	cli_begin(&s, "*", "group_stats");
	cli_pass(&s, "queue", NULL, call->arguments[0]);
	cli_pass_options(&s, call);
	groups = cli_end_or_fail(&s, "");
	cli_print(groups, PQnfields(groups));
	PQclear(groups);
	return EXIT_DONE;
}

/* Each call replaces the whole limit, so that one without an option removes it. */
static void
ask_to_remove(const cli_call *call, const char *of)
{
	if (call->ngiven == 0)
		cli_confirm("remove the limit of %s \"%s\"?", of, call->arguments[0]);
}

/* What was set before: a call replaces all of it.  scope and group: as taskq.limits has them. */
static void
tell_replaced(const char *queue, const char *scope, const char *group)
{
	const char *values[] = {queue, scope, group};
	PGresult *before = cli_try(before_sql, 3, values);

	if (PQresultStatus(before) == PGRES_TUPLES_OK && PQntuples(before) == 1)
		cli_note("before: %s", PQgetvalue(before, 0, 0));
	PQclear(before);
}

int
cli_set_limit(cli_call *call)
{
	cli_statement s;

	ask_to_remove(call, "queue");
	tell_replaced(call->arguments[0], "queue", NULL);
	cli_begin(&s, "*", "set_limit");
	cli_pass(&s, "queue", NULL, call->arguments[0]);
	cli_pass_options(&s, call);
	PQclear(cli_end_or_fail(&s, ""));
	return EXIT_DONE;
}

int
cli_set_group_limit(cli_call *call)
{
	const char *group = cli_argument(call, 1);
	cli_statement s;

	ask_to_remove(call, group != NULL ? "that group of queue" : "each group of queue");
	tell_replaced(call->arguments[0], group != NULL ? "group" : "every group", group);
	/* The group has no default; NULL is each group. */
	cli_begin(&s, "*", "set_group_limit");
	cli_pass(&s, "queue", NULL, call->arguments[0]);
	if (group != NULL)
		cli_pass(&s, "group_key", NULL, group);
	else
		cli_pass_null(&s, "group_key");
	cli_pass_options(&s, call);
	PQclear(cli_end_or_fail(&s, ""));
	return EXIT_DONE;
}

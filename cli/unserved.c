/*
 * unserved.c
 *		ls --unserved: the kinds of pending tasks that no running worker does.
 */
#include <string.h>

#include "cli/call.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/unserved.h"

enum
{
	QUEUE,
	KIND,
	TASKS, /* NULL: the queue has more tasks than were looked at */
	OLDEST,
	LOOKED_AT,
	NCOLUMNS
};

static const char columns[] = "queue, kind, tasks, oldest, looked_at";

static void
refuse_filters(const cli_call *call)
{
	int i;

	for (i = 0; i < call->ngiven; i++)
	{
		const char *name = call->given[i].option->name;

		if (strcmp(name, "unserved") != 0 && strcmp(name, "scan") != 0)
			cli_usage("--%s does not go with --unserved", name);
	}
}

/* Tells which queues have more tasks, and returns the other rows. */
static PGresult *
tell_rest(PGresult *found)
{
	PGresult *kinds = PQcopyResult(found, PG_COPYRES_ATTRS);
	int n = 0;
	int row;
	int i;

	if (kinds == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	for (row = 0; row < PQntuples(found); row++)
	{
		if (PQgetisnull(found, row, TASKS))
		{
			cli_note("looked at %s tasks of queue \"%s\", which has more; --scan looks further",
					 PQgetvalue(found, row, LOOKED_AT), PQgetvalue(found, row, QUEUE));
			continue;
		}
		for (i = 0; i < NCOLUMNS; i++)
			PQsetvalue(kinds, n, i, PQgetvalue(found, row, i),
					   PQgetisnull(found, row, i) ? -1 : PQgetlength(found, row, i));
		n++;
	}
	PQclear(found);
	return kinds;
}

int
cli_run_unserved(cli_call *call)
{
	cli_statement s;
	PGresult *kinds;

	refuse_filters(call);
	cli_begin(&s, columns, "unserved");
	cli_pass(&s, "queue", NULL, cli_argument(call, 0));
	cli_pass_options(&s, call);
	kinds = tell_rest(cli_end_or_fail(&s, ""));
	cli_print(kinds, NCOLUMNS - 1);
	PQclear(kinds);
	return EXIT_DONE;
}

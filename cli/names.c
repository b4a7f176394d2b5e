/*
 * names.c
 *		Names of queues and the like, and which one a wrong name is most like.
 */
#include <stdio.h>
#include <string.h>

#include "cli/names.h"
#include "cli/report.h"
#include "cli/session.h"

/* By cli_kind. */
static const struct
{
	const char *names;
	const char *message; /* of the server about one that is not there */
	const char *list;    /* the command that shows all */
} kinds[] = {
	[KIND_QUEUE] = {"select queue from taskq.queues order by 1",
					"queue \"%63[^\"]\" does not exist%n", "taskq queue ls"},
	[KIND_ENDPOINT] = {"select endpoint from taskq.endpoints order by 1",
					   "endpoint \"%63[^\"]\" does not exist%n", "taskq endpoint ls"},
	[KIND_POLICY] = {"select name from taskq.retry_policies order by 1",
					 "retry policy \"%63[^\"]\" does not exist%n", "taskq policy ls"},
	[KIND_SCHEDULE] = {"select schedule from taskq.schedules order by 1",
					   "schedule \"%63[^\"]\" does not exist%n", "taskq schedule ls"}};

PGresult *
cli_names(cli_kind kind)
{
	return cli_try(kinds[kind].names, 0, NULL);
}

bool
cli_name_exists(cli_kind kind, const char *name)
{
	PGresult *names = cli_names(kind);
	bool found = PQresultStatus(names) != PGRES_TUPLES_OK;
	int i;

	for (i = 0; !found && i < PQntuples(names); i++)
		found = strcmp(PQgetvalue(names, i, 0), name) == 0;
	PQclear(names);
	return found;
}

const char *
cli_suggest(cli_kind kind, const char *wrong)
{
	static char hint[200];
	PGresult *names = cli_names(kind);
	cli_nearest nearest = {.wrong = wrong};
	int i;

	for (i = 0; PQresultStatus(names) == PGRES_TUPLES_OK && i < PQntuples(names); i++)
		(void) cli_nearest_try(&nearest, PQgetvalue(names, i, 0));
	if (nearest.best != NULL)
		snprintf(hint, sizeof(hint), "Did you mean \"%s\"?  \"%s\" shows all there are.",
				 nearest.best, kinds[kind].list);
	PQclear(names);
	return nearest.best != NULL ? hint : NULL;
}

/* The state that is most like one that there is not. */
static const char *
suggest_state(const char *wrong)
{
	static const char *const states[] = {"pending", "running", "finished",
										 "dead", "cancelled", "expired"};
	static char hint[200];
	cli_nearest nearest = {.wrong = wrong};
	int i;

	for (i = 0; i < COUNT(states); i++)
		(void) cli_nearest_try(&nearest, states[i]);
	strcpy(hint, "The states are pending, running, finished, dead, cancelled and expired.");
	if (nearest.best != NULL)
		snprintf(hint, sizeof(hint), "Did you mean \"%s\"?", nearest.best);
	return hint;
}

const char *
cli_suggest_for(const char *message)
{
	char wrong[64];
	int end = 0; /* the number of characters that fit; 0: not all of the format */
	int kind;

	if (sscanf(message, "invalid input value for enum taskq.state: \"%63[^\"]\"", wrong) == 1)
		return suggest_state(wrong);

	for (kind = KIND_NONE + 1; kind < COUNT(kinds); kind++)
		if (sscanf(message, kinds[kind].message, wrong, &end) == 1 && end > 0)
			return cli_suggest((cli_kind) kind, wrong);
	return NULL;
}

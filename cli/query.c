/*
 * query.c
 *		Statements whose errors end the program, with a hint where one is known.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/names.h"
#include "cli/query.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/settings.h"

/* A hint that the server does not give; NULL: none. */
static const char *
own_hint(const PGresult *result, const char *message)
{
	static char hint[300];

	if ((cli_has_code(result, "3F000") || cli_has_code(result, "42883") ||
		 cli_has_code(result, "42P01")) &&
		strstr(message, "taskq") != NULL)
	{
		snprintf(hint, sizeof(hint),
				 "Has database \"%s\" the extension, in the version of this program?  Use -d for "
				 "another database; \"taskq setup\" creates the extension.",
				 PQdb(cli_connection()));
		return hint;
	}
	if (cli_has_code(result, "42501") && strstr(message, "schema taskq") != NULL)
	{
		snprintf(hint, sizeof(hint),
				 "An administrator gives role \"%s\" a queue with \"taskq queue grant\", or all of "
				 "them: grant taskq_submitter, taskq_worker, taskq_reader or taskq_admin to it.",
				 settings.role != NULL ? settings.role : PQuser(cli_connection()));
		return hint;
	}
	return cli_suggest_for(message);
}

void
cli_fail_result(const PGresult *result)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	cli_session_recover();
	exit(cli_report_error(result, message != NULL ? own_hint(result, message) : NULL));
}

PGresult *
cli_query(const char *sql, int nvalues, const char *const *values)
{
	PGresult *result = cli_try(sql, nvalues, values);
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		cli_fail_result(result);
	return result;
}

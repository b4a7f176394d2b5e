/*
 * environment.c
 *		The environment that all commands of a worker get.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/environment.h"
#include "cli/report.h"

extern char **environ;

void
cli_environment_put(cli_runner_options *r, const char *variable)
{
	size_t len = strcspn(variable, "=") + 1;
	int i;

	for (i = 0; i < r->nenvironment; i++)
		if (strncmp(r->environment[i], variable, len) == 0)
			break;
	if (i == r->nenvironment)
	{
		r->environment = realloc(r->environment, (size_t) (i + 2) * sizeof(char *));
		if (r->environment == NULL)
			cli_fail(EXIT_REFUSED, NULL, "out of memory");
		r->nenvironment++;
	}
	r->environment[i] = (char *) variable;
	r->environment[r->nenvironment] = NULL;
}

static void
put(cli_runner_options *r, const char *name, const char *value)
{
	char *variable;

	if (asprintf(&variable, "%s=%s", name, value) < 0)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	cli_environment_put(r, variable);
}

/* Of the worker's own: not what tells of another task, and no password. */
static bool
is_passed_on(const char *variable, bool clean)
{
	static const char *const others[] = {
		"PGPASSWORD=", "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=",
		"TASKQ_TASK_ID=", "TASKQ_TOKEN=", "TASKQ_QUEUE=", "TASKQ_KIND=",
		"TASKQ_KEY=", "TASKQ_ATTEMPT=", "TASKQ_MAX_ATTEMPTS=", "TASKQ_SUBMITTED_AT=",
		"TASKQ_LEASE_UNTIL=", "TASKQ_REPLY_FD=", "TASKQ_TRACE=", "TRACEPARENT=",
		"TRACESTATE="};
	int i;

	if (clean)
		return strncmp(variable, "PATH=", 5) == 0;
	for (i = 0; i < COUNT(others); i++)
		if (strncmp(variable, others[i], strlen(others[i])) == 0)
			return false;
	return true;
}

void
cli_environment_begin(cli_runner_options *r, bool clean)
{
	char **own;

	for (own = environ; *own != NULL; own++)
		if (is_passed_on(*own, clean))
			cli_environment_put(r, *own);
}

void
cli_environment_make(cli_runner_options *r, bool clean, const char *database, const char *worker)
{
	cli_environment_begin(r, clean);
	put(r, "TASKQ_DATABASE", database);
	put(r, "TASKQ_WORKER", worker);
	if (r->surroundings.with_reply)
		put(r, "TASKQ_REPLY_FD", "3");
}

/*
 * pqoptions.h
 *		The options of taskq perfectqueue: those of PerfectQueue, from the command line and from
 *		files in YAML.
 */
#ifndef CLI_PQOPTIONS_H
#define CLI_PQOPTIONS_H

#include <stdbool.h>

#include "cli/command.h"

typedef enum cli_pq_action
{
	PQ_NONE,
	PQ_PUSH,
	PQ_LIST,
	PQ_CANCEL,
	PQ_CONFIGURE,
	PQ_EXEC,
	PQ_RUN
} cli_pq_action;

/* Times are seconds.  What was not given is NULL, or has its default. */
typedef struct cli_pqoptions
{
	cli_pq_action action;
	const char *argument; /* of the action */
	const char *run_class;
	int timeout;
	int heartbeat_interval;
	int kill_timeout;
	int kill_interval;
	int poll_interval;
	int retry_wait;
	int expire;
	int delete_wait;
	int workers;
	const char *database;
	const char *table;
	const char *log;
	const char *daemon; /* its pid file */
	bool verbose;
	char **args; /* nargs, after the command or the script */
	int nargs;
	char **env; /* nenv, NAME=VALUE */
	int nenv;
} cli_pqoptions;

/*
 * Reads the arguments of a call that was not parsed, and the files that -f names.  With --configure
 * it writes that file.  A mistake, --help and --configure end the program.
 */
extern void cli_pqoptions_read(cli_pqoptions *o, const cli_call *call);

/* A mistake in what was given: prints the usage and "error: ...", and ends with status 1. */
extern void cli_pq_usage(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif

/*
 * runopts.h
 *		The options that say how a command is run.
 */
#ifndef CLI_RUNOPTS_H
#define CLI_RUNOPTS_H

#include "cli/command.h"
#include "cli/runner.h"

#define RUNOPTS_MAX_JOBS 10000

/*
 * Reads them into r, which has its command.  max_processes and the environment are the caller's to
 * set.  Ends the program if the command cannot be executed.
 */
extern void cli_runopts_read(const cli_call *call, cli_runner_options *r);

/* Makes the environment of its commands. */
extern void cli_runopts_read_environment(const cli_call *call, cli_runner_options *r,
										 const char *database, const char *worker);

#endif

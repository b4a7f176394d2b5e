/*
 * environment.h
 *		The environment that all commands of a worker get.
 */
#ifndef CLI_ENVIRONMENT_H
#define CLI_ENVIRONMENT_H

#include <stdbool.h>

#include "cli/runner.h"

/*
 * Begins it with the program's own, without what tells of another task and without a password;
 * clean: PATH alone.  What it is made of must outlive the options.
 */
extern void cli_environment_begin(cli_runner_options *r, bool clean);

/* The same, and what all commands of a worker get.  database has no password. */
extern void cli_environment_make(cli_runner_options *r, bool clean, const char *database,
								 const char *worker);

/* Adds NAME=VALUE, instead of a variable with the same name. */
extern void cli_environment_put(cli_runner_options *r, const char *variable);

#endif

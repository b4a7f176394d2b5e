/*
 * environment.h
 *		The environment that all commands of a worker get.
 */
#ifndef CLI_ENVIRONMENT_H
#define CLI_ENVIRONMENT_H

#include <stdbool.h>

#include "cli/runner.h"

/*
 * Begins it with the worker's own, without what tells of another task and without a password;
 * clean: PATH alone.  database has no password.  What it is made of must outlive the options.
 */
extern void cli_environment_make(cli_runner_options *r, bool clean, const char *database,
								 const char *worker);

/* Adds NAME=VALUE, instead of a variable with the same name. */
extern void cli_environment_put(cli_runner_options *r, const char *variable);

#endif

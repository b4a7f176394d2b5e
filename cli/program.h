/*
 * program.h
 *		Whether the command of a worker can be executed.
 */
#ifndef CLI_PROGRAM_H
#define CLI_PROGRAM_H

#include <stdbool.h>

#include "cli/runner.h"

/* Whether the file of the command is there and can be executed. */
extern bool cli_program_is_there(const cli_runner_options *r);

/* Ends the program with status 1 if the command is not there, before anything is claimed. */
extern void cli_program_check(const cli_runner_options *r);

#endif

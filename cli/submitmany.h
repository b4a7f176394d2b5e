/*
 * submitmany.h
 *		submit --lines: a task for each line of a file.
 */
#ifndef CLI_SUBMITMANY_H
#define CLI_SUBMITMANY_H

#include "cli/call.h"

/* For cli_command.run. */
extern int cli_submit_lines(cli_call *call);

/* Reports the error of a statement that submits; what is no JSON is the payload, or an option. */
extern void cli_fail_submit(const cli_statement *s, const PGresult *result)
	__attribute__((noreturn));

#endif

/*
 * help.h
 *		--help and the manual, from the tables of the commands.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/command.h"

/* The help of a command, or of the program if it is NULL. */
extern void cli_help(const cli_command *command);

/* The help of a command that was called as this program. */
extern void cli_help_as(const char *program, const cli_command *command);

/* For cli_command.run: prints the manual page, or the help of the command that is the argument. */
extern int cli_run_manual(cli_call *call);
extern int cli_run_help(cli_call *call);

/* The commands whose first word this is. */
extern void cli_help_group(const char *word);

#endif

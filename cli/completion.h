/*
 * completion.h
 *		Completion of the command line by shells.
 */
#ifndef CLI_COMPLETION_H
#define CLI_COMPLETION_H

#include "cli/command.h"

extern const cli_command cli_completion;
extern const cli_command cli_complete;

#endif

/*
 * show.h
 *		show and result: all about a task, and what it returned.
 */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/command.h"

extern const cli_command cli_show;
extern const cli_command cli_result;

#endif

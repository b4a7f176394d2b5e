/*
 * show.h
 *		show and result: all about a task, and what it returned.
 */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/command.h"

extern const cli_command cli_show;
extern const cli_command cli_result;

/* Prints the body of the last HTTP answer, byte for byte; nothing if there is none. */
extern void cli_print_answer(const char *id);

#endif

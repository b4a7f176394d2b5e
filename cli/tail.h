/*
 * tail.h
 *		tail: follows what happens to tasks.
 */
#ifndef CLI_TAIL_H
#define CLI_TAIL_H

#include "cli/command.h"

extern const cli_command cli_tail;

#endif

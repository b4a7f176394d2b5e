/*
 * ls.h
 *		ls: lists and searches tasks.
 */
#ifndef CLI_LS_H
#define CLI_LS_H

#include "cli/command.h"

extern const cli_command cli_ls;

#endif

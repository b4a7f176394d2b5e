/*
 * work.h
 *		work: runs a command for each task of a queue.
 */
#ifndef CLI_WORK_H
#define CLI_WORK_H

#include "cli/command.h"

extern const cli_command cli_work;

#endif

/*
 * progress.h
 *		progress: tells how far the present task is, inside a command of a worker.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/command.h"

extern const cli_command cli_progress;

#endif

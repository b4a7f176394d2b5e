/*
 * top.h
 *		top: queues, workers, endpoints and failures on the screen, live.
 */
#ifndef CLI_TOP_H
#define CLI_TOP_H

#include "cli/command.h"

extern const cli_command cli_top;

#endif

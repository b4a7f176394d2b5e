/*
 * receive.h
 *		receive: answers requests by a command.
 */
#ifndef CLI_RECEIVE_H
#define CLI_RECEIVE_H

#include "cli/command.h"

extern const cli_command cli_receive;

#endif

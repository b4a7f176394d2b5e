/*
 * newtoken.h
 *		token new: makes a token of the gateway, and its line of the file.
 */
#ifndef CLI_SERVE_NEWTOKEN_H
#define CLI_SERVE_NEWTOKEN_H

#include "cli/command.h"

extern const cli_command cli_token_new;

#endif

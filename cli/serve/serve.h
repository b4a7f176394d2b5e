/*
 * serve.h
 *		serve: the queue over HTTP.
 */
#ifndef CLI_SERVE_SERVE_H
#define CLI_SERVE_SERVE_H

#include "cli/command.h"

extern const cli_command cli_serve;

#endif

/*
 * submit.h
 *		submit and http: put tasks into queues.
 */
#ifndef CLI_SUBMIT_H
#define CLI_SUBMIT_H

#include "cli/command.h"

extern const cli_command cli_submit;
extern const cli_command cli_publish;
extern const cli_command cli_http;

#endif

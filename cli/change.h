/*
 * change.h
 *		Commands that change tasks: cancel, retry, reschedule, redrive, purge.
 */
#ifndef CLI_CHANGE_H
#define CLI_CHANGE_H

#include "cli/command.h"

extern const cli_command cli_cancel;
extern const cli_command cli_retry;
extern const cli_command cli_reschedule;
extern const cli_command cli_redrive;
extern const cli_command cli_purge;

#endif

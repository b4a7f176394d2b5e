/*
 * look.h
 *		Commands that look at the whole: stats, status, check.
 */
#ifndef CLI_LOOK_H
#define CLI_LOOK_H

#include "cli/command.h"

/* Prints what status() says of the connected database. */
extern void cli_show_status(void);

extern const cli_command cli_stats;
extern const cli_command cli_status;
extern const cli_command cli_check;

#endif

/*
 * config.h
 *		apply, export: what there is in the database, as a file.
 */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include "cli/command.h"

extern const cli_command cli_apply;
extern const cli_command cli_export;

#endif

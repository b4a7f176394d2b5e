/*
 * admin.h
 *		Commands about queues, endpoints, retry policies and schedules.
 */
#ifndef CLI_ADMIN_H
#define CLI_ADMIN_H

#include "cli/command.h"

extern const cli_command admin_commands[];
extern const int nadmin_commands;

#endif

/*
 * flow.h
 *		queue set-limit and the like: limits and groups of queues.
 */
#ifndef CLI_FLOW_H
#define CLI_FLOW_H

#include "cli/command.h"

/* For cli_command.run of the commands of queues, whose table is in admin.c. */
extern int cli_list_limits(cli_call *call);
extern int cli_list_groups(cli_call *call);
extern int cli_set_limit(cli_call *call);
extern int cli_set_group_limit(cli_call *call);

#endif

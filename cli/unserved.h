/*
 * unserved.h
 *		ls --unserved: the kinds of pending tasks that no running worker does.
 */
#ifndef CLI_UNSERVED_H
#define CLI_UNSERVED_H

#include "cli/command.h"

extern int cli_run_unserved(cli_call *call);

#endif

/*
 * perfectqueue.h
 *		perfectqueue: the command line of PerfectQueue on a queue of taskq.
 */
#ifndef CLI_PERFECTQUEUE_H
#define CLI_PERFECTQUEUE_H

#include "cli/command.h"

extern const cli_command cli_perfectqueue;

#endif

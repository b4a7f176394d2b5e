/*
 * pool.h
 *		The loop of taskq work: claims tasks, has commands do them, and reports what came of it.
 */
#ifndef CLI_POOL_H
#define CLI_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/workdb.h"

typedef struct cli_pool_options
{
	cli_workdb_options database;
	int64_t stop_timeout_ms; /* of running tasks after a signal; -1: none */
	int64_t idle_exit_ms;    /* end after so long without a task; -1: never */
	int breaker;             /* failures in a row; 0: never */
	bool drain;              /* end when nothing is due */
	bool once;               /* end after one task */
} cli_pool_options;

/*
 * Works until it is told to stop or there is nothing to do.  Returns the exit status.  The options
 * must be complete; the signals are taken here.
 */
extern int cli_pool_run(const cli_pool_options *options);

#endif

/*
 * pqwork.h
 *		The worker of taskq perfectqueue: --exec and --run.
 */
#ifndef CLI_PQWORK_H
#define CLI_PQWORK_H

#include "cli/pqoptions.h"

/* Works until it is told to stop.  The queue is there.  Returns the exit status. */
extern int cli_pqwork_run(const cli_pqoptions *options);

#endif

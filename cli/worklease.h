/*
 * worklease.h
 *		Extends the leases of jobs that run, and tells how far they are.
 */
#ifndef CLI_WORKLEASE_H
#define CLI_WORKLEASE_H

#include "cli/workdb.h"

/* Each adds what is due of its kind to the batch, as far as there is room. */
extern void cli_worklease_heartbeat(cli_workdb *db);
extern void cli_worklease_progress(cli_workdb *db);

/* Has the command itself finished a task whose lease is lost? */
extern void cli_worklease_look_up(cli_workdb *db);

#endif

/*
 * calls.h
 *		The calls that the executor has made: claims, and the processes that make them.
 */
#ifndef TASKQ_CALLS_H
#define TASKQ_CALLS_H

#include "postgres.h"

/* Does what is due; never raises an error. */
extern void calls_run(void);

/* Milliseconds until calls_run() has something to do, unless a process or a commit wakes it. */
extern int64 calls_due_in(void);

/* Whether a process, or a commit, has given it something to do.  Costs a few reads of memory. */
extern bool calls_have_news(void);

/* Some calls may have been cancelled. */
extern void calls_check_leases(void);

/*
 * The executor ends: the first function tells the processes to end, the second one waits for
 * them, but not long, and gives back the calls that they were making.
 */
extern void calls_stop(void);
extern void calls_end(void);

#endif

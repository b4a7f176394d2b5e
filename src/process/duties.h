/*
 * duties.h
 *		The executor's work besides deliveries: leases, history, keys, sweeps.
 */
#ifndef TASKQ_DUTIES_H
#define TASKQ_DUTIES_H

/*
 * Called at the start: takes back the tasks of an executor that died, and finds out when tasks
 * become due.  False: not possible now.
 */
extern bool duties_recover(void);

/* Performs due duties for a few milliseconds. */
extern void duties_run(void);

/*
 * Milliseconds until duties_run() has something to do.  asleep: changes wake the process, so that
 * nothing need be done to find them.
 */
extern int64 duties_due_in(bool asleep);

#endif

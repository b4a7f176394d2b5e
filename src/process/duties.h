/*
 * duties.h
 *		What the executor does beside delivering: leases, history, keys, sweeps.
 */
#ifndef TASKQ_DUTIES_H
#define TASKQ_DUTIES_H

/*
 * At the start: takes back the tasks of an executor that died, and finds out when tasks are
 * due.  False: not possible now.
 */
extern bool duties_recover(void);

/* Does some of what is due, for a few milliseconds. */
extern void duties_run(void);

/* Milliseconds until duties_run() has something to do. */
extern int64 duties_due_in(void);

#endif

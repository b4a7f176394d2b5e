/*
 * duties.h
 *		What the executor does beside delivering: leases, history, keys, sweeps.
 */
#ifndef TASKQ_DUTIES_H
#define TASKQ_DUTIES_H

/* At the start: takes back the tasks of an executor that died.  False: not possible now. */
extern bool duties_recover(void);

/* Does what is due. */
extern void duties_run(void);

/* Tables of history may be wanted at once: the database was armed. */
extern void duties_hurry(void);

/* Milliseconds until duties_run() has something to do. */
extern int64 duties_due_in(void);

#endif

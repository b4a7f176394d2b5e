/*
 * vacuum.h
 *		Vacuums the hot tables when they have many dead rows.
 */
#ifndef TASKQ_VACUUM_H
#define TASKQ_VACUUM_H

/* Starts a vacuum if it is useful now and none is running. */
extern void vacuum_run(void);

/* Milliseconds until vacuum_run() has something to do, if nothing changes in the database. */
extern int64 vacuum_due_in(void);

/* Stops a running vacuum, and waits until it has left the database. */
extern void vacuum_stop(void);

#endif

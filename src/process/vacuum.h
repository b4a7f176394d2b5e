/*
 * vacuum.h
 *		Dead rows of the hot tables are given back.
 */
#ifndef TASKQ_VACUUM_H
#define TASKQ_VACUUM_H

/* Has them vacuumed, if that is useful now. */
extern void vacuum_run(void);

/* Stops a vacuum under way, and waits until it has left the database. */
extern void vacuum_stop(void);

#endif

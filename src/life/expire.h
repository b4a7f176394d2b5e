/*
 * expire.h
 *		Ends leases that have run out, and tasks that were not started in time.
 */
#ifndef TASKQ_EXPIRE_H
#define TASKQ_EXPIRE_H

#include "tables/rows.h"

/* Whether the task had to start before now; it has not started. */
extern bool task_start_expired(const Row *task, TimestampTz now);

/*
 * Ends pending tasks that are too late to start and that a claim has met.  A task whose end fails,
 * or that another session has in hand, is left to the next pass.
 */
extern void expire_late(Row *tasks, int count);

/*
 * Runs one pass of each kind, in a session, because no executor runs.  The number of rows limits a
 * pass; true: the next pass has more to do at once.
 */
extern bool expire_some(void);

#endif

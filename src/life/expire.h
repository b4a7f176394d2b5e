/*
 * expire.h
 *		What time ends: leases that ran out, tasks that were not started in time.
 */
#ifndef TASKQ_EXPIRE_H
#define TASKQ_EXPIRE_H

#include "tables/rows.h"

/* The task was to start before now, and has not. */
extern bool task_start_expired(const Row *task, TimestampTz now);

/* The error of such a task. */
extern text *task_expired_error(void);

/*
 * A pass of both kinds, for sessions where no executor runs.  It is bounded by number; true: the
 * next pass has more to do at once.
 */
extern bool expire_some(void);

#endif

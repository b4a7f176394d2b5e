/*
 * start_stop.h
 *		start_executor(), stop_executor(), and waiting until an executor has ended.
 */
#ifndef TASKQ_START_STOP_H
#define TASKQ_START_STOP_H

#include "base/database.h"

/* Waits at most timeout_ms until the slot's executor has left the database; false if it has not. */
extern bool executor_wait_until_gone(TaskqDatabase *db, int timeout_ms);

#endif

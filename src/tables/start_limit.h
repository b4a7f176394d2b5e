/*
 * start_limit.h
 *		The times by which tasks must have started.
 */
#ifndef TASKQ_START_LIMIT_H
#define TASKQ_START_LIMIT_H

#include "tables/rows.h"

/* Inserts the row of a new task, if it has such a time. */
extern void start_limit_insert(const Row *task);

/* The task need not start any more: removes its row, if it has one. */
extern void start_limit_drop(const Row *task);

#endif

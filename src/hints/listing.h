/*
 * listing.h
 *		Finds the groups of a queue that have waiting tasks.
 */
#ifndef TASKQ_LISTING_H
#define TASKQ_LISTING_H

#include "hints/flow.h"
#include "tables/backlog.h"

/*
 * Reads on in the index of tasks with a group, if not all groups with waiting tasks are known.
 * False: nothing was found.
 */
extern bool listing_read_on(FlowQueue *q, Backlog *b);

#endif

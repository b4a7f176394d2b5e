/*
 * running.h
 *		Counts the leases of a queue in their table.
 */
#ifndef TASKQ_RUNNING_H
#define TASKQ_RUNNING_H

#include "hints/flow.h"

/*
 * Whether the numbers of running tasks of the queue and its groups are right, or too high.  Counts
 * the leases if they were not counted since the start of the server, or not for ten minutes.
 * False: that is not possible now, because open transactions give or end leases.
 */
extern bool running_is_known(FlowQueue *q);

#endif

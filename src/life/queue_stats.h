/*
 * queue_stats.h
 *		How many tasks each queue has.
 */
#ifndef TASKQ_QUEUE_STATS_H
#define TASKQ_QUEUE_STATS_H

#include "hints/counts.h"

/*
 * Sets the counts of each of the queues, whose ids the caller has set.  Without shared memory the
 * live tasks are counted now, and nothing else is known.
 */
extern void queue_counts_read(QueueCounts *counts, int count);

#endif

/*
 * follow_up.h
 *		Follow-ups: tasks that are submitted when another one ends.
 */
#ifndef TASKQ_FOLLOW_UP_H
#define TASKQ_FOLLOW_UP_H

#include "life/history.h"
#include "life/outcome.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* Whether the task got follow-ups while it ran, which stand in its lease. */
static inline bool
follow_ups_came_late(const Row *lease)
{
	return !lease->nulls[LEASE_ON_FINISH] || !lease->nulls[LEASE_ON_DEAD];
}

/* Moves them to the task. */
extern void follow_ups_move(Row *task, const Row *lease);

/*
 * Adds the follow-ups of a task that ends so to the list: its own, then those of its queue.  The
 * memory of the task and of the ending must last until they are submitted.
 */
extern void follow_ups_collect(List **list, const Row *task, const Row *lease,
							   const Ending *ending, const Keeping *keeping);

/*
 * Submits them in the order of their keys.  A follow-up that cannot be submitted becomes a dead
 * task.  No error is raised because of one.
 */
extern void follow_ups_submit(List *list);

/* Submits the follow-ups of a task that has ended before, as the current user. */
extern void follow_ups_submit_now(Jsonb *templates, const Outcome *outcome);

#endif

/*
 * own.h
 *		Finds the tasks that this transaction has made pending.
 */
#ifndef TASKQ_OWN_H
#define TASKQ_OWN_H

#include "hints/lanes.h"
#include "tables/backlog.h"

/* Where the tasks of a queue stand that this transaction has made pending. */
typedef struct OwnTasks
{
	struct OwnTasks *next;
	int32 queue_id;
	uint32 lanes;            /* those that have such tasks, as bits */
	Position behind[NLANES]; /* none of these tasks is pending up to here */
	uint64 passed;           /* how many of them, about, a walk from the left edge would meet */
	uint64 in_vain;          /* entries that may be read for the walks that have found nothing */
} OwnTasks;

/* Those of the queue; NULL: own_make() was not called for it in this transaction. */
extern OwnTasks *own_find(int32 queue_id);

/* Begins to remember them; the caller reports all tasks that were made pending before. */
extern OwnTasks *own_make(int32 queue_id);

/* The task is pending, or may be pending again.  Never fails. */
extern void own_pending(int32 queue_id, const Candidate *c);

/*
 * A walk has found nothing.  True: the next walk begins at the left edges, because an
 * administrator may have changed a task by hand.
 */
extern bool own_begin_anew(OwnTasks *own);

/* The transaction has ended. */
extern void own_forget(void);

/* A walk through these tasks in the order of acquisition. */
typedef struct OwnWalk
{
	Backlog *backlog;
	OwnTasks *own;
	TimestampTz now;
	TimestampTz next_due; /* of the tasks that are not due yet */
	Snapshot snapshot;
	TupleTableSlot *slot;
	LaneScan scan;
	int lane; /* NLANES: all lanes were read */
	bool there;
	Candidate first;
} OwnWalk;

extern void own_walk_begin(OwnWalk *w, Backlog *b, OwnTasks *own, TimestampTz now);

/* The first task that is pending and due; false: there is none. */
extern bool own_walk_first(OwnWalk *w, Candidate *c);

/* Passes the task that own_walk_first() has returned. */
extern void own_walk_pass(OwnWalk *w);

/* Returns when the next of these tasks becomes due, DT_NOEND if none does. */
extern TimestampTz own_walk_end(OwnWalk *w);

#endif

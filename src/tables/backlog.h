/*
 * backlog.h
 *		Looking at pending tasks: which there are, and whether one still is.
 *
 * A task is pending while its row stands and no lease has its id.
 */
#ifndef TASKQ_BACKLOG_H
#define TASKQ_BACKLOG_H

#include "tables/rows.h"

/* A task that can probably be claimed, and where its row is. */
typedef struct Candidate
{
	TimestampTz run_at;
	int64 id;
	ItemPointerData tid;
	int16 priority;
} Candidate;

/* The tables that say which tasks are pending, opened for writing until backlog_close(). */
typedef struct Backlog
{
	HotRelation task;
	HotRelation lease;
	/* Tasks in the order of acquisition: (queue_id, priority, run_at, id). */
	Relation order;

	/* The task that is being looked at. */
	TupleTableSlot *slot;
} Backlog;

extern void backlog_open(Backlog *b);
extern void backlog_close(Backlog *b);

/* The row as a candidate. */
extern Candidate candidate_of(const Row *task);

/*
 * Whether the row that a candidate speaks of stands, and no other transaction is
 * about to insert or delete it; b->slot has it then, until ExecClearTuple().  An
 * administrator's update does not take it away; other updates are made under its lease.
 */
extern bool backlog_stands(Backlog *b, const Candidate *c);

/* Whether the task has a lease, of whatever transaction. */
extern bool backlog_has_lease(Backlog *b, int64 id);

/* Both: whether the task is pending, and in no other transaction's hands.  Holds nothing. */
extern bool backlog_is_pending(Backlog *b, const Candidate *c);

/*
 * Walks the lanes of a queue from their left edges, in the order of
 * acquisition, and calls see() with each pending task that is due, until it
 * returns false.  Returns the earliest run_at met that lies after now, DT_NOEND
 * if none.  For when dispatch.c knows nothing of the queue.
 */
typedef bool (*TaskSeer)(Backlog *b, const Candidate *c, void *arg);
extern TimestampTz backlog_walk(Backlog *b, int32 queue_id, TimestampTz now, TaskSeer see,
								void *arg);

/*
 * The priorities of the queue that have index entries, as bits: bit n is priority
 * n + lowest.  Those of tasks that are running or have ended count.
 */
extern uint32 backlog_lanes(Backlog *b, int32 queue_id, int lowest);

/*
 * For each of the queues, whose ids ascend: the time before which no committed task of it
 * is due, DT_NOEND if it has none.  Reads the first index entry of each lane and no row,
 * so that an entry of a running or ended task may say "now".
 */
extern void backlog_survey(Backlog *b, const int32 *ids, int count, TimestampTz now,
						   TimestampTz *due);

#endif

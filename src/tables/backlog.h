/*
 * backlog.h
 *		Looks at pending tasks: which tasks are pending, and whether a given task still is.
 *
 * A task is pending while its row exists and no lease has its id.
 */
#ifndef TASKQ_BACKLOG_H
#define TASKQ_BACKLOG_H

#include "access/genam.h"
#include "tables/rows.h"
#include "utils/snapshot.h"

/* A task that can probably be claimed, and the place of its row. */
typedef struct Candidate
{
	TimestampTz run_at;
	int64 id;
	ItemPointerData tid;
	int16 priority;
} Candidate;

/* The tables that show which tasks are pending, opened for writing until backlog_close(). */
typedef struct Backlog
{
	HotRelation task;
	HotRelation lease;
	/* Tasks without a group in the order of acquisition: (queue_id, priority, run_at, id). */
	Relation order;

	/* The task at which the session is looking. */
	TupleTableSlot *slot;
} Backlog;

extern void backlog_open(Backlog *b);
extern void backlog_close(Backlog *b);

/* When the task is due: at its run_at, or later if it failed in an ordered queue. */
extern TimestampTz task_due_at(const Row *task);

/* Whether it waits for other tasks: see prerequisite.h. */
extern bool task_waits(const Row *task);

/* The row as a candidate. */
extern Candidate candidate_of(const Row *task);
extern Candidate candidate_in(TupleTableSlot *slot);

/*
 * Whether the candidate's row exists, and no other open transaction has inserted or deleted
 * it.  If so, b->slot holds the row until ExecClearTuple().  An open update does not count:
 * only administrators update the row of a task that has no lease.
 */
extern bool backlog_stands(Backlog *b, const Candidate *c);

/* Whether the task has a lease, committed or not. */
extern bool backlog_has_lease(Backlog *b, int64 id);

/* Whether the candidate's row exists, and another open transaction is deleting it. */
extern bool backlog_is_ending(Backlog *b, const Candidate *c);

/* Both: whether the task is pending and no open transaction has taken it.  Takes no lock. */
extern bool backlog_is_pending(Backlog *b, const Candidate *c);

/*
 * Walks the lanes of a queue from their left edges, in the order of
 * acquisition, and calls see() with each pending due task that has no group, until it
 * returns false.  Returns the earliest run_at after "now" that it has met, DT_NOEND
 * if none.  It is used when dispatch.c knows nothing about the queue.
 */
typedef bool (*TaskSeer)(Backlog *b, const Candidate *c, void *arg);
extern TimestampTz backlog_walk(Backlog *b, int32 queue_id, TimestampTz now, TaskSeer see,
								void *arg);

/*
 * Returns the priorities of the queue that have index entries, as bits: bit n is priority
 * n + lowest.  Entries of running and ended tasks count as well.
 */
extern uint32 backlog_lanes(Backlog *b, int32 queue_id, int lowest);

/*
 * Sets due[] for each of the queues, whose ids ascend: no committed task of it without a group is
 * due before that time; DT_NOEND: it has no such task.  Reads only the first index entry of each
 * lane and no row, so the time may come from the entry of a running or ended task and be too
 * early.
 */
extern void backlog_survey(Backlog *b, const int32 *ids, int count, TimestampTz now,
						   TimestampTz *due);

/* The first entry of a lane, which is a queue and a priority. */
typedef struct LaneHead
{
	int32 queue_id;
	int16 priority;
	TimestampTz run_at;
} LaneHead;

/* A look at the lanes of many queues, in the order of their ids, without their groups. */
typedef struct LaneLook
{
	Backlog *b;
	Snapshot snapshot;
	TupleTableSlot *slot;
	IndexScanDesc lanes;
	IndexScanDesc rows;
	LaneHead next; /* that of the first lane behind the queue that was looked at */
} LaneLook;

extern void lane_look_open(LaneLook *look, Backlog *b);
extern void lane_look_close(LaneLook *look);

/*
 * Returns the same bits as backlog_lanes().  *count becomes the number of committed tasks whose
 * run_at is after "now", at most max; the cost does not depend on how many are due.
 */
extern uint32 lane_look_later(LaneLook *look, int32 queue_id, int lowest, TimestampTz now, int max,
							  int *count);

/* The lowest run_at of the pending tasks of these lanes that are due; DT_NOEND: none is. */
extern TimestampTz lane_look_oldest(LaneLook *look, int32 queue_id, int lowest, uint32 lanes,
									TimestampTz now);

#endif

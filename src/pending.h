/*
 * pending.h
 *		Pending tasks: those that have no lease.  How one is looked at, held and taken.
 */
#ifndef TASKQ_PENDING_H
#define TASKQ_PENDING_H

#include "task.h"

#include "storage/itemptr.h"

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

	/* For one that is being looked at. */
	struct TupleTableSlot *slot;
} Backlog;

extern void backlog_open(Backlog *b);
extern void backlog_close(Backlog *b);

/* Inserts a task, which is pending from then on; tells dispatch.c, stats.c and who waits for it. */
extern void pending_insert(Row *task);

/* The same for one whose row was inserted, or updated, by the caller. */
extern void pending_made(const Row *task);

/* Whether the task is pending, and in nobody's hands: a look that holds nothing. */
extern bool pending_is_there(Backlog *b, const Candidate *c);

/*
 * Holds a pending task; *task becomes its row.  Until pending_let_go(), which
 * must follow soon, nobody else claims or changes it.  By then the holder has
 * either inserted a lease or deleted the task row with pending_delete(), or
 * leaves the task to others.  ROW_GONE: it is none, or in the hands of somebody
 * who will offer it should he roll back.  ROW_BUSY, only when not waiting:
 * another holds it, and perhaps leaves it.  Who holds one must not wait for
 * the next.
 */
extern RowResult pending_hold(Backlog *b, const Candidate *c, bool wait, Row *task);
extern void pending_let_go(const Backlog *b, int64 id);

/*
 * The same for one that no candidate was given of.  ROW_BUSY: somebody has it in
 * hand; when waiting, his transaction is waited for.  ROW_GONE: it is not pending.
 */
extern RowResult pending_hold_by_id(Backlog *b, int64 id, bool wait, Row *task);

/*
 * Deletes the row of a task that is held, and lets it go: what is to become of
 * it is the caller's business from here on.  Where an administrator is at that
 * row, or has changed it, the task stays as it is: ROW_BUSY, ROW_CHANGED.
 * locked: this transaction has locked the row.
 */
extern RowResult pending_delete(Backlog *b, const Row *task, bool locked);

/* Both for one that no candidate was given of; results as above. */
extern RowResult pending_take(int64 id, bool wait, Row *task);

/* The row as a candidate. */
extern Candidate candidate_of(const Row *task);

/*
 * Walks the lanes of a queue from their left edges, in the order of
 * acquisition, and calls see() with each pending task that is due, until it
 * returns false.  Returns the earliest run_at met that lies after now, DT_NOEND
 * if none.  For when dispatch.c knows nothing of the queue.
 */
typedef bool (*TaskSeer)(Backlog *b, const Candidate *c, void *arg);
extern TimestampTz backlog_walk(Backlog *b, int32 queue_id, TimestampTz now, TaskSeer see,
								void *arg);

#endif

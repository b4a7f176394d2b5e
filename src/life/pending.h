/*
 * pending.h
 *		Pending tasks: makes, holds and takes them.
 */
#ifndef TASKQ_PENDING_H
#define TASKQ_PENDING_H

#include "tables/backlog.h"

/*
 * Inserts a pending task.  At commit it becomes a candidate, is counted, and wakes the processes
 * that wait for it.
 */
extern void pending_insert(Row *task);

/* The same for a task whose row the caller has updated. */
extern void pending_made(const Row *task);

/* The same for a task that the caller has taken with pending_take(), and changed. */
extern void pending_insert_again(Row *task);

/*
 * Holds a pending task; *task becomes its row.  Until pending_let_go(), which must
 * follow soon, no other session claims or changes it.  By then the holder has inserted
 * a lease, or has deleted the task row with pending_delete(), or leaves the task to
 * other sessions.
 *
 * ROW_GONE: the task is not pending, or another transaction is ending or claiming it and will
 * offer it again if it rolls back.  ROW_BUSY, only when not waiting: another session holds the
 * task, and may leave it pending.  A session that holds a task must not wait for another one.
 */
extern RowResult pending_hold(Backlog *b, const Candidate *c, bool wait, Row *task);

/*
 * The same by id.  If another transaction has inserted or ended the task and is still open, the
 * session waits for its end (ROW_BUSY when not waiting) and holds no task meanwhile.
 */
extern RowResult pending_hold_by_id(Backlog *b, int64 id, bool wait, Row *task);

/* The held task is taken: other sessions are told of it if this transaction rolls back. */
extern void pending_taken(Backlog *b, const Row *task);

/* Ends the hold. */
extern void pending_let_go(const Backlog *b, int64 id);

/*
 * Deletes the row of a held task and ends the hold; the caller then decides the next state of
 * the task.  If an administrator is changing the row (ROW_BUSY) or has changed it
 * (ROW_CHANGED), the task stays as it is.  locked: this transaction has locked the row.
 */
extern RowResult pending_delete(Backlog *b, const Row *task, bool locked);

/* Holds and deletes a task by its id; results as above. */
extern RowResult pending_take(int64 id, bool wait, Row *task);

/* The same in an open backlog, for many tasks. */
extern RowResult pending_take_in(Backlog *b, int64 id, bool wait, Row *task);

#endif

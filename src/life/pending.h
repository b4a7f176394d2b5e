/*
 * pending.h
 *		Pending tasks: how one is made, held and taken.
 */
#ifndef TASKQ_PENDING_H
#define TASKQ_PENDING_H

#include "tables/backlog.h"

/*
 * Inserts a task, which is pending from then on; tells dispatch, counts and the
 * processes that wait for it.
 */
extern void pending_insert(Row *task);

/* The same for a task whose row the caller has updated. */
extern void pending_made(const Row *task);

/*
 * Holds a pending task; *task becomes its row.  Until pending_let_go(), which must
 * follow soon, no other session claims or changes it.  By then the holder has inserted
 * a lease, or has deleted the task row with pending_delete(), or leaves the task to
 * other sessions.
 *
 * ROW_GONE: it is not pending, or the transaction that has it in hand will offer it
 * should it roll back.  ROW_BUSY, only when not waiting: another session holds it,
 * and may leave it.  A session that holds a task must not wait for another one.
 */
extern RowResult pending_hold(Backlog *b, const Candidate *c, bool wait, Row *task);

/*
 * The same by id.  A transaction that is about to insert or end the task is waited
 * for (ROW_BUSY when not waiting); while it waits this session holds nothing.
 */
extern RowResult pending_hold_by_id(Backlog *b, int64 id, bool wait, Row *task);

/* Ends the hold. */
extern void pending_let_go(const Backlog *b, int64 id);

/*
 * Deletes the row of a task that is held, and ends the hold: what becomes of
 * the task is the caller's business from here on.  If an administrator is changing
 * that row, or has changed it, the task stays as it is: ROW_BUSY, ROW_CHANGED.
 * locked: this transaction has locked the row.
 */
extern RowResult pending_delete(Backlog *b, const Row *task, bool locked);

/* Holds and deletes a task by its id; results as above. */
extern RowResult pending_take(int64 id, bool wait, Row *task);

#endif

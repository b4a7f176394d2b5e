/*
 * lease.h
 *		Leases of running tasks: gives, checks, extends and takes them back.
 *
 * lease.c is the only writer of the table of leases.
 */
#ifndef TASKQ_LEASE_H
#define TASKQ_LEASE_H

#include "tables/rows.h"
#include "utils/jsonb.h"

#define EXECUTOR_WORKER "executor" /* name of the executor's leases */
#define RECEIVER_WORKER "receiver" /* of those whose receivers report: see accept_202 */

/* Inserts leases for tasks that the caller holds; "leases" is open. */
extern void lease_give(HotRelation *leases, Row **rows, int count);

/*
 * Ends the lease: deletes its row if it still exists with that token.
 * ROW_GONE: the lease was lost.  ROW_BUSY, only when not waiting: another transaction
 * is changing it.
 */
extern RowResult lease_take(int64 id, int64 token, Row *lease, bool wait);

/* Deletes the lease without waiting.  False: its row was changed after it was read, or is busy. */
extern bool lease_take_as_read(const Row *lease);

/*
 * lease_take() without waiting, for the sender of a push task: the executor, or a
 * role that may work on its queue.  The first one, in an open table for many leases: TQ007 for a
 * role with another privilege on it, and for other roles the lease is lost.  The second one treats
 * the lease as lost then, so that the sender can give back the others.
 */
extern RowResult lease_take_sent_in(HotRelation *leases, int64 id, int64 token, Row *lease);
extern RowResult lease_take_unsent(int64 id, int64 token, Row *lease);

/*
 * The same for a client, which needs the privilege work on the queue.  False: the lease was lost,
 * or the client has no privilege on the queue.
 */
extern bool lease_take_own(int64 id, int64 token, Row *lease);

/* The same in an open table, for many leases. */
extern bool lease_take_own_in(HotRelation *leases, int64 id, int64 token, Row *lease);

/* The same, but the lease stays, locked until the transaction ends. */
extern bool lease_lock_own(int64 id, int64 token, Row *lease);

/* Whether the client has that lease now, and the privilege work on the queue. */
extern bool lease_is_own(int64 id, int64 token);

/* How long a heartbeat without extend_by extends the lease. */
extern int64 lease_length_us(const Row *lease);

/*
 * Both let the lease run out later.  lease_extend_sent() is for the sender of a push task: the
 * lease runs for its own length from now; the call does not wait.  lease_extend_own() is for a
 * client with the privilege work on the queue: the lease runs for extend_us from now (0: its own
 * length).  Results as above; *lease is the new row.
 */
extern RowResult lease_extend_sent(int64 id, int64 token, Row *lease);
extern bool lease_extend_own(int64 id, int64 token, int64 extend_us, Row *lease);

/*
 * For the sender of a push task: from now on the lease is the receiver's, and runs for its own
 * length.  A restart of the executor does not end it.  Does not wait.  ROW_GONE also if the queue
 * has no accept_202.
 */
extern RowResult lease_hand_over(int64 id, int64 token, Row *lease);

/*
 * Lets the lease run out by_us from now; later heartbeats extend it by its own length as before.
 * Results as of lease_take(), without waiting.
 */
extern RowResult lease_put_off(int64 id, int64 token, int64 by_us);

/*
 * Sets back the times of a lease that is ahead of the clock: it runs out as if the clock had been
 * right.  Results as above.
 */
extern RowResult lease_set_back(int64 id, int64 token);

/* Writes what progress() has told of inside a call, if the lease still has that token. */
extern RowResult lease_progress(int64 id, int64 token, Jsonb *told);

/* Marks the running task: it is to be cancelled.  Its worker or the executor finds the mark. */
extern RowResult lease_mark_cancelled(int64 id, text *reason);

/*
 * Adds follow-ups, lists of templates or 0, to a running task.  TQ004 if it has too many then.
 * *task is its row.
 */
extern RowResult lease_add_follow_ups(int64 id, const Row *task, Datum on_finish, Datum on_dead);

#endif

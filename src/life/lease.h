/*
 * lease.h
 *		The ownership of a running task: given, proved, extended, taken back.
 *
 * lease.c is the only writer of the table of leases.
 */
#ifndef TASKQ_LEASE_H
#define TASKQ_LEASE_H

#include "tables/rows.h"

#define EXECUTOR_WORKER "executor" /* name of the executor's leases */

/* Inserts leases of tasks that the caller holds; leases is open. */
extern void lease_give(HotRelation *leases, Row **rows, int count);

/*
 * Takes the lease away from its owner: deletes it if it is still there
 * with that token.  ROW_GONE: it was lost.  ROW_BUSY, only when not waiting:
 * another transaction is changing it.
 */
extern RowResult lease_take(int64 id, int64 token, Row *lease, bool wait);

/* Deletes the lease as it was read, without waiting.  False: it has been changed, or is busy. */
extern bool lease_take_as_read(const Row *lease);

/*
 * lease_take() without waiting, for the sender of a push task: the executor, or a
 * role that may work on its queue; TQ007 for others.
 */
extern RowResult lease_take_sent(int64 id, int64 token, Row *lease);

/* The same for a client that must have the privilege to work on the queue; false: it was lost. */
extern bool lease_take_own(int64 id, int64 token, Row *lease);

/* The same with a table that is open, for many looks. */
extern bool lease_take_own_in(HotRelation *leases, int64 id, int64 token, Row *lease);

/* By how much a heartbeat that names no time extends the lease. */
extern int64 lease_length_us(const Row *lease);

/*
 * lease_extend_sent() extends a lease by its own length from now, without waiting, for
 * the sender of a push task; lease_extend_own() by so much (0: its own length), for a
 * client with the privilege to work on the queue.  Results as above; *lease is the
 * row as it is then.
 */
extern RowResult lease_extend_sent(int64 id, int64 token, Row *lease);
extern bool lease_extend_own(int64 id, int64 token, int64 extend_us, Row *lease);

/*
 * Lets the lease run out so much later; a heartbeat extends it by its own length as before.
 * Results as of lease_take(), without waiting.
 */
extern RowResult lease_put_off(int64 id, int64 token, int64 by_us);

/* Marks the running task as to be cancelled; its worker, or the executor, finds the mark. */
extern RowResult lease_mark_cancelled(int64 id, text *reason);

#endif

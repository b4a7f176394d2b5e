/*
 * leases.h
 *		The leases of running tasks in shared memory.
 */
#ifndef TASKQ_LEASES_H
#define TASKQ_LEASES_H

#include "base/shmem.h"
#include "tables/rows.h"

extern HintTable leases_table;

/* This transaction gives, changes or ends a lease: its new row, or the row that was deleted. */
extern void leases_given(const Row *lease);
extern void leases_changed(const Row *lease);
extern void leases_ended(const Row *lease);

/* The table of leases must be read again: it may have unknown leases.  Never fails. */
extern void leases_unknown(void);

/* Corrects shared memory by the row of the lease; NULL: there is no row. */
extern void leases_correct(int64 id, const Row *lease);

/*
 * Returns the number of running tasks of the queue, including those that this transaction has
 * claimed.  exactly: looks for the row of each lease; the cost grows with their number.
 */
extern int leases_count_running(int32 queue_id, bool exactly);

/* Whether shared memory knows all leases of this database; if not, the table must be read. */
extern bool leases_are_known(void);

/*
 * Whether a lease was given or extended while the clock was ahead: it would run out as much too
 * late.
 */
extern bool lease_is_ahead(const Row *lease, TimestampTz now);

/*
 * Continues to read shared memory at entry *at, 0 at the beginning: puts the ids of leases that
 * have run out or are ahead of the clock into ids[], at most max, and lowers *next to the time
 * when the first of the others runs out.  Returns the number of ids; fewer than max: this was the
 * end.
 */
extern int leases_lapsed(int *at, TimestampTz now, int64 *ids, int max, TimestampTz *next);

/*
 * Enter all leases into shared memory.  The caller calls the first function before it reads the
 * table of leases, the second with each row, and the third at the end with the time when the
 * reading began.  The reading may take several transactions.
 */
extern void leases_begin_fill(void);
extern void leases_fill(const Row *lease);
extern void leases_end_fill(TimestampTz began);

#endif

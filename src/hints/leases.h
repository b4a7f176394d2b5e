/*
 * leases.h
 *		When the running tasks' leases run out, as shared memory knows it.
 */
#ifndef TASKQ_LEASES_H
#define TASKQ_LEASES_H

#include "base/shmem.h"
#include "tables/rows.h"

extern HintTable leases_table;

/* This transaction gives, changes or ends a lease: the row as it is then, or was. */
extern void leases_given(const Row *lease);
extern void leases_changed(const Row *lease);
extern void leases_ended(const Row *lease);

/* Leases may have come of which no session has told.  Never fails. */
extern void leases_unknown(void);

/* Shared memory says of this lease that it has run out, and its row says no. */
extern void leases_correct(int64 id, const Row *lease);

/*
 * Calls count() so that the changes of a queue add up to the number of its running tasks, those
 * that this transaction has claimed included.  Reads the table of leases only if shared memory
 * does not know them all.
 */
typedef void (*LeaseCounter)(int32 queue_id, int change, void *arg);
extern void leases_count(LeaseCounter count, void *arg);

/*
 * How many tasks of the queue are running, those that this transaction has claimed included;
 * exactly: each is looked for in its table, which costs as much as there are.
 */
extern int leases_count_running(int32 queue_id, bool exactly);

/* Whether shared memory knows all leases of this database; if not, their table has to be read. */
extern bool leases_are_known(void);

/*
 * Reads on in what shared memory knows: puts the ids of leases that have run out into ids[], at
 * most max, and lowers *next to the time when the first of the others will.  *at: where it reads,
 * 0 at the beginning.  Returns the number of ids; fewer than max: this was the end.
 */
extern int leases_lapsed(int *at, TimestampTz now, int64 *ids, int max, TimestampTz *next);

/*
 * Makes the leases known: to be called before the table of leases is read, with each row, and at
 * the end with the time when the reading began.  The reading may take several transactions.
 */
extern void leases_begin_fill(void);
extern void leases_fill(const Row *lease);
extern void leases_end_fill(TimestampTz began);

#endif

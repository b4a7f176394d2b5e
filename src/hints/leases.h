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
 * How many tasks of the queue are running, those that this transaction has claimed included;
 * exactly: each is looked for in its table, which costs as much as there are.
 */
extern int leases_count_running(int32 queue_id, bool exactly);

#endif

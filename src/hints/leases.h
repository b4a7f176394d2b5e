/*
 * leases.h
 *		When the running tasks' leases run out, as shared memory knows it.
 */
#ifndef TASKQ_LEASES_H
#define TASKQ_LEASES_H

#include "tables/rows.h"

/* Shared memory. */
extern Size leases_shared_size(void);
extern void leases_init_shared(void *memory, bool found);

/* This transaction gives a lease until then, or ends one that ran until then. */
extern void leases_note(const Row *lease, bool gone);

/* Leases may have come of which no session has told. */
extern void leases_unknown(void);

/* Shared memory says of this lease that it has run out, and its row says no. */
extern void leases_correct(int64 id, const Row *lease);

/*
 * How many tasks of the queue are running, those that this transaction has claimed included;
 * exactly: each is looked for in its table, which costs as much as there are.
 */
extern int leases_count_running(int32 queue_id, bool exactly);

/* The database is gone. */
extern void leases_forget(Oid database);

#endif

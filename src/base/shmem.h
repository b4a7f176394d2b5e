/*
 * shmem.h
 *		Tables of hints in shared memory.
 *
 * A table remembers something of a (database, number), such as a queue or a task.
 * It has sets of a few entries, and a key belongs to one set.  What does not fit is
 * not remembered: hints may be lost.
 *
 * taskq.c lists the tables; sizing, initialising and forgetting a database are
 * done for all of them here.  A table that is not in shared memory, because the library
 * was not preloaded, may be made for the session instead.
 *
 * Locks are LWLocks, because a commit that finds no lock must not spin while another
 * session looks through a set.  They may be taken in the hooks of base/xact.h.
 */
#ifndef TASKQ_SHMEM_H
#define TASKQ_SHMEM_H

#include "storage/lwlock.h"
#include "utils/timestamp.h"

/* Begins each entry. */
typedef struct HintEntry
{
	Oid database; /* InvalidOid: the entry is free */
	int64 number;
	TimestampTz used_at; /* of several entries the one with the earliest is evicted */
} HintEntry;

typedef struct HintTable
{
	const char *name; /* in pg_shmem_allocations */
	Size entry_size;
	int ways;    /* entries in a set */
	int entries; /* or, unless memory is NULL, as many as fit into memory() bytes */
	Size (*memory)(void);
	int locks;        /* of each entry; 0: a set has one */
	bool never_evict; /* where a set is full nothing more is remembered */

	/* Private to shmem.c. */
	int count;    /* of entries */
	char *base;   /* they; NULL: there is no table yet */
	LWLock *lock; /* the first one; NULL: only this session has the table */
} HintTable;

/* Called once, while the library is preloaded; the array must stay. */
extern void shmem_install(HintTable *const *tables, int count);

/* A database is gone: all tables forget it. */
extern void shmem_forget_database(Oid database);

/* Whether the table is in shared memory. */
extern bool hint_is_shared(const HintTable *table);

/* Makes a table of one set for this session, unless there is a table. */
extern void hint_make_local(HintTable *table);

/*
 * The entry of (current database, number), locked until hint_unlock(); NULL, and
 * nothing is locked, if there is none.  Never fails.
 */
extern HintEntry *hint_find(HintTable *table, int64 number);

/*
 * The same, and made if need be: then it is all zero but its key, and *made is true
 * (made may be NULL).  NULL only in a table that never evicts.  Never fails.
 */
extern HintEntry *hint_make(HintTable *table, int64 number, bool *made);

extern void hint_unlock(HintTable *table, HintEntry *entry);

/* The entry, which is locked, becomes free. */
extern void hint_free(HintEntry *entry);

/* The second lock of an entry: of what use it is, its owner decides. */
extern LWLock *hint_second_lock(const HintTable *table, const HintEntry *entry);

/* How many entries there are, and one of them, not locked. */
extern int hint_count(const HintTable *table);
extern HintEntry *hint_at(const HintTable *table, int n);

/* The entry, locked, if it is of the current database; else NULL. */
extern HintEntry *hint_lock_if_ours(HintTable *table, int n);

/*
 * Calls see() with a copy of each entry of this database.  Not for a table whose sets have
 * more than 2 kB.
 */
extern void hint_for_each(HintTable *table, void (*see)(const void *entry, void *arg), void *arg);

#endif

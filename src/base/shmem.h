/*
 * shmem.h
 *		Tables of hints in shared memory.
 *
 * The key of an entry is (database, number); the number is the id of a queue or a task.
 * A table has sets of a few entries, and a key belongs to one set.  If a set is full, an
 * entry is evicted or the new one is not stored: hints may be lost.
 *
 * taskq.c lists the tables.  Sizing, initialising and forgetting a database are
 * done for all of them here.  If the library was not preloaded, there is no shared memory;
 * then a session may make a table for itself.
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
	TimestampTz used_at; /* the entry with the earliest time is evicted */
} HintEntry;

typedef struct HintTable
{
	const char *name; /* in pg_shmem_allocations */
	Size entry_size;
	int ways;    /* entries in a set */
	int entries; /* unless memory is set: then as many as fit into memory() bytes */
	Size (*memory)(void);
	int locks;        /* locks of each entry; 0: one lock for each set */
	bool never_evict; /* if a set is full, no entry is made */

	/* Private to shmem.c. */
	int count;    /* the number of entries */
	char *base;   /* the entries; NULL: there is no table yet */
	LWLock *lock; /* the first one; NULL: only this session has the table */
} HintTable;

/* Shared memory that is no table of hints. */
typedef struct SharedPart
{
	const char *name; /* in pg_shmem_allocations */
	Size (*size)(void);

	/* found: another process has initialised the memory.  tranche: of its LWLocks. */
	void (*attach)(void *memory, bool found, int tranche);

	/* A database was dropped. */
	void (*forget_database)(Oid database);
} SharedPart;

/* Called once, while the library is preloaded; the arrays must stay valid. */
extern void shmem_install(HintTable *const *tables, int ntables, const SharedPart *const *parts,
						  int nparts);

/* Frees what belongs to a dropped database in all tables and parts. */
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
 * The same; makes the entry if there is none: then it is all zero except its key, and *made
 * is true (made may be NULL).  NULL only in a table that never evicts.  Never fails.
 */
extern HintEntry *hint_make(HintTable *table, int64 number, bool *made);

extern void hint_unlock(HintTable *table, HintEntry *entry);

/* Frees the entry, which the caller has locked. */
extern void hint_free(HintEntry *entry);

/* The second lock of an entry; the owner of the table decides its use. */
extern LWLock *hint_second_lock(const HintTable *table, const HintEntry *entry);

/* The number of entries, and entry n, not locked. */
extern int hint_count(const HintTable *table);
extern HintEntry *hint_at(const HintTable *table, int n);

/* Entry n, locked, if it is of the current database; otherwise NULL. */
extern HintEntry *hint_lock_if_ours(HintTable *table, int n);

/*
 * Calls see() with a copy of each entry of this database.  Not for a table whose sets have
 * more than 2 kB.
 */
extern void hint_for_each(HintTable *table, void (*see)(const void *entry, void *arg), void *arg);

#endif

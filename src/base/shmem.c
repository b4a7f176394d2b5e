/*
 * shmem.c
 *		Tables of hints in shared memory: shmem.h explains them.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "base/database.h"
#include "base/shmem.h"

#define MAX_SET_BYTES 2048 /* of a set that hint_for_each() copies */

static HintTable *const *tables = NULL;
static int ntables = 0;
static const SharedPart *const *parts = NULL;
static int nparts = 0;

static shmem_request_hook_type next_shmem_request = NULL;
static shmem_startup_hook_type next_shmem_startup = NULL;

/* ---- size and start ------------------------------------------------------------- */

/* The number of entries that the table will have: whole sets. */
static int
entries_of(const HintTable *table)
{
	int entries = table->entries;

	if (table->memory != NULL)
		entries = table->memory() / table->entry_size;
	return Max(entries / table->ways, 1) * table->ways;
}

/* The number of locks: one for each set, or those of the entries and one for making entries. */
static int
locks_of(const HintTable *table)
{
	if (table->locks == 0)
		return entries_of(table) / table->ways;
	return entries_of(table) * table->locks + 1;
}

/* Locks, then entries. */
static Size
table_size(const HintTable *table)
{
	return add_size(MAXALIGN(mul_size(locks_of(table), sizeof(LWLock))),
					mul_size(entries_of(table), table->entry_size));
}

int
hint_count(const HintTable *table)
{
	return table->count;
}

HintEntry *
hint_at(const HintTable *table, int n)
{
	return (HintEntry *) (table->base + n * table->entry_size);
}

static void
request_memory(void)
{
	if (next_shmem_request)
		next_shmem_request();
	RequestAddinShmemSpace(MAXALIGN(registry_shared_size()));
	for (int i = 0; i < ntables; i++)
		RequestAddinShmemSpace(MAXALIGN(table_size(tables[i])));
	for (int i = 0; i < nparts; i++)
		RequestAddinShmemSpace(MAXALIGN(parts[i]->size()));
	RequestNamedLWLockTranche("taskq", 1);
}

/* found: another process has initialised the memory. */
static void
init_table(HintTable *table, char *memory, bool found, int tranche)
{
	table->count = entries_of(table);
	table->lock = (LWLock *) memory;
	table->base = memory + MAXALIGN(locks_of(table) * sizeof(LWLock));
	if (found)
		return;
	memset(memory, 0, table_size(table));
	for (int i = 0; i < locks_of(table); i++)
		LWLockInitialize(&table->lock[i], tranche);
}

static void
make_memory(void)
{
	LWLockPadded *locks;
	void *memory;
	bool found;

	if (next_shmem_startup)
		next_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	locks = GetNamedLWLockTranche("taskq");
	memory = ShmemInitStruct("taskq", registry_shared_size(), &found);
	registry_init_shared(memory, &locks[0].lock, found);
	for (int i = 0; i < ntables; i++)
	{
		memory = ShmemInitStruct(tables[i]->name, table_size(tables[i]), &found);
		init_table(tables[i], memory, found, locks[0].lock.tranche);
	}
	for (int i = 0; i < nparts; i++)
	{
		memory = ShmemInitStruct(parts[i]->name, parts[i]->size(), &found);
		parts[i]->attach(memory, found, locks[0].lock.tranche);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
shmem_install(HintTable *const *all_tables, int table_count, const SharedPart *const *all_parts,
			  int part_count)
{
	tables = all_tables;
	ntables = table_count;
	parts = all_parts;
	nparts = part_count;
	next_shmem_request = shmem_request_hook;
	shmem_request_hook = request_memory;
	next_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = make_memory;
}

bool
hint_is_shared(const HintTable *table)
{
	return table->lock != NULL;
}

void
hint_make_local(HintTable *table)
{
	if (table->base != NULL)
		return;
	table->base = MemoryContextAllocZero(TopMemoryContext,
										 mul_size(table->ways, table->entry_size));
	table->count = table->ways;
}

/* ---- entries ---------------------------------------------------------------------- */

/* The number of the first entry of the set to which the key belongs. */
static int
first_of_set(const HintTable *table, int64 number)
{
	uint32 hash = hash_combine(murmurhash32(MyDatabaseId), murmurhash32((uint32) number));

	return hash % (table->count / table->ways) * table->ways;
}

static bool
is_of(const HintEntry *entry, int64 number)
{
	return entry->number == number && entry->database == MyDatabaseId;
}

/* The lock that protects the entry; NULL: none is needed. */
static LWLock *
lock_of(const HintTable *table, const HintEntry *entry)
{
	int n = ((const char *) entry - table->base) / table->entry_size;

	if (table->lock == NULL)
		return NULL;
	return &table->lock[table->locks == 0 ? n / table->ways : n * table->locks];
}

LWLock *
hint_second_lock(const HintTable *table, const HintEntry *entry)
{
	Assert(table->locks == 2);
	return lock_of(table, entry) + 1;
}

/* If entries have locks, this lock prevents that two sessions make entries at the same time. */
static LWLock *
lock_for_making(const HintTable *table)
{
	return table->lock == NULL || table->locks == 0 ? NULL : &table->lock[locks_of(table) - 1];
}

static void
lock_entry(const HintTable *table, const HintEntry *entry)
{
	LWLock *lock = lock_of(table, entry);

	if (lock != NULL)
		LWLockAcquire(lock, LW_EXCLUSIVE);
}

void
hint_unlock(HintTable *table, HintEntry *entry)
{
	LWLock *lock = lock_of(table, entry);

	if (lock != NULL)
		LWLockRelease(lock);
}

/* The entry, locked if entries have locks; otherwise the caller has locked the set. */
static HintEntry *
look_in_set(HintTable *table, int64 number, int first)
{
	for (int i = first; i < first + table->ways; i++)
	{
		HintEntry *entry = hint_at(table, i);

		if (!is_of(entry, number))
			continue;
		if (table->locks == 0)
			return entry;
		/* The first look was without the lock: the entry may have changed. */
		lock_entry(table, entry);
		if (is_of(entry, number))
			return entry;
		hint_unlock(table, entry);
	}
	return NULL;
}

HintEntry *
hint_find(HintTable *table, int64 number)
{
	HintEntry *entry;
	int first;

	if (table->base == NULL)
		return NULL;
	first = first_of_set(table, number);
	if (table->locks == 0)
		lock_entry(table, hint_at(table, first));
	entry = look_in_set(table, number, first);
	if (table->locks == 0 && entry == NULL)
		hint_unlock(table, hint_at(table, first));
	return entry;
}

/* A free entry of the set, or else the least recently used one. */
static HintEntry *
place_in_set(const HintTable *table, int first)
{
	HintEntry *oldest = hint_at(table, first);

	for (int i = first; i < first + table->ways; i++)
	{
		HintEntry *entry = hint_at(table, i);

		if (!OidIsValid(entry->database))
			return entry;
		if (entry->used_at < oldest->used_at)
			oldest = entry;
	}
	return oldest;
}

/* Makes an entry as hint_make() does; the caller's lock excludes other makers. */
static HintEntry *
make_in_set(HintTable *table, int64 number, int first)
{
	HintEntry *entry = place_in_set(table, first);

	if (OidIsValid(entry->database) && table->never_evict)
		return NULL;
	if (table->locks > 0)
		lock_entry(table, entry);
	memset(entry, 0, table->entry_size);
	entry->number = number;
	entry->database = MyDatabaseId;
	return entry;
}

HintEntry *
hint_make(HintTable *table, int64 number, bool *made)
{
	int first = first_of_set(table, number);
	LWLock *making = lock_for_making(table);
	HintEntry *entry;

	if (table->locks == 0)
		lock_entry(table, hint_at(table, first));
	else if (making != NULL)
		LWLockAcquire(making, LW_EXCLUSIVE);
	entry = look_in_set(table, number, first);
	if (made != NULL)
		*made = entry == NULL;
	if (entry == NULL)
		entry = make_in_set(table, number, first);
	if (entry == NULL)
		hint_unlock(table, hint_at(table, first));
	if (making != NULL)
		LWLockRelease(making);
	return entry;
}

void
hint_free(HintEntry *entry)
{
	entry->database = InvalidOid;
	entry->number = 0;
	entry->used_at = 0;
}

HintEntry *
hint_lock_if_ours(HintTable *table, int n)
{
	HintEntry *entry = hint_at(table, n);

	if (entry->database != MyDatabaseId)
		return NULL;
	lock_entry(table, entry);
	if (entry->database == MyDatabaseId)
		return entry;
	hint_unlock(table, entry);
	return NULL;
}

/* ---- all entries ------------------------------------------------------------------- */

/* Whether an entry of the set is of the current database; looks without the lock. */
static bool
has_ours(const HintTable *table, int first)
{
	for (int i = first; i < first + table->ways; i++)
	{
		if (hint_at(table, i)->database == MyDatabaseId)
			return true;
	}
	return false;
}

void
hint_for_each(HintTable *table, void (*see)(const void *entry, void *arg), void *arg)
{
	union
	{
		HintEntry first;
		char bytes[MAX_SET_BYTES];
	} copy;
	Size set_size = table->ways * table->entry_size;

	Assert(set_size <= MAX_SET_BYTES && table->locks == 0);
	for (int first = 0; first < hint_count(table); first += table->ways)
	{
		HintEntry *set = hint_at(table, first);

		if (!has_ours(table, first))
			continue;
		lock_entry(table, set);
		memcpy(&copy, set, set_size);
		hint_unlock(table, set);
		for (int i = 0; i < table->ways; i++)
		{
			const HintEntry *entry = (HintEntry *) (copy.bytes + i * table->entry_size);

			if (entry->database == MyDatabaseId)
				see(entry, arg);
		}
	}
}

static void
forget_database(HintTable *table, Oid database)
{
	for (int i = 0; i < hint_count(table); i++)
	{
		HintEntry *entry = hint_at(table, i);

		lock_entry(table, entry);
		if (entry->database == database)
			hint_free(entry);
		hint_unlock(table, entry);
	}
}

void
shmem_forget_database(Oid database)
{
	for (int i = 0; i < ntables; i++)
		forget_database(tables[i], database);
	for (int i = 0; i < nparts; i++)
		parts[i]->forget_database(database);
}

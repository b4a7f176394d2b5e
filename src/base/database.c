/*
 * database.c
 *		The registry in shared memory of the databases that have taskq.
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"

#include "base/database.h"

Registry *registry = NULL;

static Size
size_without_lists(void)
{
	return MAXALIGN(add_size(offsetof(Registry, waiting_for),
							 mul_size(MaxBackends, sizeof(pg_atomic_uint64))));
}

Size
registry_shared_size(void)
{
	return add_size(size_without_lists(), mul_size(MaxBackends, sizeof(TopicList)));
}

TopicList *
registry_topics(int backend)
{
	return (TopicList *) ((char *) registry + size_without_lists()) + backend;
}

static void
init_slot(TaskqDatabase *db)
{
	pg_atomic_init_u32(&db->procno, TASKQ_NO_PROC);
	pg_atomic_init_u32(&db->asleep, 0);
	pg_atomic_init_u32(&db->wants, WANT_LEASES);
	pg_atomic_init_u64(&db->hints, 0);
	pg_atomic_init_u32(&db->prerequisites, 1);
	pg_atomic_init_u32(&db->none_at, 0);
	pg_atomic_init_u32(&db->look_at_all, 1);
	pg_atomic_init_u32(&db->sweeps, 0);
	pg_atomic_init_u32(&db->uncounted, 0);
	SpinLockInit(&db->token_lock);
}

void
registry_init_shared(void *memory, LWLock *lock, bool found)
{
	registry = memory;
	if (found)
		return;
	memset(registry, 0, registry_shared_size());
	registry->lock = lock;
	pg_atomic_init_u32(&registry->launcher_procno, TASKQ_NO_PROC);
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
		init_slot(&registry->db[i]);
	for (int i = 0; i < IDLE_COUNTERS; i++)
		pg_atomic_init_u32(&registry->idle_counters[i], 0);
	pg_atomic_init_u32(&registry->waiters, 0);
	for (int i = 0; i < MaxBackends; i++)
		pg_atomic_init_u64(&registry->waiting_for[i], 0);
}

TaskqDatabase *
database_find(Oid oid)
{
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
	{
		if (registry->db[i].oid == oid)
			return &registry->db[i];
	}
	return NULL;
}

TaskqDatabase *
database_make(Oid oid)
{
	TaskqDatabase *db = database_find(oid);

	if (db != NULL)
		return db;
	db = database_find(InvalidOid);
	if (db != NULL)
		db->oid = oid;
	return db;
}

void
database_forget(TaskqDatabase *db)
{
	db->oid = InvalidOid;
	db->used = db->wanted = db->stopped = db->serving = false;
	db->held_aside = 0;
	db->pid = 0;
	db->ended = TASKQ_END_FAILED;
	db->failures = 0;
	db->retry_at = 0;
	pg_atomic_write_u32(&db->procno, TASKQ_NO_PROC);
	pg_atomic_write_u32(&db->wants, WANT_LEASES);
	pg_atomic_fetch_add_u32(&db->prerequisites, 1);
	pg_atomic_write_u32(&db->look_at_all, 1);
	db->next_token = db->token_end = 0;
}

TaskqDatabase *
database_mine(void)
{
	static TaskqDatabase *mine = NULL;

	if (mine != NULL || registry == NULL || !OidIsValid(MyDatabaseId))
		return mine;
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	mine = database_make(MyDatabaseId);
	if (mine != NULL)
		mine->used = true;
	LWLockRelease(registry->lock);
	return mine;
}

void
database_hints_changed(void)
{
	TaskqDatabase *db = database_mine();

	if (db == NULL)
		return;
	(void) pg_atomic_fetch_add_u64(&db->hints, 1);
	if (pg_atomic_read_u32(&db->asleep) != 0)
		process_wake(&db->procno);
}

bool
database_wants(TaskqDatabase *db, uint32 wants)
{
	return (pg_atomic_read_u32(&db->wants) & wants) != 0;
}

/* Mostly no want is set: reading it first does not disturb other processes. */
bool
database_take_want(TaskqDatabase *db, uint32 wants)
{
	return database_wants(db, wants) && (pg_atomic_fetch_and_u32(&db->wants, ~wants) & wants) != 0;
}

/* A want that was set already needs no wake-up: its process will take it before it looks. */
void
database_want(TaskqDatabase *db, uint32 wants)
{
	uint32 new = wants & ~pg_atomic_fetch_or_u32(&db->wants, wants);

	if (new &WANT_PROBE)
		process_wake(&registry->launcher_procno);
	if (new & ~WANT_LEASES)
		process_wake(&db->procno);
}

void
process_wake(pg_atomic_uint32 *procno)
{
	uint32 n = pg_atomic_read_u32(procno);

	if (n != TASKQ_NO_PROC)
		SetLatch(&GetPGProcByNumber(n)->procLatch);
}

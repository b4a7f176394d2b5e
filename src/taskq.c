/*
 * taskq.c
 *		Module entry: settings, shared memory, registration of the launcher.
 *
 * Only a preloaded library gets shared memory, a launcher and the utility
 * hook.  Everything else works without them, so whoever looks at taskq_shared
 * must be ready to find NULL.
 */
#include "taskq.h"

#include "dispatch.h"

#include <signal.h>

#include "libpq/pqsignal.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/procsignal.h"
#include "storage/shmem.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

TaskqShared *taskq_shared = NULL;
volatile sig_atomic_t worker_stopping = false;

static shmem_request_hook_type next_shmem_request = NULL;
static shmem_startup_hook_type next_shmem_startup = NULL;

static Size
shared_size(void)
{
	return add_size(offsetof(TaskqShared, waiting_for),
					mul_size(MaxBackends, sizeof(pg_atomic_uint64)));
}

static void
request_shared_memory(void)
{
	if (next_shmem_request)
		next_shmem_request();
	RequestAddinShmemSpace(MAXALIGN(shared_size()));
	RequestAddinShmemSpace(MAXALIGN(dispatch_shared_size()));
	RequestAddinShmemSpace(MAXALIGN(stats_shared_size()));
	RequestAddinShmemSpace(MAXALIGN(expiry_shared_size()));
	RequestAddinShmemSpace(MAXALIGN(endpoint_shared_size()));
	RequestNamedLWLockTranche("taskq", 1 + dispatch_lock_count());
}

static void
init_slot(TaskqDatabase *db)
{
	pg_atomic_init_u32(&db->procno, TASKQ_NO_PROC);
	pg_atomic_init_u32(&db->poked, 0);
	pg_atomic_init_u32(&db->tasks_due, 0);
	pg_atomic_init_u32(&db->check_leases, 0);
	pg_atomic_init_u32(&db->notify, 0);
	pg_atomic_init_u32(&db->timers, 0);
	pg_atomic_init_u32(&db->sweep, 0);
	pg_atomic_init_u32(&db->leases_known, 0);
	pg_atomic_init_u64(&db->hints, 0);
	SpinLockInit(&db->token_lock);
}

static void
init_shared_memory(void)
{
	LWLockPadded *locks;
	void *memory;
	bool found;

	if (next_shmem_startup)
		next_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	locks = GetNamedLWLockTranche("taskq");
	taskq_shared = ShmemInitStruct("taskq", shared_size(), &found);
	if (!found)
	{
		memset(taskq_shared, 0, shared_size());
		taskq_shared->lock = &locks[0].lock;
		pg_atomic_init_u32(&taskq_shared->launcher_procno, TASKQ_NO_PROC);
		for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
			init_slot(&taskq_shared->db[i]);
		for (int i = 0; i < MaxBackends; i++)
			pg_atomic_init_u64(&taskq_shared->waiting_for[i], 0);
	}
	memory = ShmemInitStruct("taskq dispatch", dispatch_shared_size(), &found);
	dispatch_init_shared(memory, &locks[1], found);
	memory = ShmemInitStruct("taskq stats", stats_shared_size(), &found);
	stats_init_shared(memory, found);
	memory = ShmemInitStruct("taskq expiry", expiry_shared_size(), &found);
	expiry_init_shared(memory, found);
	memory = ShmemInitStruct("taskq endpoints", endpoint_shared_size(), &found);
	endpoint_init_shared(memory, found);
	LWLockRelease(AddinShmemInitLock);
}

void
_PG_init(void)
{
	guc_define();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	next_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	next_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = init_shared_memory;
	wakeup_install();
	stepaside_install();
	launcher_register();
}

TaskqDatabase *
database_find(Oid oid)
{
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
	{
		if (taskq_shared->db[i].oid == oid)
			return &taskq_shared->db[i];
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
	expiry_forget(db->oid);
	db->oid = InvalidOid;
	db->used = db->wanted = db->stopped = db->serving = false;
	db->held_aside = 0;
	db->pid = 0;
	db->ended = TASKQ_END_FAILED;
	db->failures = 0;
	db->retry_at = 0;
	pg_atomic_write_u32(&db->procno, TASKQ_NO_PROC);
	pg_atomic_write_u32(&db->poked, 0);
	pg_atomic_write_u32(&db->tasks_due, 0);
	pg_atomic_write_u32(&db->check_leases, 0);
	pg_atomic_write_u32(&db->notify, 0);
	pg_atomic_write_u32(&db->timers, 0);
	pg_atomic_write_u32(&db->sweep, 0);
	pg_atomic_write_u32(&db->leases_known, 0);
	db->token_next = db->token_end = 0;
}

TaskqDatabase *
taskq_my_database(void)
{
	static TaskqDatabase *mine = NULL;

	if (mine != NULL || taskq_shared == NULL || !OidIsValid(MyDatabaseId))
		return mine;
	LWLockAcquire(taskq_shared->lock, LW_EXCLUSIVE);
	mine = database_make(MyDatabaseId);
	if (mine != NULL)
		mine->used = true;
	LWLockRelease(taskq_shared->lock);
	return mine;
}

void
taskq_hints_changed(void)
{
	TaskqDatabase *db = taskq_my_database();

	if (db != NULL)
		pg_atomic_fetch_add_u64(&db->hints, 1);
}

void
process_wake(pg_atomic_uint32 *procno)
{
	uint32 n = pg_atomic_read_u32(procno);

	if (n != TASKQ_NO_PROC)
		SetLatch(&GetPGProcByNumber(n)->procLatch);
}

/*
 * The query cancel ends a wait for a lock or for a synchronous standby, so
 * that a stop is never held up by a transaction; the process itself sees
 * worker_stopping between transactions and leaves in good order.  Only the
 * first signal cancels: the postmaster signals each child and then its process
 * group, and the second one must not hit the transaction that tidies up.
 */
static void
on_sigterm(SIGNAL_ARGS)
{
	int save_errno = errno;

	if (!worker_stopping)
		QueryCancelPending = true;
	worker_stopping = true;
	InterruptPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

void
worker_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_sigterm);
	BackgroundWorkerUnblockSignals();
}

void
worker_absorb_interrupts(void)
{
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
}

bool
worker_reload_config(void)
{
	if (!ConfigReloadPending)
		return false;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	return true;
}

/*
 * taskq.c
 *		Module entry: settings, shared memory, registration of the launcher.
 *
 * Only a preloaded library gets shared memory, a launcher and the utility
 * hook.  Everything else works without them, so whoever looks at registry
 * must be ready to find NULL.
 */
#include "postgres.h"

#include <signal.h>

#include "fmgr.h"
#include "libpq/pqsignal.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/procsignal.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/guc.h"

#include "base/database.h"
#include "base/settings.h"
#include "hints/counts.h"
#include "hints/lanes.h"
#include "hints/leases.h"
#include "hints/wakeup.h"
#include "process/launcher.h"
#include "process/stepaside.h"
#include "push/endpoint.h"


PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type next_shmem_request = NULL;
static shmem_startup_hook_type next_shmem_startup = NULL;

static void
request_shared_memory(void)
{
	if (next_shmem_request)
		next_shmem_request();
	RequestAddinShmemSpace(MAXALIGN(registry_shared_size()));
	RequestAddinShmemSpace(MAXALIGN(lanes_shared_size()));
	RequestAddinShmemSpace(MAXALIGN(counts_shared_size()));
	RequestAddinShmemSpace(MAXALIGN(leases_shared_size()));
	RequestAddinShmemSpace(MAXALIGN(endpoint_shared_size()));
	RequestNamedLWLockTranche("taskq", 1 + lanes_lock_count());
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
	memory = ShmemInitStruct("taskq", registry_shared_size(), &found);
	registry_init_shared(memory, &locks[0].lock, found);
	memory = ShmemInitStruct("taskq dispatch", lanes_shared_size(), &found);
	lanes_init_shared(memory, &locks[1], found);
	memory = ShmemInitStruct("taskq stats", counts_shared_size(), &found);
	counts_init_shared(memory, found);
	memory = ShmemInitStruct("taskq expiry", leases_shared_size(), &found);
	leases_init_shared(memory, found);
	memory = ShmemInitStruct("taskq endpoints", endpoint_shared_size(), &found);
	endpoint_init_shared(memory, found);
	LWLockRelease(AddinShmemInitLock);
}

void
_PG_init(void)
{
	settings_define();
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

/*
 * taskq.c
 *		Module entry: settings, shared memory, registration of the launcher.
 *
 * Only a preloaded library gets shared memory, a launcher and the utility
 * hook.  Everything else works without them.
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

#include "base/settings.h"
#include "base/shmem.h"
#include "hints/counts.h"
#include "hints/lanes.h"
#include "hints/leases.h"
#include "hints/wakeup.h"
#include "process/launcher.h"
#include "process/stepaside.h"
#include "push/endpoint.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/* What is remembered in shared memory, beside the registry of databases. */
static HintTable *const tables[] = {
	&lanes_table,
	&leases_table,
	&counts_table,
	&endpoints_table,
};

void
_PG_init(void)
{
	settings_define();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	shmem_install(tables, lengthof(tables));
	wakeup_install();
	stepaside_install();
	launcher_register();
}

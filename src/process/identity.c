/*
 * identity.c
 *		Our kinds of background workers: how each is described, and its locks.
 */
#include "postgres.h"

#include <signal.h>
#include <time.h>

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "libpq/pqsignal.h"
#include "mb/pg_wchar.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

#include "base/database.h"
#include "process/identity.h"

#define RESTART_WITHOUT_LAUNCHER_S 1
#define LAUNCHER_RESTART_S         5

/* The executor's restart is not here: it depends on whether there is a launcher. */
static const struct
{
	const char *type;
	const char *main;
	int restart_s;
} kinds[] = {
	[WORKER_LAUNCHER] = {"taskq launcher", "taskq_launcher_main", LAUNCHER_RESTART_S},
	[WORKER_EXECUTOR] = {"taskq executor", "taskq_executor_main", BGW_NEVER_RESTART},
	[WORKER_VACUUM] = {"taskq vacuum", "taskq_vacuum_main", BGW_NEVER_RESTART},
};

const char *
worker_type(WorkerKind kind)
{
	return kinds[kind].type;
}

/* Without a launcher the postmaster has to restart executors. */
static int
restart_time(WorkerKind kind)
{
	if (kind == WORKER_EXECUTOR && registry == NULL)
		return RESTART_WITHOUT_LAUNCHER_S;
	return kinds[kind].restart_s;
}

void
worker_describe(BackgroundWorker *worker, WorkerKind kind, Oid database, Oid role,
				const char *label)
{
	memset(worker, 0, sizeof(*worker));
	if (label != NULL)
		snprintf(worker->bgw_name, BGW_MAXLEN, "%s: %s", kinds[kind].type, label);
	else
		strlcpy(worker->bgw_name, kinds[kind].type, BGW_MAXLEN);
	strlcpy(worker->bgw_type, kinds[kind].type, BGW_MAXLEN);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = restart_time(kind);
	strlcpy(worker->bgw_library_name, "taskq", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, kinds[kind].main, sizeof(worker->bgw_function_name));
	worker->bgw_main_arg = ObjectIdGetDatum(database);
	memcpy(worker->bgw_extra, &role, sizeof(role));
	if (IsUnderPostmaster)
		worker->bgw_notify_pid = MyProcPid;
}

Oid
worker_role(void)
{
	Oid role;

	memcpy(&role, MyBgworkerEntry->bgw_extra, sizeof(role));
	return role;
}

void
executor_lock_tag(LOCKTAG *tag, Oid oid, ExecutorLock which)
{
	SET_LOCKTAG_ADVISORY(*tag, oid, 0, 0, which);
}

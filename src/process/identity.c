/*
 * identity.c
 *		Our kinds of background workers: how each is registered, and what role it has.
 *
 * The lock that allows one executor for each database stands in base/locks.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/database.h"
#include "base/errors.h"
#include "process/identity.h"

#define RESTART_LAUNCHER_S         5
#define RESTART_WITHOUT_LAUNCHER_S 1

static const struct
{
	const char *type;
	const char *main;
	int restart_s;
	int restart_without_launcher_s;
} kinds[] = {
	[WORKER_LAUNCHER] = {"taskq launcher", "taskq_launcher_main", RESTART_LAUNCHER_S,
						 RESTART_LAUNCHER_S},
	[WORKER_EXECUTOR] = {"taskq executor", "taskq_executor_main", BGW_NEVER_RESTART,
						 RESTART_WITHOUT_LAUNCHER_S},
	[WORKER_VACUUM] = {"taskq vacuum", "taskq_vacuum_main", BGW_NEVER_RESTART,
					   BGW_NEVER_RESTART},
	[WORKER_CALLER] = {"taskq call", "taskq_caller_main", BGW_NEVER_RESTART, BGW_NEVER_RESTART}};

/* In bgw_extra. */
typedef struct Extra
{
	Oid role;
	uint32 segment;
} Extra;

const char *
worker_type(WorkerKind kind)
{
	return kinds[kind].type;
}

PG_FUNCTION_INFO_V1(taskq_executor_type);
Datum
taskq_executor_type(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(worker_type(WORKER_EXECUTOR)));
}

static void
describe(BackgroundWorker *worker, WorkerKind kind, const WorkerSpec *spec)
{
	Extra extra = {spec->role, spec->segment};

	memset(worker, 0, sizeof(*worker));
	if (spec->label != NULL)
		snprintf(worker->bgw_name, BGW_MAXLEN, "%s: %s", kinds[kind].type, spec->label);
	else
		strlcpy(worker->bgw_name, kinds[kind].type, BGW_MAXLEN);
	strlcpy(worker->bgw_type, kinds[kind].type, BGW_MAXLEN);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time =
		registry == NULL ? kinds[kind].restart_without_launcher_s : kinds[kind].restart_s;
	strlcpy(worker->bgw_library_name, "taskq", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, kinds[kind].main, sizeof(worker->bgw_function_name));
	worker->bgw_main_arg = ObjectIdGetDatum(spec->database);
	memcpy(worker->bgw_extra, &extra, sizeof(extra));
	if (IsUnderPostmaster)
		worker->bgw_notify_pid = MyProcPid;
}

bool
worker_register(WorkerKind kind, const WorkerSpec *spec, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;
	MemoryContext old;
	bool registered;

	describe(&worker, kind, spec);
	if (handle == NULL)
	{
		RegisterBackgroundWorker(&worker);
		return true;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, handle);
	MemoryContextSwitchTo(old);
	return registered;
}

static Extra
extra_of_this(void)
{
	Extra extra;

	memcpy(&extra, MyBgworkerEntry->bgw_extra, sizeof(extra));
	return extra;
}

Oid
worker_role(void)
{
	return extra_of_this().role;
}

uint32
worker_segment(void)
{
	return extra_of_this().segment;
}

const char *
executor_role_fault(Oid role, const char **hint)
{
	*hint = "Run CREATE ROLE " TASKQ_BGW_ROLE " LOGIN NOINHERIT CONNECTION LIMIT 0, then SELECT "
			"taskq_private.grant_executor().";
	if (!OidIsValid(role))
		return "role \"" TASKQ_BGW_ROLE "\" does not exist";
	*hint = "Run ALTER ROLE " TASKQ_BGW_ROLE " NOSUPERUSER NOBYPASSRLS.";
	if (superuser_arg(role) || has_bypassrls_privilege(role))
		return "role \"" TASKQ_BGW_ROLE "\" has too many rights";
	return NULL;
}

/*
 * start_stop.c
 *		start_executor(), stop_executor(), and the executor's state for status().
 *
 * If the library is preloaded, these functions talk to the launcher through the
 * slot of the database.  Otherwise start_executor() registers a worker, which
 * belongs to the postmaster from then on; it is found again among the backends of
 * the database, by its type.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/database.h"
#include "base/errors.h"
#include "base/locks.h"
#include "base/settings.h"
#include "core/clock.h"
#include "process/identity.h"
#include "process/start_stop.h"

#define START_MS 5000
#define STOP_MS  5000 /* beside the time for which the executor waits for answers */
#define NAP_MS   5

PG_FUNCTION_INFO_V1(taskq_start_executor);
PG_FUNCTION_INFO_V1(taskq_stop_executor);
PG_FUNCTION_INFO_V1(taskq_executor_state);

static void
nap(void)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = compat_wait_event("TaskqControl");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, NAP_MS, wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static pid_t
executor_pid(TaskqDatabase *db)
{
	pid_t pid;

	LWLockAcquire(registry->lock, LW_SHARED);
	pid = db->pid;
	LWLockRelease(registry->lock);
	return pid;
}

bool
executor_wait_until_gone(TaskqDatabase *db, int timeout_ms)
{
	int64 until = tq_clock_ms() + timeout_ms;

	while (executor_pid(db) != 0)
	{
		if (tq_clock_ms() >= until)
			return false;
		nap();
	}
	return true;
}

/* ---- conditions ---------------------------------------------------------------------- */

/* Returns why this database cannot have an executor, and in *hint what to do; NULL: it can. */
static const char *
find_obstacle(const char **hint)
{
	Oid role = get_role_oid(TASKQ_BGW_ROLE, true);
	const char *fault;

	*hint = "It starts by itself when the server is promoted.";
	if (RecoveryInProgress())
		return "the server is a standby";
	*hint = "Set taskq.executor = on and reload the configuration.";
	if (!setting_executor)
		return "taskq.executor is off";
	*hint = "Add it to taskq.databases and reload the configuration.";
	if (!settings_database_allowed(get_database_name(MyDatabaseId)))
		return "taskq.databases does not name this database";
	fault = executor_role_fault(role, hint);
	if (fault != NULL)
		return fault;
	*hint = "Grant it CONNECT on this database, then call taskq.start_executor().";
	if (!compat_may_connect(MyDatabaseId, role))
		return "role \"" TASKQ_BGW_ROLE "\" may not connect to this database";
	*hint = NULL;
	return NULL;
}

static void
require_no_obstacle(void)
{
	const char *hint;
	const char *obstacle = find_obstacle(&hint);

	if (obstacle != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
				 errmsg("cannot start an executor: %s", obstacle),
				 errdetail("Without an executor no request is sent from this database."),
				 errhint("%s", hint)));
}

static void
raise_no_worker(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
			 errmsg("could not start an executor: no background worker is free"),
			 errdetail("An executor needs one of the max_worker_processes."),
			 errhint("Raise max_worker_processes.")));
}

/* ---- with a launcher -------------------------------------------------------------------- */

static TaskqDatabase *
require_slot(void)
{
	TaskqDatabase *db = database_mine();

	if (db == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
				 errmsg("could not start an executor: there are %d databases with one already",
						TASKQ_MAX_DATABASES),
				 errdetail("A server can have no more."),
				 errhint("Name the databases that need an executor in taskq.databases.")));
	return db;
}

static void
ask_launcher(TaskqDatabase *db)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	db->stopped = false;
	db->failures = 0;
	db->retry_at = 0;
	if (!db->serving)
		database_want(db, WANT_PROBE);
	LWLockRelease(registry->lock);
	process_wake(&registry->launcher_procno);
}

typedef enum Start
{
	START_DONE,
	START_UNDER_WAY,
	START_REFUSED, /* the probe found nothing to serve */
	START_NO_WORKER
} Start;

static Start
look_at_start(TaskqDatabase *db)
{
	Start start = START_UNDER_WAY;

	LWLockAcquire(registry->lock, LW_SHARED);
	if (db->pid != 0)
		start = db->serving ? START_DONE : START_UNDER_WAY;
	else if (database_wants(db, WANT_PROBE))
		start = START_UNDER_WAY;
	else if (!db->wanted)
		start = START_REFUSED;
	else if (registry->shortages > 0)
		start = START_NO_WORKER;
	LWLockRelease(registry->lock);
	return start;
}

static bool
start_by_launcher(void)
{
	TaskqDatabase *db = require_slot();
	int64 until = tq_clock_ms() + START_MS;
	Start start;

	ask_launcher(db);
	while ((start = look_at_start(db)) == START_UNDER_WAY && tq_clock_ms() < until)
		nap();
	if (start == START_NO_WORKER)
		raise_no_worker();
	return start == START_DONE;
}

static int
stop_ms(void)
{
	return setting_http_stop_timeout + STOP_MS;
}

static void
raise_not_stopped(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
			 errmsg("executor has not stopped within %d s", stop_ms() / 1000),
			 errdetail("It may be in a transaction that does not end."),
			 errhint("It has been told to; call taskq.stop_executor() again.")));
}

static bool
stop_by_slot(void)
{
	TaskqDatabase *db = require_slot();
	bool was_running;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	db->stopped = true;
	was_running = db->pid != 0;
	if (was_running)
		kill(db->pid, SIGTERM);
	LWLockRelease(registry->lock);
	if (!executor_wait_until_gone(db, stop_ms()))
		raise_not_stopped();
	return was_running;
}

/* ---- without a launcher ------------------------------------------------------------------- */

/* The executor among the backends of this database, 0 if there is none. */
static pid_t
find_executor(void)
{
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		PGPROC *proc = GetPGProcByNumber(i);
		pid_t pid = proc->pid;
		const char *type;

		if (pid == 0 || proc->databaseId != MyDatabaseId)
			continue;
		type = GetBackgroundWorkerTypeByPid(pid);
		if (type != NULL && strcmp(type, worker_type(WORKER_EXECUTOR)) == 0)
			return pid;
	}
	return 0;
}

static bool
start_by_postmaster(void)
{
	WorkerSpec spec = {
		.database = MyDatabaseId,
		.role = get_role_oid(TASKQ_BGW_ROLE, false),
		.label = get_database_name(MyDatabaseId),
	};
	int64 until = tq_clock_ms() + START_MS;
	BackgroundWorkerHandle *handle;
	pid_t pid;

	if (find_executor() != 0)
		return true;
	if (!worker_register(WORKER_EXECUTOR, &spec, &handle))
		raise_no_worker();
	while (find_executor() == 0)
	{
		if (GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED || tq_clock_ms() >= until)
			return false;
		nap();
	}
	return true;
}

/* The lock tells the executor that it must not be started again. */
static bool
stop_by_signal(void)
{
	int64 until = tq_clock_ms() + stop_ms();
	LOCKTAG stops = lock_tag(LOCK_EXECUTOR_STOPS, MyDatabaseId, 0);
	pid_t pid;
	bool was_running;

	(void) LockAcquire(&stops, ExclusiveLock, false, false);
	pid = find_executor();
	was_running = pid != 0;
	if (was_running)
		kill(pid, SIGTERM);
	while (find_executor() != 0)
	{
		if (tq_clock_ms() >= until)
			raise_not_stopped();
		nap();
	}
	LockRelease(&stops, ExclusiveLock, false);
	return was_running;
}

/* ---- SQL ------------------------------------------------------------------------ */

Datum
taskq_start_executor(PG_FUNCTION_ARGS)
{
	require_no_obstacle();
	PG_RETURN_BOOL(registry ? start_by_launcher() : start_by_postmaster());
}

Datum
taskq_stop_executor(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(registry ? stop_by_slot() : stop_by_signal());
}

/* Columns of executor_state(). */
enum
{
	STATUS_PRELOADED,
	STATUS_PID,
	STATUS_HELD_ASIDE,
	STATUS_LAUNCHER_PID,
	STATUS_FAILURES,
	STATUS_RETRY_AT,
	STATUS_SHORTAGE,
	STATUS_OBSTACLE,
	STATUS_HINT,
	STATUS_RESENT,
	STATUS_NCOLUMNS,
};

static void
set_pid(Datum *values, bool *nulls, int n, pid_t pid)
{
	values[n] = Int32GetDatum((int32) pid);
	nulls[n] = pid == 0;
}

/* A start that waits for a free background worker counts as failed too. */
static void
set_next_start(Datum *values, bool *nulls, const TaskqDatabase *db)
{
	int failures = Max(db->failures, registry->shortages);

	if (db->pid != 0 || !db->wanted || failures == 0)
		return;
	values[STATUS_FAILURES] = Int32GetDatum(failures);
	values[STATUS_RETRY_AT] = TimestampTzGetDatum(Max(db->retry_at, registry->shortage_until));
	nulls[STATUS_RETRY_AT] = false;
	values[STATUS_SHORTAGE] = BoolGetDatum(registry->shortages > 0);
}

static void
read_slot(Datum *values, bool *nulls)
{
	TaskqDatabase *db;

	LWLockAcquire(registry->lock, LW_SHARED);
	set_pid(values, nulls, STATUS_LAUNCHER_PID, registry->launcher_pid);
	db = database_find(MyDatabaseId);
	if (db != NULL)
	{
		set_pid(values, nulls, STATUS_PID, db->serving ? db->pid : 0);
		values[STATUS_HELD_ASIDE] = BoolGetDatum(db->held_aside > 0 || db->stopped);
		set_next_start(values, nulls, db);
		values[STATUS_RESENT] = Int64GetDatum(db->resent);
	}
	LWLockRelease(registry->lock);
}

Datum
taskq_executor_state(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum values[STATUS_NCOLUMNS] = {0};
	bool nulls[STATUS_NCOLUMNS] = {0};
	const char *hint;
	const char *obstacle = find_obstacle(&hint);

	nulls[STATUS_PID] = nulls[STATUS_LAUNCHER_PID] = nulls[STATUS_RETRY_AT] = true;
	values[STATUS_PRELOADED] = BoolGetDatum(registry != NULL);
	if (registry != NULL)
		read_slot(values, nulls);
	else
		set_pid(values, nulls, STATUS_PID, find_executor());
	nulls[STATUS_OBSTACLE] = nulls[STATUS_HINT] = obstacle == NULL;
	if (obstacle != NULL)
	{
		values[STATUS_OBSTACLE] = CStringGetTextDatum(obstacle);
		values[STATUS_HINT] = CStringGetTextDatum(hint);
	}
	InitMaterializedSRF(fcinfo, 0);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}

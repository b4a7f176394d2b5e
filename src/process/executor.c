/*
 * executor.c
 *		The background worker that serves one database.
 *
 * It runs the engine of core/deliver.h on its latch, with store.c as the engine's
 * store.  Between two turns of the engine there is no transaction,
 * no snapshot and no lock but the one that keeps a second executor out.
 *
 * Stopping: SIGTERM only sets a flag and cancels the transaction under way
 * (taskq.c), so that results in memory are still written; then the engine
 * drains, in at most two short transactions with a deadline.  Until the
 * process is connected there is nothing to save, and SIGTERM ends it at once.
 *
 * It runs as an ordinary role and pins the settings it depends on, because
 * the owner of a database can set any of them for it.
 *
 * With a launcher the postmaster restarts no executor, and the exit code only
 * says whether its end is worth a line in the log: 0 for an orderly one.
 * Without preload the postmaster decides by it: 1 means "start it again", 0
 * "never again".
 */
#include "postgres.h"

#include <signal.h>
#include <time.h>

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "libpq/pqsignal.h"
#include "mb/pg_wchar.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "base/database.h"
#include "base/errors.h"
#include "base/locks.h"
#include "base/process.h"
#include "base/settings.h"
#include "core/clock.h"
#include "core/deliver.h"
#include "core/egress.h"
#include "process/duties.h"
#include "process/identity.h"
#include "process/notify.h"
#include "process/store.h"
#include "process/transaction.h"
#include "process/vacuum.h"

#define RECOVER_EVERY_MS 1000

PGDLLEXPORT void taskq_executor_main(Datum database);

static Oid database;
static char database_name[NAMEDATALEN];
static Oid role;
static TaskqDatabase *slot = NULL; /* ours from announce() on; NULL without preload */
static TaskqEnd end_reason = TASKQ_END_FAILED;
static bool connecting = false;

static tq_deliver *engine = NULL;
static WaitEventSet *wait_set = NULL;
static int wait_set_fd = -1;
static uint32 wait_event = 0;

/* ---- coming and going -------------------------------------------------------- */

/* Runs after the process has left the list of the database's backends. */
static void
retire(int code, Datum arg)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	if (slot->oid == database && slot->pid == MyProcPid)
	{
		slot->pid = 0;
		slot->serving = false;
		slot->ended = end_reason;
		if (end_reason == TASKQ_END_FAILED && worker_stopping)
			slot->ended = TASKQ_END_ASKED;
		pg_atomic_write_u32(&slot->procno, TASKQ_NO_PROC);
	}
	LWLockRelease(registry->lock);
	process_wake(&registry->launcher_procno);
}

/* Without a launcher a database that cannot be connected to must not be tried for ever. */
static void
forget_unconnectable(int code, Datum arg)
{
	if (connecting && code != 0)
		proc_exit(0);
}

static void
leave(TaskqEnd reason)
{
	LOCKTAG stops = lock_tag(LOCK_EXECUTOR_STOPS, database, 0);
	bool for_ever = reason == TASKQ_END_LEFT;

	end_reason = reason;
	if (registry != NULL)
		proc_exit(reason == TASKQ_END_FAILED ? 1 : 0);
	if (reason == TASKQ_END_ASKED)
		for_ever = LockAcquire(&stops, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL;
	proc_exit(for_ever ? 0 : 1);
}

/* Takes the database's slot; leaves when it has an executor or is not to have one. */
static void
announce(void)
{
	bool welcome = false;

	if (registry == NULL)
	{
		on_proc_exit(forget_unconnectable, 0);
		return;
	}
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	slot = database_find(database);
	if (slot != NULL && slot->pid == 0 && slot->held_aside == 0 && !slot->stopped)
	{
		welcome = true;
		slot->pid = MyProcPid;
		slot->serving = false;
		pg_atomic_write_u32(&slot->procno, compat_my_procno());
	}
	else if (slot != NULL && slot->pid == 0)
		slot->ended = TASKQ_END_ASKED;
	LWLockRelease(registry->lock);
	if (!welcome)
		proc_exit(1);
	/* Registered before connecting, so that it is called after disconnecting. */
	on_shmem_exit(retire, 0);
}

static void
connect_to_database(void)
{
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	connecting = true;
	BackgroundWorkerInitializeConnectionByOid(database, role, 0);
	connecting = false;
	worker_signals();
	if (ProcDiePending)
	{
		ProcDiePending = false;
		worker_stopping = true;
	}
}

/* ---- settings and rights -------------------------------------------------------- */

typedef struct Pin
{
	const char *name;
	const char *value;
} Pin;

/*
 * What the statements of this process depend on.  Settings that this server does not know are
 * skipped.  Two shorter lists stand in base/sql.c and client/connection.c.
 */
static const Pin pins[] = {
	{"role", "none"},
	{"search_path", "pg_catalog, pg_temp"},
	{"session_replication_role", "origin"},
	{"row_security", "on"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	{"default_tablespace", ""},
	{"default_table_access_method", "heap"},
	{"exit_on_error", "off"},

	/* It would log parameters, what tasks carry among them. */
	{"auto_explain.log_min_duration", "-1"},

	/* A transaction that waits for a lock holds up every transfer. */
	{"lock_timeout", "1s"},
	{"statement_timeout", "0"},
	{"transaction_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"idle_session_timeout", "0"},

	{"TimeZone", "UTC"},
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"bytea_output", "hex"},
	{"extra_float_digits", "1"},
	{"standard_conforming_strings", "on"},
	{"array_nulls", "on"},
	{"transform_null_equals", "off"},
	{"quote_all_identifiers", "off"},
	{"check_function_bodies", "on"},

	{"jit", "off"},
	{"plan_cache_mode", "auto"},
	{"work_mem", "4MB"},
	{"max_parallel_workers_per_gather", "0"},
	{"enable_bitmapscan", "on"},
	{"enable_hashagg", "on"},
	{"enable_hashjoin", "on"},
	{"enable_indexonlyscan", "on"},
	{"enable_indexscan", "on"},
	{"enable_material", "on"},
	{"enable_mergejoin", "on"},
	{"enable_nestloop", "on"},
	{"enable_seqscan", "on"},
	{"enable_sort", "on"},
	{"enable_tidscan", "on"}};

static void
pin_settings(void)
{
	for (int i = 0; i < (int) lengthof(pins); i++)
	{
		if (GetConfigOption(pins[i].name, true, false) != NULL)
			SetConfigOption(pins[i].name, pins[i].value, PGC_SUSET, PGC_S_OVERRIDE);
	}
	SetConfigOption("client_encoding", GetDatabaseEncodingName(), PGC_SUSET, PGC_S_OVERRIDE);
	/* May be stricter, by choice of the administrator. */
	if (synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_FLUSH)
		SetConfigOption("synchronous_commit", "on", PGC_SUSET, PGC_S_OVERRIDE);
}

/* False, and the log says why: the executor's role has got rights that it must not have. */
static bool
role_is_harmless(void)
{
	const char *hint;
	const char *fault;

	StartTransactionCommand();
	fault = executor_role_fault(role, &hint);
	if (fault == NULL && (GetUserId() != role || GetSessionUserId() != role))
		elog(ERROR, "executor runs as role %u instead of %u", GetUserId(), role);
	CommitTransactionCommand();
	if (fault != NULL)
		ereport(LOG,
				(errcode(ERRCODE_TASKQ_NOT_PERMITTED),
				 errmsg("executor does not run: %s", fault),
				 errhint("%s", hint)));
	return fault == NULL;
}

static bool
settings_want_us(void)
{
	bool wanted = setting_executor;

	if (wanted)
	{
		StartTransactionCommand();
		strlcpy(database_name, get_database_name(MyDatabaseId), sizeof(database_name));
		CommitTransactionCommand();
		wanted = settings_database_allowed(database_name);
	}
	return wanted;
}

/* False: another executor serves this database. */
static bool
keep_others_out(void)
{
	LOCKTAG runs = lock_tag(LOCK_EXECUTOR_RUNS, database, 0);
	bool alone;

	StartTransactionCommand();
	alone = LockAcquire(&runs, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
	CommitTransactionCommand();
	return alone;
}

/* ---- the engine's process --------------------------------------------------------- */

static int64_t
process_now_ms(void *self)
{
	return tq_clock_ms();
}

static int64_t
process_wall_s(void *self)
{
	return (int64_t) time(NULL);
}

static bool
process_stopping(void *self)
{
	return worker_stopping;
}

static void
process_armed(void *self, bool armed)
{
	static bool disarmed = false;

	if (!armed)
		ereport(LOG,
				(errmsg("executor in database \"%s\" sends nothing: the database is not armed",
						database_name),
				 errhint("Call taskq.arm() if requests are to be sent from here.")));
	else if (disarmed)
		ereport(LOG, (errmsg("executor in database \"%s\" is armed", database_name)));
	disarmed = !armed;
}

static void
process_log(void *self, const char *line)
{
	ereport(LOG, (errmsg("executor: %s", line)));
}

static void
watch(int fd)
{
	if (wait_set != NULL)
		FreeWaitEventSet(wait_set);
	wait_set = compat_wait_event_set(3);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	if (fd >= 0)
		AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, fd, NULL, NULL);
	wait_set_fd = fd;
}

static bool
tasks_are_due(void)
{
	return slot != NULL && database_take_want(slot, WANT_TASKS);
}

static bool
leases_to_be_checked(void)
{
	return slot != NULL && database_wants(slot, WANT_CANCELS);
}

/*
 * Flags are looked at before the latch is waited for, because a transaction
 * may have used up the latch's signal.
 */
static bool
process_wait(void *self, int fd, int64_t timeout_ms)
{
	WaitEvent events[3];
	bool due = tasks_are_due();
	int n;

	if (wait_set == NULL || fd != wait_set_fd)
		watch(fd);
	if (due || worker_stopping || extension_gone() || leases_to_be_checked())
		timeout_ms = 0;
	n = WaitEventSetWait(wait_set, (long) Min(timeout_ms, INT_MAX), events, lengthof(events),
						 wait_event);
	for (int i = 0; i < n; i++)
	{
		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
	}
	worker_absorb_interrupts();
	return tasks_are_due() || due;
}

static const tq_process process = {
	.now_ms = process_now_ms,
	.wall_s = process_wall_s,
	.wait = process_wait,
	.stopping = process_stopping,
	.armed = process_armed,
	.log = process_log};

/* Makes the engine, or gives it the settings as they are now. */
static void
configure_engine(void)
{
	tq_egress egress = {0};
	bool done;
	tq_deliver_config config = {
		.max_inflight = setting_http_max_inflight,
		.max_per_host = setting_http_max_per_host,
		.poll_interval_ms = setting_poll_interval,
		.limits = {
			.max_response = setting_http_max_response,
			.max_headers = TQ_RESPONSE_HEADERS,
			.connect_timeout_ms = setting_http_connect_timeout},
		.egress = &egress,
		.ca_file = setting_http_ca_file,
		.http2 = setting_http2};

	settings_read_egress(&egress);
	if (engine == NULL)
		engine = tq_deliver_new(&config, &store_spi, &process);
	done = engine != NULL && tq_deliver_configure(engine, &config);
	tq_egress_free(&egress);
	if (!done)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

/* ---- the life of an executor --------------------------------------------------------- */

/* Leaves unless everything an executor needs is there. */
static void
settle(void)
{
	pin_settings();
	if (!settings_want_us())
		leave(TASKQ_END_LEFT);
	if (!keep_others_out())
		leave(registry ? TASKQ_END_FAILED : TASKQ_END_LEFT);
	if (!transaction_open())
		leave(extension_gone() ? TASKQ_END_LEFT : TASKQ_END_FAILED);
	if (!role_is_harmless())
		leave(TASKQ_END_FAILED);
}

/* Tasks that a dead executor held are runnable again before anything is claimed. */
static void
recover(void)
{
	while (!worker_stopping && !duties_recover())
	{
		if (extension_gone())
			leave(TASKQ_END_LEFT);
		(void) process_wait(NULL, -1, RECOVER_EVERY_MS);
	}
}

static void
say_serving(void)
{
	if (slot == NULL)
		return;
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	slot->serving = true;
	LWLockRelease(registry->lock);
	process_wake(&registry->launcher_procno);
}

static void
follow_settings(void)
{
	if (!worker_reload_config())
		return;
	pin_settings();
	if (!role_is_harmless())
		leave(TASKQ_END_FAILED);
	if (!settings_want_us())
	{
		end_reason = TASKQ_END_LEFT;
		worker_stopping = true;
	}
	configure_engine();
}

static void
pass_on_lease_checks(void)
{
	if (slot != NULL && database_take_want(slot, WANT_CANCELS))
		tq_deliver_check_leases(engine);
}

static void
serve(void)
{
	MemoryContext turn = AllocSetContextCreate(TopMemoryContext, "taskq executor turn",
											   ALLOCSET_DEFAULT_SIZES);
	bool more = true;

	/* Everything of a turn is allocated in the context of the turn; transactions have their own. */
	while (more && !extension_gone())
	{
		MemoryContextReset(turn);
		MemoryContextSwitchTo(turn);
		follow_settings();
		pass_on_lease_checks();
		if (!worker_stopping)
		{
			duties_run();
			notify_run();
			vacuum_run();
		}
		more = extension_gone() || tq_deliver_turn(engine, Min(duties_due_in(), notify_due_in()));
	}
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextDelete(turn);
}

void
taskq_executor_main(Datum arg)
{
	database = DatumGetObjectId(arg);
	role = worker_role();

	announce();
	connect_to_database();
	wait_event = compat_wait_event("TaskqExecutor");
	settle();
	say_serving();
	recover();
	configure_engine();
	pgstat_report_activity(STATE_IDLE, NULL);
	serve();
	vacuum_stop();
	tq_deliver_free(engine);
	if (extension_gone() || end_reason == TASKQ_END_LEFT)
		leave(TASKQ_END_LEFT);
	leave(TASKQ_END_ASKED);
}

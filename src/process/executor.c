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
 * drains: it waits for answers for taskq.http_stop_timeout, but not if the database
 * is to be dropped or the like, and ends with two short transactions that have a
 * deadline.  The postmaster waits for it.  Until the process is connected there is
 * nothing to save, and SIGTERM ends it at once.
 *
 * It runs as an ordinary role and pins the settings it depends on, because
 * the owner of a database can set any of them for it.
 *
 * With a launcher the postmaster restarts no executor, and the exit code only
 * decides whether the server logs the end: 0 for an orderly one.  Without preload
 * the exit code tells the postmaster what to do: 1 "start it again", 0 "never
 * again".
 */
#include "postgres.h"

#include <malloc.h>
#include <signal.h>
#include <time.h>

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "mb/pg_wchar.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/ipc.h"
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
#include "core/shortage.h"
#include "process/calls.h"
#include "process/clock_watch.h"
#include "process/duties.h"
#include "process/failures.h"
#include "process/identity.h"
#include "process/notify.h"
#include "process/quiet.h"
#include "process/requests.h"
#include "process/store.h"
#include "process/transaction.h"
#include "process/vacuum.h"

#define RECOVER_EVERY_MS 1000
#define STOP_TURN_MS     1000

#define MAX_EVENTS 4 /* latch, death of the postmaster, clock, requests */

/* While the process sleeps: the time until it looks for changes that do not wake it. */
#define LOOK_MS          30000
#define LOOK_AT_CLOCK_MS 10000 /* if it is not told that the clock was set */

/* Of this process, beside those of requests and those that fd.c counts: pipes, name servers. */
#define OWN_DESCRIPTORS 32
/* Of those that fd.c leaves to others, for wait event sets. */
#define LATCH_DESCRIPTORS 16

/* Bytes of free memory that are kept between two transactions, until the process sleeps. */
#define KEPT_MEMORY (8 * 1024 * 1024)
#define LARGE_BLOCK (1024 * 1024) /* such a one is given back at once */

/* Completes "could not ..." in status(). */
#define BEGIN_WORK "begin requests"

PGDLLEXPORT void taskq_executor_main(Datum database);

static Oid database;
static char database_name[NAMEDATALEN];
static Oid role;
static TaskqDatabase *slot = NULL; /* our database's, from announce() on; NULL without preload */
static TaskqEnd end_reason = TASKQ_END_FAILED;
static bool connecting = false;
static bool stop_known = false; /* the engine has been told */

static tq_deliver *engine = NULL;
static WaitEventSet *wait_set = NULL;
static int wait_set_fd = -1;
static char clock_was_set; /* its address marks an event */
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

/* Without a launcher, a database that refuses the connection must not be tried for ever. */
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

/* Takes the database's slot; exits if the database has an executor or must not have one. */
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
		slot->resent = 0;
		pg_atomic_write_u32(&slot->procno, compat_my_procno());
	}
	else if (slot != NULL && slot->pid == 0)
		slot->ended = TASKQ_END_ASKED;
	LWLockRelease(registry->lock);
	if (!welcome)
		proc_exit(1);
	/* Registered before the process connects, so that it is called after it has disconnected. */
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
 * Settings on which the statements of this process depend.  Settings that this server does not
 * know are skipped.  Two shorter lists stand in base/sql.c and client/connection.c.
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
	{"taskq.trace", ""},

	/* It would log parameters, and so the content of tasks. */
	{"auto_explain.log_min_duration", "-1"},
	{"pgaudit.log_parameter", "off"},

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
	/* The administrator may have chosen a stricter value. */
	if (synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_FLUSH)
		SetConfigOption("synchronous_commit", "on", PGC_SUSET, PGC_S_OVERRIDE);
}

/* False: the executor's role has rights that it must not have; the reason is logged. */
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
	stop_known = worker_stopping;
	return stop_known;
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
process_phase(void *self, int64_t id, int64_t token, tq_phase phase)
{
	request_note(id, token, phase);
}

static void
watch(int fd)
{
	if (wait_set != NULL)
		FreeWaitEventSet(wait_set);
	wait_set = compat_wait_event_set(MAX_EVENTS);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	if (clock_watch() >= 0)
		AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, clock_watch(), NULL, &clock_was_set);
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

/* While it stops, it makes no calls. */
static bool
calls_to_be_seen_to(void)
{
	return engine != NULL && !worker_stopping && calls_have_news();
}

/* False: the wait is no longer than those for polls, or it must not be, and becomes shorter. */
static bool
begin_sleep(int64_t *timeout_ms)
{
	int64 poll_ms = setting_poll_interval;

	if (engine == NULL || worker_stopping || *timeout_ms <= 2 * poll_ms)
		return false;
	/* Statistics that the server has held back so far. */
	pgstat_report_stat(true);
	if (quiet_begin_sleep())
	{
		(void) malloc_trim(0);
		return true;
	}
	*timeout_ms = poll_ms;
	return false;
}

static int
wait_for(int64 timeout_ms, WaitEvent events[MAX_EVENTS])
{
	return WaitEventSetWait(wait_set, (long) Min(timeout_ms, INT_MAX), events, MAX_EVENTS,
							wait_event);
}

/* Looks now and then whether something has changed, which costs less than a turn of the engine. */
static int
sleep_for(int64 timeout_ms, WaitEvent events[MAX_EVENTS])
{
	int64 until = tq_clock_ms() + timeout_ms;
	int64 look_ms = clock_watch() >= 0 ? LOOK_MS : LOOK_AT_CLOCK_MS;
	int64 left = timeout_ms;
	int n;

	do
	{
		n = wait_for(Min(left, look_ms), events);
		left = until - tq_clock_ms();
	} while (n == 0 && left > 0 && !quiet_has_changed());
	return n;
}

/*
 * Reads the flags before it waits for the latch, because a transaction may have
 * reset the latch meanwhile.
 */
static bool
process_wait(void *self, int fd, int64_t timeout_ms)
{
	WaitEvent events[MAX_EVENTS];
	bool sleeps = begin_sleep(&timeout_ms);
	bool due = tasks_are_due();
	int n;

	if (wait_set == NULL || fd != wait_set_fd)
		watch(fd);
	if (due || (worker_stopping && !stop_known) || extension_gone() || leases_to_be_checked() ||
		calls_to_be_seen_to())
		timeout_ms = 0;
	n = sleeps ? sleep_for(timeout_ms, events) : wait_for(timeout_ms, events);
	for (int i = 0; i < n; i++)
	{
		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		if (events[i].user_data == &clock_was_set)
			clock_watch_again();
	}
	worker_absorb_interrupts();
	if (sleeps && quiet_end_sleep())
		due = true;
	return tasks_are_due() || due;
}

static const tq_process process = {
	.now_ms = process_now_ms,
	.wall_s = process_wall_s,
	.wait = process_wait,
	.stopping = process_stopping,
	.armed = process_armed,
	.phase = process_phase,
	.log = process_log};

/* Descriptors that fd.c does not count on. */
static int
spare_descriptors(void)
{
	return Max(tq_descriptor_limit() - max_safe_fds - OWN_DESCRIPTORS, 0);
}

/* Those among its own that fd.c leaves to others; at least one, so that requests are sent. */
static int
shared_descriptors(void)
{
	return Max(max_safe_fds / 3 - LATCH_DESCRIPTORS, 1);
}

/* Tells fd.c how many of its descriptors requests may use, so that it keeps fewer files open. */
static void
reserve_descriptors(int max_inflight)
{
	static int reserved = 0;
	int needed = Max(max_inflight - spare_descriptors(), 0);

	needed = Min(needed, shared_descriptors());
	for (; reserved < needed; reserved++)
		ReserveExternalFD();
	for (; reserved > needed; reserved--)
		ReleaseExternalFD();
}

/* Creates the engine, or passes the current settings to it. */
static void
configure_engine(void)
{
	tq_egress egress = {0};
	bool done;
	tq_deliver_config config = {
		.max_inflight = setting_http_max_inflight,
		.max_descriptors = spare_descriptors() + shared_descriptors(),
		.max_per_host = setting_http_max_per_host,
		.poll_interval_ms = setting_poll_interval,
		.stop_timeout_ms = setting_http_stop_timeout,
		.limits = {
			.max_response = setting_http_max_response,
			.max_headers = TQ_RESPONSE_HEADERS,
			.connect_timeout_ms = setting_http_connect_timeout,
			.resend = setting_http_resend},
		.egress = &egress,
		.ca_file = setting_http_ca_file,
		.http2 = setting_http2};

	settings_read_egress(&egress);
	if (engine == NULL)
		engine = tq_deliver_new(&config, &store_spi, &process);
	done = engine != NULL && tq_deliver_configure(engine, &config);
	tq_egress_free(&egress);
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("executor could not prepare to send requests"),
				 errdetail("Memory or file descriptors are short.")));
	reserve_descriptors(setting_http_max_inflight);
}

/* ---- the life of an executor --------------------------------------------------------- */

/* Otherwise each transaction would give its memory back, and the next one ask for it again. */
static void
keep_memory(void)
{
	(void) mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
	(void) mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
}

/* Leaves unless everything that an executor needs exists. */
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

/* Makes the tasks of a dead executor pending again, before anything is claimed. */
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
	if (slot == NULL || !database_take_want(slot, WANT_CANCELS))
		return;
	tq_deliver_check_leases(engine);
	calls_check_leases();
}

/* For status(): the engine has logged it. */
static void
note_shortages(void)
{
	static tq_deliver_state seen = {0};
	const tq_deliver_state *state = tq_deliver_state_of(engine);

	if (state->put_off != seen.put_off)
		(void) failure_note(BEGIN_WORK, ERRCODE_INSUFFICIENT_RESOURCES,
							tq_shortage_text(state->shortage));
	else if (state->shortage == 0 && seen.shortage != 0)
		failure_over(BEGIN_WORK);
	seen = *state;
}

static void
publish_resent(void)
{
	const tq_deliver_state *state = tq_deliver_state_of(engine);

	if (slot == NULL || slot->resent == state->resent)
		return;
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	slot->resent = state->resent;
	LWLockRelease(registry->lock);
}

/* A command that the executor must not hold up, such as DROP DATABASE, waits for its end. */
static bool
is_held_aside(void)
{
	bool held;

	if (slot == NULL)
		return false;
	LWLockAcquire(registry->lock, LW_SHARED);
	held = slot->held_aside > 0;
	LWLockRelease(registry->lock);
	return held;
}

static int64
longest_wait(void)
{
	int64 sleep_ms = quiet_sleep_ms();
	int64 due_in = Min(duties_due_in(sleep_ms > 0), notify_due_in());

	due_in = Min(due_in, calls_due_in());
	if (worker_stopping)
		return STOP_TURN_MS;
	return sleep_ms > 0 ? Min(Min(due_in, sleep_ms), vacuum_due_in()) : due_in;
}

static void
serve(void)
{
	MemoryContext turn = AllocSetContextCreate(TopMemoryContext, "taskq executor turn",
											   ALLOCSET_DEFAULT_SIZES);
	bool more = true;

	/* A turn allocates in the context of the turn; transactions have contexts of their own. */
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
			calls_run();
		}
		else
		{
			calls_stop();
			if (is_held_aside())
				tq_deliver_hurry(engine);
		}
		more = extension_gone() || tq_deliver_turn(engine, longest_wait());
		note_shortages();
		publish_resent();
	}
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextDelete(turn);
}

void
taskq_executor_main(Datum arg)
{
	database = DatumGetObjectId(arg);
	role = worker_role();

	keep_memory();
	announce();
	connect_to_database();
	wait_event = compat_wait_event("TaskqExecutor");
	settle();
	failures_forget();
	requests_forget();
	say_serving();
	recover();
	configure_engine();
	pgstat_report_activity(STATE_IDLE, NULL);
	serve();
	calls_end();
	vacuum_stop();
	tq_deliver_free(engine);
	if (extension_gone() || end_reason == TASKQ_END_LEFT)
		leave(TASKQ_END_LEFT);
	leave(TASKQ_END_ASKED);
}

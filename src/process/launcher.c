/*
 * launcher.c
 *		Finds the databases that want an executor and starts one each.
 *
 * The launcher is attached to no database, so it blocks no DROP DATABASE; it
 * reads nothing but the shared catalogs.  It cannot know whether a database has
 * the extension, so it starts a probe there, which becomes the executor or
 * leaves.  That happens once after the start of the server, and then only when
 * a session asks for it in TaskqDatabase.wants.
 *
 * The postmaster restarts none of the executors.  The launcher does, with
 * back-off, because only it can tell a dropped database from a failing one.
 * An error ends the launcher, and the postmaster starts it again.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "storage/ipc.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/database.h"
#include "base/errors.h"
#include "base/process.h"
#include "base/settings.h"
#include "base/shmem.h"
#include "process/identity.h"
#include "process/launcher.h"

#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 60000

/* An executor that has run for so long has not failed at its start. */
#define RAN_WELL_MS 60000

/* How many probes may run at the same time: many databases must not need many worker slots. */
#define MAX_PROBES 2

PGDLLEXPORT void taskq_launcher_main(Datum arg);

/* The launcher's knowledge of the executor in the slot of the same number. */
typedef struct Child
{
	bool running;                   /* started or found by us, and its end not yet noticed */
	BackgroundWorkerHandle *handle; /* NULL if an earlier launcher started it */
	TimestampTz started_at;
	NameData name; /* the database's, for the log */
} Child;

static Child children[TASKQ_MAX_DATABASES];

/* Databases found by a scan that have no slot yet; in TopMemoryContext. */
static List *candidates = NIL;

static uint32 wait_event = 0;

void
launcher_register(void)
{
	WorkerSpec spec = {0};

	(void) worker_register(WORKER_LAUNCHER, &spec, NULL);
}

/* ---- databases ----------------------------------------------------------------- */

typedef enum Verdict
{
	DATABASE_GONE,
	DATABASE_UNFIT, /* must have no executor now */
	DATABASE_FIT
} Verdict;

static bool
is_fit(Form_pg_database form, Oid role)
{
	return form->datallowconn && !form->datistemplate &&
		   form->datconnlimit != DATCONNLIMIT_INVALID_DB &&
		   settings_database_allowed(NameStr(form->datname)) &&
		   compat_may_connect(form->oid, role);
}

/* Must be in a transaction.  name is filled unless the database is gone. */
static Verdict
judge_database(Oid oid, NameData *name, Oid *role)
{
	HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(oid));
	Verdict verdict = DATABASE_UNFIT;
	Form_pg_database form;

	if (!HeapTupleIsValid(tuple))
		return DATABASE_GONE;
	form = (Form_pg_database) GETSTRUCT(tuple);
	*name = form->datname;
	*role = get_role_oid(TASKQ_BGW_ROLE, true);
	if (OidIsValid(*role) && is_fit(form, *role))
		verdict = DATABASE_FIT;
	ReleaseSysCache(tuple);
	return verdict;
}

/* Makes every fit database a candidate. */
static void
scan_databases(void)
{
	Relation rel;
	SysScanDesc scan;
	HeapTuple tuple;
	Oid role;

	list_free(candidates);
	candidates = NIL;
	StartTransactionCommand();
	role = get_role_oid(TASKQ_BGW_ROLE, true);
	if (OidIsValid(role))
	{
		rel = table_open(DatabaseRelationId, AccessShareLock);
		scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
			MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

			if (is_fit(form, role))
				candidates = lappend_oid(candidates, form->oid);
			MemoryContextSwitchTo(old);
		}
		systable_endscan(scan);
		table_close(rel, AccessShareLock);
	}
	CommitTransactionCommand();
}

static bool
all_slots_serve(void)
{
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
	{
		if (!registry->db[i].serving && !registry->db[i].used)
			return false;
	}
	return true;
}

/* Gives slots to candidates while slots are free; the other candidates wait until probes end. */
static void
admit_candidates(void)
{
	static bool said = false;
	bool full;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	while (candidates != NIL)
	{
		TaskqDatabase *db = database_make(linitial_oid(candidates));

		if (db == NULL)
			break;
		db->wanted = true;
		candidates = list_delete_first(candidates);
	}
	full = candidates != NIL && all_slots_serve();
	LWLockRelease(registry->lock);
	if (full && !said)
		ereport(LOG,
				(errmsg("taskq launcher serves no more than %d databases at a time",
						TASKQ_MAX_DATABASES),
				 errhint("Name the databases that need an executor in taskq.databases.")));
	said = full;
}

/* ---- executors that ended --------------------------------------------------------- */

/* Milliseconds before the next start after so many failures in a row. */
static int
backoff_ms(int failures)
{
	int ms = BACKOFF_MIN_MS;

	for (int i = 1; i < failures && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	return Min(ms, BACKOFF_MAX_MS);
}

/* An executor that stepped aside for a command may start again at once. */
static void
plan_next_start(TaskqDatabase *db, int delay_ms)
{
	if (db->held_aside > 0 || db->stepped_aside)
		delay_ms = 0;
	db->stepped_aside = false;
	db->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay_ms);
}

/* Plans the next start; returns the back-off in ms, 0 if the executor did not fail. */
static int
plan_after_end(TaskqDatabase *db, const Child *child)
{
	int delay_ms;

	if (db->ended == TASKQ_END_LEFT)
		db->wanted = false;
	if (db->ended == TASKQ_END_ASKED)
		plan_next_start(db, BACKOFF_MIN_MS);
	if (db->ended == TASKQ_END_LEFT || db->ended == TASKQ_END_ASKED)
	{
		db->failures = 0;
		return 0;
	}
	if (TimestampDifferenceExceeds(child->started_at, GetCurrentTimestamp(), RAN_WELL_MS))
		db->failures = 0;
	delay_ms = backoff_ms(++db->failures);
	plan_next_start(db, delay_ms);
	return delay_ms;
}

static void
bury(int i)
{
	Child *child = &children[i];
	int delay_ms;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	delay_ms = plan_after_end(&registry->db[i], child);
	/* The executor's worker slot is free now. */
	registry->shortage_until = 0;
	LWLockRelease(registry->lock);
	if (delay_ms > 0)
		ereport(LOG,
				(errmsg("executor of database \"%s\" failed; next start in %d s",
						NameStr(child->name), delay_ms / 1000)));
	if (child->handle != NULL)
		pfree(child->handle);
	child->handle = NULL;
	child->running = false;
}

static bool
has_ended(const TaskqDatabase *db, const Child *child)
{
	pid_t pid;

	if (db->pid != 0)
		return false;
	return child->handle == NULL ||
		   GetBackgroundWorkerPid(child->handle, &pid) == BGWH_STOPPED;
}

static void
bury_ended(void)
{
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
	{
		if (children[i].running && has_ended(&registry->db[i], &children[i]))
			bury(i);
	}
}

/* ---- starting ------------------------------------------------------------------------ */

/*
 * A request for a probe that comes while an executor runs is kept: the executor may be
 * about to leave because its extension is gone, without seeing that there is a new one.
 */
static void
take_pokes(void)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
	{
		TaskqDatabase *db = &registry->db[i];

		if (OidIsValid(db->oid) && !children[i].running &&
			database_take_want(db, WANT_PROBE))
		{
			db->wanted = true;
			db->failures = 0;
			db->retry_at = 0;
			registry->shortages = 0;
			registry->shortage_until = 0;
		}
	}
	LWLockRelease(registry->lock);
}

static bool
may_start(const TaskqDatabase *db, const Child *child)
{
	return OidIsValid(db->oid) && db->wanted && !child->running && db->pid == 0 &&
		   db->held_aside == 0 && !db->stopped;
}

/* The database needs no executor now.  Its slot is freed, unless sessions may refer to it. */
static void
drop_wish(int i, Verdict verdict)
{
	TaskqDatabase *db = &registry->db[i];

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	db->wanted = false;
	if (db->pid == 0 && !db->stopped && db->held_aside == 0 &&
		(verdict == DATABASE_GONE || !db->used))
	{
		shmem_forget_database(db->oid);
		database_forget(db);
	}
	LWLockRelease(registry->lock);
	/* A candidate may be waiting for the slot. */
	SetLatch(MyLatch);
}

/* False: no background worker is free. */
static bool
register_executor(int i, Oid role)
{
	TaskqDatabase *db = &registry->db[i];
	Child *child = &children[i];
	WorkerSpec spec = {.database = db->oid, .role = role, .label = NameStr(child->name)};

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	child->running = worker_register(WORKER_EXECUTOR, &spec, &child->handle);
	/* An end without a reason counts as a failure. */
	db->ended = TASKQ_END_FAILED;
	if (child->running)
		registry->shortages = 0;
	LWLockRelease(registry->lock);
	child->started_at = GetCurrentTimestamp();
	return child->running;
}

static int
count_probes(void)
{
	int probes = 0;

	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
		probes += children[i].running && !registry->db[i].serving;
	return probes;
}

/* While a probe runs there is no real shortage: the probe will end soon and free its slot. */
static void
note_shortage(int i)
{
	int delay_ms = BACKOFF_MIN_MS;
	bool real = count_probes() == 0;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	if (real)
		delay_ms = backoff_ms(++registry->shortages);
	registry->shortage_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay_ms);
	LWLockRelease(registry->lock);
	if (real)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker is free for database \"%s\"; next try in %d s",
						NameStr(children[i].name), delay_ms / 1000),
				 errhint("Raise max_worker_processes.")));
}

/* False: no background worker is free. */
static bool
start_executor(int i)
{
	Oid role = InvalidOid;
	Verdict verdict;

	StartTransactionCommand();
	verdict = judge_database(registry->db[i].oid, &children[i].name, &role);
	CommitTransactionCommand();
	if (verdict == DATABASE_FIT)
		return register_executor(i, role);
	drop_wish(i, verdict);
	return true;
}

/* Starts the executors that are due, while worker slots are free. */
static void
start_wanted(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!setting_executor || registry->shortage_until > now)
		return;
	for (int i = 0; i < TASKQ_MAX_DATABASES && count_probes() < MAX_PROBES; i++)
	{
		TaskqDatabase *db = &registry->db[i];

		if (!may_start(db, &children[i]) || db->retry_at > now)
			continue;
		if (!start_executor(i))
		{
			note_shortage(i);
			return;
		}
	}
}

/* When start_wanted() has something to do without being woken; DT_NOEND: never. */
static TimestampTz
next_start(void)
{
	TimestampTz at = DT_NOEND;

	if (!setting_executor || count_probes() >= MAX_PROBES)
		return at;
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
	{
		if (may_start(&registry->db[i], &children[i]))
			at = Min(at, registry->db[i].retry_at);
	}
	return at == DT_NOEND ? at : Max(at, registry->shortage_until);
}

/* Frees the slots of databases in which a probe found nothing. */
static void
free_idle_slots(void)
{
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
	{
		TaskqDatabase *db = &registry->db[i];

		if (OidIsValid(db->oid) && !db->wanted && !db->used && !children[i].running)
			drop_wish(i, DATABASE_UNFIT);
	}
}

/* ---- the launcher's process ------------------------------------------------------------ */

static void
sign_off(int code, Datum arg)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	registry->launcher_pid = 0;
	pg_atomic_write_u32(&registry->launcher_procno, TASKQ_NO_PROC);
	LWLockRelease(registry->lock);
}

/* Executors that an earlier launcher has started go on. */
static void
sign_on(void)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	registry->launcher_pid = MyProcPid;
	pg_atomic_write_u32(&registry->launcher_procno, compat_my_procno());
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
	{
		children[i].running = registry->db[i].pid != 0;
		snprintf(NameStr(children[i].name), NAMEDATALEN, "%u", registry->db[i].oid);
	}
	LWLockRelease(registry->lock);
	before_shmem_exit(sign_off, 0);
}

static void
wait_for_news(TimestampTz until)
{
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
	long timeout_ms = -1;

	if (until != DT_NOEND)
	{
		events |= WL_TIMEOUT;
		timeout_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
	}
	(void) WaitLatch(MyLatch, events, timeout_ms, wait_event);
	ResetLatch(MyLatch);
	worker_absorb_interrupts();
}

/* True if a setting that decides which databases get an executor has changed. */
static bool
wishes_changed(void)
{
	bool was_on = setting_executor;
	char *had = pstrdup(setting_databases);
	bool changed;

	changed = worker_reload_config() &&
			  (was_on != setting_executor || strcmp(had, setting_databases) != 0);
	pfree(had);
	return changed;
}

void
taskq_launcher_main(Datum arg)
{
	worker_signals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	wait_event = compat_wait_event("TaskqLauncher");
	sign_on();
	scan_databases();

	while (!worker_stopping)
	{
		bury_ended();
		take_pokes();
		free_idle_slots();
		admit_candidates();
		start_wanted();
		wait_for_news(next_start());
		if (wishes_changed())
			scan_databases();
	}
	proc_exit(1);
}

/*
 * launcher.c
 *		Finds the databases that want an executor and starts one each.
 *
 * The launcher is attached to no database, so it stands in nobody's way; it
 * reads nothing but the shared catalogs.  Whether a database has the extension
 * it cannot know, so it starts a probe there, which becomes the executor or
 * leaves.  That happens once after the start of the server and then only when
 * somebody asks for it, in TaskqDatabase.poked.
 *
 * The postmaster restarts none of the executors.  The launcher does, with
 * back-off, because only it can tell a dropped database from a failing one.
 * An error ends the launcher, and the postmaster starts it again.
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#define LAUNCHER_RESTART_S 5

#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 60000

/* An executor that has run for so long was no failure. */
#define RAN_WELL_MS 60000

/* Probes at one time, so that many databases need few worker slots. */
#define MAX_PROBES 2

PGDLLEXPORT void taskq_launcher_main(Datum arg);

/* What the launcher knows of the executor in the slot of the same number. */
typedef struct Child
{
	bool		running;		/* started by us, or found, and not yet seen to end */
	BackgroundWorkerHandle *handle; /* NULL if it was found, or could not be registered */
	TimestampTz started_at;
	NameData	name;			/* of the database, for the log */
} Child;

static Child children[TASKQ_MAX_DATABASES];

/* Databases found by a scan that have no slot yet; in TopMemoryContext. */
static List *candidates = NIL;

static uint32 wait_event = 0;

void
launcher_register(void)
{
	BackgroundWorker worker = {0};

	strlcpy(worker.bgw_name, "taskq launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "taskq launcher", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = LAUNCHER_RESTART_S;
	strlcpy(worker.bgw_library_name, "taskq", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "taskq_launcher_main", sizeof(worker.bgw_function_name));
	RegisterBackgroundWorker(&worker);
}

/* ---- databases ----------------------------------------------------------------- */

typedef enum Verdict
{
	DATABASE_GONE,
	DATABASE_UNFIT,				/* no executor as things stand */
	DATABASE_FIT
} Verdict;

static bool
is_fit(Form_pg_database form, Oid role)
{
	return form->datallowconn && !form->datistemplate &&
		form->datconnlimit != DATCONNLIMIT_INVALID_DB &&
		guc_database_allowed(NameStr(form->datname)) &&
		compat_may_connect(form->oid, role);
}

/* Must be in a transaction.  name is filled unless the database is gone. */
static Verdict
judge_database(Oid oid, NameData *name, Oid *role)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(oid));
	Verdict		verdict = DATABASE_UNFIT;
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
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			role;

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

/* Gives candidates a slot, as far as there are any. */
static void
admit_candidates(void)
{
	static bool said = false;

	LWLockAcquire(taskq_shared->lock, LW_EXCLUSIVE);
	while (candidates != NIL)
	{
		TaskqDatabase *db = database_make(linitial_oid(candidates));

		if (db == NULL)
			break;
		db->wanted = true;
		candidates = list_delete_first(candidates);
	}
	LWLockRelease(taskq_shared->lock);
	if (candidates != NIL && !said)
	{
		ereport(LOG,
				(errmsg("taskq launcher serves no more than %d databases at a time",
						TASKQ_MAX_DATABASES),
				 errhint("Name those that need an executor in taskq.databases.")));
		said = true;
	}
}

/* ---- executors that ended --------------------------------------------------------- */

/* Milliseconds before the next start after so many failures in a row. */
static int
backoff_ms(int failures)
{
	int			ms = BACKOFF_MIN_MS;

	for (int i = 1; i < failures && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	return Min(ms, BACKOFF_MAX_MS);
}

/* A command that wanted it out of the way lets it come back at once. */
static void
plan_next_start(TaskqDatabase *db, int delay_ms)
{
	if (db->held_aside > 0)
		delay_ms = 0;
	db->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay_ms);
}

/* Decides what follows; returns the back-off in ms, 0 if it did not fail. */
static int
plan_after_end(TaskqDatabase *db, const Child *child)
{
	int			delay_ms;

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
log_backoff(const Child *child, TaskqEnd ended, int delay_ms)
{
	if (ended == TASKQ_END_NO_WORKER)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker is free for the executor of database \"%s\"; next try in %d s",
						NameStr(child->name), delay_ms / 1000),
				 errhint("Raise max_worker_processes.")));
	else
		ereport(LOG,
				(errmsg("executor of database \"%s\" failed; next start in %d s",
						NameStr(child->name), delay_ms / 1000)));
}

static void
bury(int i)
{
	TaskqDatabase *db = &taskq_shared->db[i];
	Child	   *child = &children[i];
	TaskqEnd	ended;
	int			delay_ms;

	LWLockAcquire(taskq_shared->lock, LW_EXCLUSIVE);
	ended = db->ended;
	delay_ms = plan_after_end(db, child);
	LWLockRelease(taskq_shared->lock);
	if (delay_ms > 0)
		log_backoff(child, ended, delay_ms);
	if (child->handle != NULL)
		pfree(child->handle);
	child->handle = NULL;
	child->running = false;
}

static bool
has_ended(const TaskqDatabase *db, const Child *child)
{
	pid_t		pid;

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
		if (children[i].running && has_ended(&taskq_shared->db[i], &children[i]))
			bury(i);
	}
}

/* ---- starting ------------------------------------------------------------------------ */

/*
 * A poke that comes while an executor runs stays, for it may be about to find
 * that its extension is gone and not see the new one.
 */
static void
take_pokes(void)
{
	LWLockAcquire(taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
	{
		TaskqDatabase *db = &taskq_shared->db[i];

		if (OidIsValid(db->oid) && !children[i].running &&
			pg_atomic_exchange_u32(&db->poked, 0) != 0)
		{
			db->wanted = true;
			db->failures = 0;
			db->retry_at = 0;
		}
	}
	LWLockRelease(taskq_shared->lock);
}

static bool
may_start(const TaskqDatabase *db, const Child *child)
{
	return OidIsValid(db->oid) && db->wanted && !child->running && db->pid == 0 &&
		db->held_aside == 0 && !db->stopped;
}

/* A slot that is of no use is freed, unless sessions remember it. */
static void
drop_wish(int i, Verdict verdict)
{
	TaskqDatabase *db = &taskq_shared->db[i];

	LWLockAcquire(taskq_shared->lock, LW_EXCLUSIVE);
	db->wanted = false;
	if (db->pid == 0 && !db->stopped && db->held_aside == 0 &&
		(verdict == DATABASE_GONE || !db->used))
		database_forget(db);
	LWLockRelease(taskq_shared->lock);
}

/* Registers it, or notes that it could not be registered. */
static void
register_executor(int i, Oid role)
{
	TaskqDatabase *db = &taskq_shared->db[i];
	Child	   *child = &children[i];
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	BackgroundWorker worker;

	executor_describe(&worker, db->oid, NameStr(child->name), role);
	child->running = true;
	child->started_at = GetCurrentTimestamp();
	LWLockAcquire(taskq_shared->lock, LW_EXCLUSIVE);
	/* What its end is taken for unless it says otherwise. */
	db->ended = TASKQ_END_FAILED;
	if (!RegisterDynamicBackgroundWorker(&worker, &child->handle))
	{
		child->handle = NULL;
		db->ended = TASKQ_END_NO_WORKER;
	}
	LWLockRelease(taskq_shared->lock);
	MemoryContextSwitchTo(old);
}

static void
start_executor(int i)
{
	Oid			role = InvalidOid;
	Verdict		verdict;

	StartTransactionCommand();
	verdict = judge_database(taskq_shared->db[i].oid, &children[i].name, &role);
	CommitTransactionCommand();
	if (verdict == DATABASE_FIT)
		register_executor(i, role);
	else
		drop_wish(i, verdict);
	/* Without a running child nobody would make us look at the slot again. */
	if (children[i].handle == NULL)
		SetLatch(MyLatch);
}

/* Starts what is due; returns the milliseconds until something else is, -1: nothing. */
static long
start_wanted(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long		wait_ms = -1;
	int			probes = 0;

	if (!taskq_executor)
		return -1;
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
		probes += children[i].running && !taskq_shared->db[i].serving;
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
	{
		TaskqDatabase *db = &taskq_shared->db[i];

		if (!may_start(db, &children[i]))
			continue;
		if (db->retry_at > now)
		{
			long		ms = TimestampDifferenceMilliseconds(now, db->retry_at) + 1;

			wait_ms = wait_ms < 0 ? ms : Min(wait_ms, ms);
		}
		else if (probes < MAX_PROBES)
		{
			start_executor(i);
			probes++;
		}
	}
	return wait_ms;
}

/* Probes that found nothing need no slot any more. */
static void
free_idle_slots(void)
{
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
	{
		TaskqDatabase *db = &taskq_shared->db[i];

		if (OidIsValid(db->oid) && !db->wanted && !db->used && !children[i].running)
			drop_wish(i, DATABASE_UNFIT);
	}
}

/* ---- the launcher's process ------------------------------------------------------------ */

static void
sign_off(int code, Datum arg)
{
	LWLockAcquire(taskq_shared->lock, LW_EXCLUSIVE);
	taskq_shared->launcher_pid = 0;
	pg_atomic_write_u32(&taskq_shared->launcher_procno, TASKQ_NO_PROC);
	LWLockRelease(taskq_shared->lock);
}

/* Executors of a launcher before us go on. */
static void
sign_on(void)
{
	LWLockAcquire(taskq_shared->lock, LW_EXCLUSIVE);
	taskq_shared->launcher_pid = MyProcPid;
	pg_atomic_write_u32(&taskq_shared->launcher_procno, compat_my_procno());
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
	{
		children[i].running = taskq_shared->db[i].pid != 0;
		snprintf(NameStr(children[i].name), NAMEDATALEN, "%u", taskq_shared->db[i].oid);
	}
	LWLockRelease(taskq_shared->lock);
	before_shmem_exit(sign_off, 0);
}

static void
wait_for_news(long timeout_ms)
{
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;

	if (timeout_ms >= 0)
		events |= WL_TIMEOUT;
	(void) WaitLatch(MyLatch, events, timeout_ms, wait_event);
	ResetLatch(MyLatch);
	worker_absorb_interrupts();
}

/* True if a setting that decides who gets an executor has changed. */
static bool
wishes_changed(void)
{
	bool		was_on = taskq_executor;
	char	   *had = pstrdup(taskq_databases);
	bool		changed;

	changed = worker_reload_config() &&
		(was_on != taskq_executor || strcmp(had, taskq_databases) != 0);
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
		long		next_ms;

		bury_ended();
		take_pokes();
		free_idle_slots();
		admit_candidates();
		next_ms = start_wanted();
		wait_for_news(next_ms);
		if (wishes_changed())
			scan_databases();
	}
	proc_exit(1);
}

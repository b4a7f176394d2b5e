/*
 * vacuum.c
 *		Vacuums the hot tables when they have many dead rows.
 *
 * Every task leaves dead rows in several tables and their indexes.  Autovacuum
 * looks once a minute, and may be busy elsewhere for hours: meanwhile the tables
 * grow with every task.  So the executor reads the number of dead rows from the
 * server's statistics at its polls, and starts a vacuum when there are many.  It
 * waits until the oldest snapshot is younger than those rows: before that, a
 * vacuum reads everything and frees nothing.
 *
 * VACUUM runs in a process of its own, because deliveries cannot wait for it.  It
 * skips tables that are locked.  It does not truncate files: that needs a moment
 * in which no session uses the table, and is left to autovacuum.  The executor
 * stops the vacuum before it leaves, so that the vacuum blocks no command for which
 * the executor steps aside.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "commands/vacuum.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/process.h"
#include "core/clock.h"
#include "process/failures.h"
#include "process/identity.h"
#include "process/quiet.h"
#include "process/transaction.h"
#include "process/vacuum.h"

/* How many dead rows are many: at least so many, and so many in relation to the live rows. */
#define DEAD_MIN   10000
#define DEAD_SHARE 10 /* a tenth of the live rows */

#define LOOK_EVERY_MS 2000
#define ASLEEP_MS     10000 /* instead of that, if nothing changes in the database */
#define RETRY_MS      60000 /* when no worker process was free */

/* Sessions tell the statistics of their dead rows within that time. */
#define STATISTICS_MS 60000

#define START_WORK  "start a worker for VACUUM"
#define VACUUM_WORK "vacuum the tables of taskq"

PGDLLEXPORT void taskq_vacuum_main(Datum database);

static const char *const tables[] = {"lease", "task", "key", "start_limit",
									 "attempt", "prerequisite", "waiting"};

static Operation op_vacuum = {.name = "look for dead rows"};

/* In the executor. */
static BackgroundWorkerHandle *worker = NULL;
static TransactionId dead_before = InvalidTransactionId; /* invalid: there are not many dead rows */
static int64 look_at = 0;
static bool looked_at_all = false; /* there are no more dead rows until something changes */

/* ---- in the executor ------------------------------------------------------------ */

static bool
has_many_dead_rows(Oid table)
{
	Datum oid = ObjectIdGetDatum(table);
	int64 dead = DatumGetInt64(DirectFunctionCall1(pg_stat_get_dead_tuples, oid));
	int64 live = DatumGetInt64(DirectFunctionCall1(pg_stat_get_live_tuples, oid));

	return dead >= DEAD_MIN && dead >= live / DEAD_SHARE;
}

static bool
any_has_many_dead_rows(void)
{
	for (int i = 0; i < (int) lengthof(tables); i++)
	{
		Oid table = catalog_find_relation(tables[i]);

		if (OidIsValid(table) && has_many_dead_rows(table))
			return true;
	}
	return false;
}

/* Whether all rows can be removed that were dead when xid was the next transaction id. */
static bool
horizon_has_passed(TransactionId xid)
{
	Relation task = table_open(catalog_relation("task"), AccessShareLock);
	TransactionId horizon = GetOldestNonRemovableTransactionId(task);

	table_close(task, AccessShareLock);
	return TransactionIdFollowsOrEquals(horizon, xid);
}

static bool
is_useful(void)
{
	if (!any_has_many_dead_rows())
		dead_before = InvalidTransactionId;
	else if (!TransactionIdIsValid(dead_before))
		dead_before = XidFromFullTransactionId(ReadNextFullTransactionId());
	return TransactionIdIsValid(dead_before) && horizon_has_passed(dead_before);
}

static void
work_vacuum(void *arg)
{
	*(bool *) arg = is_useful();
}

static bool
look_whether_useful(bool *useful)
{
	return transact(&op_vacuum, work_vacuum, useful);
}

static bool
is_running(void)
{
	pid_t pid;

	if (worker != NULL && GetBackgroundWorkerPid(worker, &pid) == BGWH_STOPPED)
	{
		pfree(worker);
		worker = NULL;
	}
	return worker != NULL;
}

static void
start(void)
{
	char label[32];
	WorkerSpec spec = {.database = MyDatabaseId, .role = GetUserId(), .label = label};

	snprintf(label, sizeof(label), "database %u", MyDatabaseId);
	dead_before = InvalidTransactionId;
	if (worker_register(WORKER_VACUUM, &spec, &worker))
		failure_over(START_WORK);
	else
	{
		look_at = tq_clock_ms() + RETRY_MS;
		(void) failure_note(START_WORK, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
							"no background worker is free");
	}
}

void
vacuum_run(void)
{
	int64 now = tq_clock_ms();
	bool useful = false;
	bool settled = quiet_for_ms() >= STATISTICS_MS;

	if (!settled)
		looked_at_all = false;
	if (now < look_at || looked_at_all || is_running())
		return;
	look_at = now + LOOK_EVERY_MS;
	if (!look_whether_useful(&useful))
		return;
	looked_at_all = settled && !TransactionIdIsValid(dead_before);
	if (useful)
		start();
}

int64
vacuum_due_in(void)
{
	return looked_at_all ? PG_INT32_MAX : ASLEEP_MS;
}

void
vacuum_stop(void)
{
	if (!is_running())
		return;
	TerminateBackgroundWorker(worker);
	(void) WaitForBackgroundWorkerShutdown(worker);
	worker = NULL;
}

/* ---- in the process that vacuums -------------------------------------------------- */

/*
 * VACUUM (SKIP_LOCKED, TRUNCATE false), with the rights of the table's owner.  VACUUM ends the
 * transaction in which it is called, and needs the statement after that: it names the table if
 * another session has locked it.
 */
static void
vacuum_table(const char *name)
{
	MemoryContext old = MemoryContextSwitchTo(PortalContext);
	VacuumStmt *statement = makeNode(VacuumStmt);
	RangeVar *table = makeRangeVar(pstrdup(TASKQ_PRIVATE_SCHEMA), pstrdup(name), -1);
	ParseState *source = make_parsestate(NULL);

	statement->is_vacuumcmd = true;
	statement->options = list_make2(makeDefElem("skip_locked", NULL, -1),
									makeDefElem("truncate", (Node *) makeInteger(0), -1));
	statement->rels = list_make1(makeVacuumRelation(table, InvalidOid, NIL));
	MemoryContextSwitchTo(old);
	ExecVacuum(source, statement, true);
}

static void
vacuum_if_useful(const char *name)
{
	Oid table;

	StartTransactionCommand();
	SetCurrentStatementStartTimestamp();
	table = catalog_find_relation(name);
	if (OidIsValid(table) && has_many_dead_rows(table))
		vacuum_table(name);
	CommitTransactionCommand();
}

static void
vacuum_all(void)
{
	for (int i = 0; i < (int) lengthof(tables) && !worker_stopping; i++)
	{
		CHECK_FOR_INTERRUPTS();
		pgstat_report_activity(STATE_RUNNING, tables[i]);
		vacuum_if_useful(tables[i]);
	}
}

/* From now on this process has the owner's rights. */
static bool
become_owner(void)
{
	Oid owner;

	StartTransactionCommand();
	owner = get_role_oid(TASKQ_OWNER_ROLE, true);
	CommitTransactionCommand();
	if (OidIsValid(owner))
		SetUserIdAndSecContext(owner, 0);
	return OidIsValid(owner);
}

/* After an error, the executor tries again when a vacuum is useful. */
static void
vacuum_or_complain(void)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		vacuum_all();
		failure_over(VACUUM_WORK);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		if (!worker_stopping)
			failure_tell(VACUUM_WORK, CopyErrorData());
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
}

void
taskq_vacuum_main(Datum database)
{
	worker_signals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), worker_role(), 0);
	/* VACUUM allocates here what it needs for all of its transactions. */
	PortalContext = AllocSetContextCreate(TopMemoryContext, "taskq vacuum", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(PortalContext);
	if (become_owner())
		vacuum_or_complain();
	proc_exit(0);
}

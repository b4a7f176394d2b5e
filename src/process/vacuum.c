/*
 * vacuum.c
 *		Dead rows of the hot tables are given back.
 *
 * Every task leaves dead rows in several tables and their indexes.  Autovacuum
 * looks once a minute, and may be busy elsewhere for hours: by then the tables
 * have grown by what passed through meanwhile.  So the executor looks at its
 * polls how many dead rows there are, by the server's own statistics, and has
 * them vacuumed when they are many.  It waits until the oldest snapshot is
 * younger than those rows: before that a vacuum reads everything and frees
 * nothing.
 *
 * VACUUM runs in a process of its own, started for it, because deliveries
 * cannot wait for it.  It takes no lock that it would have to wait for, and
 * leaves the truncating of files to autovacuum, which waits for a moment in
 * which nobody uses the table.  The executor stops it before it leaves, so that
 * it stands in the way of no command for which the executor steps aside.
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
#include "tcop/pquery.h"
#include "utils/acl.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/process.h"
#include "core/clock.h"
#include "process/identity.h"
#include "process/transaction.h"
#include "process/vacuum.h"

/* Dead rows that are many: of small tables, and in relation to the living. */
#define DEAD_MIN   10000
#define DEAD_SHARE 10 /* a tenth of the living ones */

#define LOOK_EVERY_MS 2000
#define RETRY_MS      60000 /* when no worker process was to be had */

PGDLLEXPORT void taskq_vacuum_main(Datum database);

static const char *const tables[] = {"lease", "task", "key", "start_limit", "attempt"};

static Operation op_vacuum = {.name = "look for dead rows", .failure_level = WARNING};

/* In the executor. */
static BackgroundWorkerHandle *worker = NULL;
static TransactionId dead_before = InvalidTransactionId; /* invalid: there are not many dead rows */
static int64 look_at = 0;

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

/* Whether everything that was dead when xid was the next one can be removed. */
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
	BackgroundWorker description;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	char *label = psprintf("database %u", MyDatabaseId);

	worker_describe(&description, WORKER_VACUUM, MyDatabaseId, GetUserId(), label);
	pfree(label);
	dead_before = InvalidTransactionId;
	if (!RegisterDynamicBackgroundWorker(&description, &worker))
		look_at = tq_clock_ms() + RETRY_MS;
	MemoryContextSwitchTo(old);
}

void
vacuum_run(void)
{
	int64 now = tq_clock_ms();
	bool useful = false;

	if (now < look_at || is_running())
		return;
	look_at = now + LOOK_EVERY_MS;
	if (look_whether_useful(&useful) && useful)
		start();
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

/* VACUUM (SKIP_LOCKED, TRUNCATE false), as its owner runs it. */
static void
vacuum_table(const char *name)
{
	VacuumStmt *statement = makeNode(VacuumStmt);
	RangeVar *table = makeRangeVar(pstrdup(TASKQ_PRIVATE_SCHEMA), pstrdup(name), -1);

	statement->is_vacuumcmd = true;
	statement->options = list_make2(makeDefElem("skip_locked", NULL, -1),
									makeDefElem("truncate", (Node *) makeInteger(0), -1));
	statement->rels = list_make1(makeVacuumRelation(table, InvalidOid, NIL));
	ExecVacuum(make_parsestate(NULL), statement, true);
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

/* An error is worth one line: the executor tries again when it finds it useful. */
static void
vacuum_or_complain(void)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		vacuum_all();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		if (!worker_stopping)
			ereport(LOG,
					(errmsg("could not vacuum tables of taskq: %s", CopyErrorData()->message)));
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
	/* What VACUUM allocates for all of its transactions. */
	PortalContext = AllocSetContextCreate(TopMemoryContext, "taskq vacuum", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(PortalContext);
	if (become_owner())
		vacuum_or_complain();
	proc_exit(0);
}

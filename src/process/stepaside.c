/*
 * stepaside.c
 *		Executors make room for commands that need their database to themselves.
 *
 * DROP DATABASE, RENAME, SET TABLESPACE and CREATE DATABASE ... TEMPLATE fail
 * while a session is connected, and PostgreSQL asks no background worker to
 * leave.  So before such a command runs, the executor is told to leave.  No executor
 * may start until the transaction has ended, because a renamed database accepts no
 * connection before.  The end of a transaction is also reported if its session dies, so
 * no database is left without an executor for ever.
 *
 * DROP EXTENSION locks the extension's tables in an order of its own.  To avoid
 * deadlocks it first takes the lock with which every call begins: see
 * client_call() and executor_call() in queue.c.
 *
 * The same hook sees prepared transactions end: see wakeup.c.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/database.h"
#include "base/xact.h"
#include "hints/wakeup.h"
#include "process/start_stop.h"
#include "process/stepaside.h"

#define STEP_ASIDE_MS    5000
#define DEFAULT_TEMPLATE "template1"

static ProcessUtility_hook_type next_process_utility = NULL;

/*
 * The current transaction, by slot: how many of its commands keep the executor away, and whether
 * it has dropped the database.
 */
static int holds[TASKQ_MAX_DATABASES];
static bool drops[TASKQ_MAX_DATABASES];
static bool holding = false;
static Oid created = InvalidOid; /* a new database, which may have the extension */

/* ---- holding ---------------------------------------------------------------------- */

/* The launcher frees the slot. */
static void
mark_dropped(TaskqDatabase *db)
{
	db->used = db->wanted = db->stopped = false;
	(void) database_take_want(db, WANT_PROBE);
}

/* Must raise no error: it runs when the transaction has ended. */
static void
let_go(bool committed)
{
	TaskqDatabase *copy;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	for (int i = 0; i < TASKQ_MAX_DATABASES; i++)
	{
		TaskqDatabase *db = &registry->db[i];

		if (holds[i] == 0)
			continue;
		db->held_aside -= holds[i];
		db->retry_at = 0;
		if (committed && drops[i])
			mark_dropped(db);
	}
	if (committed && OidIsValid(created))
	{
		copy = database_make(created);
		if (copy != NULL)
			copy->wanted = true;
	}
	LWLockRelease(registry->lock);
	process_wake(&registry->launcher_procno);

	memset(holds, 0, sizeof(holds));
	memset(drops, 0, sizeof(drops));
	created = InvalidOid;
	holding = false;
}

/* Not at the commit itself, as in wakeup.c: the launcher could still see the old catalogs. */
static void
transaction_released(bool committed)
{
	if (holding)
		let_go(committed);
}

static XactKind holds_of_transaction = {.released = transaction_released};

/* Tells the executor to leave.  Returns the number of its slot, -1: none, and so no executor. */
static int
hold_aside(Oid database)
{
	TaskqDatabase *db;
	int n = -1;

	xact_register(&holds_of_transaction);
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	db = database_find(database);
	if (db != NULL)
	{
		n = (int) (db - registry->db);
		holding = true;
		holds[n]++;
		db->held_aside++;
		if (db->pid != 0)
		{
			db->stepped_aside = true;
			kill(db->pid, SIGTERM);
		}
	}
	LWLockRelease(registry->lock);
	/* If the executor does not leave in time, the command itself fails. */
	if (n >= 0)
		(void) executor_wait_until_gone(db, STEP_ASIDE_MS);
	return n;
}

/* ---- commands ------------------------------------------------------------------------ */

static const char *
option_text(List *options, const char *name, const char *fallback)
{
	ListCell *lc;

	foreach (lc, options)
	{
		DefElem *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return fallback;
}

/* The database that the command needs without other sessions, or NULL. */
static const char *
database_needed(Node *statement, bool in_block)
{
	if (IsA(statement, RenameStmt) && ((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
		return ((RenameStmt *) statement)->subname;
	/* PostgreSQL refuses the others in a transaction block. */
	if (in_block)
		return NULL;
	if (IsA(statement, DropdbStmt))
		return ((DropdbStmt *) statement)->dbname;
	if (IsA(statement, CreatedbStmt))
		return option_text(((CreatedbStmt *) statement)->options, "template", DEFAULT_TEMPLATE);
	if (IsA(statement, AlterDatabaseStmt) &&
		option_text(((AlterDatabaseStmt *) statement)->options, "tablespace", NULL) != NULL)
		return ((AlterDatabaseStmt *) statement)->dbname;
	return NULL;
}

/* Whether the command may pass PostgreSQL's own checks; if not, the executor need not leave. */
static bool
worth_stepping_aside(Node *statement, Oid database)
{
	if (!OidIsValid(database) || !compat_owns_database(database, GetUserId()))
		return false;
	return database != MyDatabaseId || IsA(statement, CreatedbStmt);
}

/* Returns the slot held, -1: none. */
static int
make_room_for(Node *statement, ProcessUtilityContext context)
{
	bool top_level = context == PROCESS_UTILITY_TOPLEVEL;
	const char *name;
	Oid database;

	/* The cheap check comes first: this is called for every utility command. */
	if (!IsA(statement, DropdbStmt) && !IsA(statement, CreatedbStmt) &&
		!IsA(statement, AlterDatabaseStmt) && !IsA(statement, RenameStmt))
		return -1;
	name = database_needed(statement, IsInTransactionBlock(top_level));
	if (name == NULL)
		return -1;
	database = get_database_oid(name, true);
	return worth_stepping_aside(statement, database) ? hold_aside(database) : -1;
}

/* The statement ends a prepared transaction, whose tasks no other session knows of. */
static bool
ends_prepared(Node *statement)
{
	TransactionStmtKind kind;

	if (!IsA(statement, TransactionStmt))
		return false;
	kind = ((TransactionStmt *) statement)->kind;
	return kind == TRANS_STMT_COMMIT_PREPARED || kind == TRANS_STMT_ROLLBACK_PREPARED;
}

/*
 * held: the slot that is held, -1: none.  A new database may have the extension even if its
 * template has no slot: templates have no executor.
 */
static void
note_success(Node *statement, int held)
{
	if (IsA(statement, DropdbStmt) && held >= 0)
		drops[held] = true;
	if (IsA(statement, CreatedbStmt))
	{
		xact_register(&holds_of_transaction);
		holding = true;
		CommandCounterIncrement();
		created = get_database_oid(((CreatedbStmt *) statement)->dbname, true);
	}
}

static bool
drops_extension(Node *statement)
{
	ListCell *lc;

	if (!IsA(statement, DropStmt) || ((DropStmt *) statement)->removeType != OBJECT_EXTENSION)
		return false;
	foreach (lc, ((DropStmt *) statement)->objects)
	{
		if (strcmp(strVal(lfirst(lc)), TASKQ_EXTENSION) == 0)
			return true;
	}
	return false;
}

/* A role that may not drop the extension takes no lock: PostgreSQL will refuse the command. */
static void
lock_before_drop(void)
{
	Oid queue = catalog_find_relation("queue");

	if (OidIsValid(queue) && superuser())
		LockRelationOid(queue, AccessExclusiveLock);
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
				DestReceiver *dest, QueryCompletion *completion)
{
	Node *statement = pstmt->utilityStmt;
	int held = make_room_for(statement, context);
	bool of_database = IsA(statement, DropdbStmt) || IsA(statement, CreatedbStmt);
	bool prepared_ends = ends_prepared(statement);
	bool extension_ends = drops_extension(statement);

	if (extension_ends)
		lock_before_drop();
	if (next_process_utility)
		next_process_utility(pstmt, query, read_only_tree, context, params, env, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest,
								completion);
	/* If a transaction has ended meanwhile, the statement's memory may be freed. */
	if (prepared_ends)
		wakeup_at_commit(WANT_SWEEP);
	/* The executor looks, and leaves. */
	if (extension_ends)
		wakeup_at_commit(WANT_TASKS);
	if (of_database)
		note_success(statement, held);
}

void
stepaside_install(void)
{
	next_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

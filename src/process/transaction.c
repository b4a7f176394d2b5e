/*
 * transaction.c
 *		The transactions of the executor's process.
 *
 * transact() runs one piece of work in one short transaction; it is the only place
 * that starts, commits, aborts or catches.  No error leaves this file: work that fails
 * is rolled back, the log says so once until it works again, and the caller is told
 * "not now".
 *
 * Every transaction first asks whether the extension is still the one the
 * process began with, so that DROP EXTENSION is noticed before its absence
 * raises errors.  Once it is gone nothing that the executor has matters any more.
 *
 * A stop reaches a transaction under way as a query cancel (see base/process.c).
 * Those that follow, to report and to give back, share DRAIN_MS.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/database.h"
#include "base/process.h"
#include "base/settings.h"
#include "core/clock.h"
#include "core/protocol.h"
#include "process/transaction.h"

#define DRAIN_MS 1200

static Operation op_open = {.name = "look for the extension", .failure_level = WARNING};

static Oid extension = InvalidOid;
static bool gone = false;
static int failure_sqlstate = 0; /* of the last failure */

static bool
extension_there(void)
{
	Oid now = get_extension_oid(TASKQ_EXTENSION, true);

	if (!OidIsValid(extension))
		extension = now;
	gone = !OidIsValid(now) || now != extension;
	return !gone;
}

/* The lock with which every call begins, before any other: see queue.c. */
static void
lock_out_drop(void)
{
	Oid queue = catalog_find_relation("queue");

	if (OidIsValid(queue))
		LockRelationOid(queue, AccessShareLock);
}

/* While the process stops: limits the coming transaction; false if no time is left. */
static bool
arm_drain_timeout(void)
{
	static int64 until = 0;
	int64 left;

	if (until == 0)
		until = tq_clock_ms() + DRAIN_MS;
	left = until - tq_clock_ms();
	if (left <= 0)
		return false;
	enable_timeout_after(STATEMENT_TIMEOUT, (int) left);
	return true;
}

/*
 * Runs work(arg), or nothing but the check for the extension, in a
 * transaction.  NULL: done, or the extension is gone; else what went wrong,
 * in the caller's memory context.
 */
static ErrorData *
try_transaction(Work work, void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	ErrorData *volatile failure = NULL;

	PG_TRY();
	{
		StartTransactionCommand();
		if (work != NULL)
			lock_out_drop();
		if (extension_there() && work != NULL)
		{
			SPI_connect();
			PushActiveSnapshot(GetTransactionSnapshot());
			work(arg);
			PopActiveSnapshot();
			SPI_finish();
		}
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		failure = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	return failure;
}

/* Never the detail or the context: they can hold what a task carries. */
static void
log_failure(Operation *op, const ErrorData *failure)
{
	bool cancelled = worker_stopping && failure->sqlerrcode == ERRCODE_QUERY_CANCELED;

	failure_sqlstate = failure->sqlerrcode;
	if (op->failing || cancelled)
		return;
	if (try_transaction(NULL, NULL) == NULL && gone)
		return;
	op->failing = true;
	ereport(op->failure_level,
			(errcode(failure->sqlerrcode),
			 errmsg("executor could not %s: %s", op->name, failure->message),
			 errdetail("SQLSTATE %s. It will be tried again.",
					   unpack_sql_state(failure->sqlerrcode))));
}

bool
transact(Operation *op, Work work, void *arg)
{
	ErrorData *failure;

	/* In this order: a stop that comes later cancels the transaction itself. */
	QueryCancelPending = false;
	if (worker_stopping && !arm_drain_timeout())
	{
		failure_sqlstate = ERRCODE_QUERY_CANCELED;
		return false;
	}
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, op->name);
	failure = try_transaction(work, arg);
	disable_timeout(STATEMENT_TIMEOUT, false);
	if (failure != NULL)
		log_failure(op, failure);
	else
		op->failing = false;
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	return failure == NULL && !gone;
}

bool
transaction_open(void)
{
	return transact(&op_open, NULL, NULL);
}

bool
extension_gone(void)
{
	return gone;
}

bool
failure_may_pass(void)
{
	return tq_sqlstate_may_pass(unpack_sql_state(failure_sqlstate));
}

/* ---- looks that found nothing ------------------------------------------------- */

/* At most so many polls are spared: the clock may have been set. */
#define QUIET_POLLS 20

/*
 * Counts up with each transaction's end, and again when that has reached the
 * shared memory that the looks go by, which is a little later: a look between
 * the two sees neither.
 */
uint64
quiet_endings(void)
{
	TaskqDatabase *db = database_mine();

	return compat_completed_transactions() + (db == NULL ? 0 : pg_atomic_read_u64(&db->hints));
}

bool
still_quiet(const Quiet *quiet, int64 *next_ms)
{
	int64 now = tq_clock_ms();

	if (now >= quiet->until || quiet->endings != quiet_endings())
		return false;
	*next_ms = quiet->due_at < 0 ? -1 : quiet->due_at - now;
	return true;
}

Quiet
quiet_after(uint64 before, int64 next_ms)
{
	int64 now = tq_clock_ms();
	Quiet quiet = {before, now + (int64) setting_poll_interval * QUIET_POLLS, -1};

	if (next_ms >= 0)
	{
		quiet.due_at = now + next_ms;
		quiet.until = Min(quiet.until, quiet.due_at);
	}
	return quiet;
}

/*
 * transaction.c
 *		The transactions of the executor's process.
 *
 * transact() runs one piece of work in one short transaction; it is the only place
 * that starts, commits, aborts or catches.  No error leaves this file: work that fails
 * is rolled back, failures.c remembers it, and transact() returns false.
 *
 * Every transaction first checks whether the extension is still the one the
 * process began with, so that DROP EXTENSION is noticed before the missing objects
 * raise errors.  Once it is gone, nothing that the executor holds matters any more.
 *
 * A stop reaches a running transaction as a query cancel (see base/process.c).
 * The transactions after it, which report results and release tasks, share a deadline.
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
#include "base/database.h"
#include "base/process.h"
#include "base/settings.h"
#include "core/clock.h"
#include "core/protocol.h"
#include "process/failures.h"
#include "process/transaction.h"

#define DRAIN_MS 1200 /* beside the time for which a stop waits for answers */

static Operation op_open = {.name = "look for the extension"};

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

/* Limits the next transaction while the process stops; false if no time is left. */
static bool
arm_drain_timeout(void)
{
	static int64 until = 0;
	int64 left;

	if (until == 0)
		until = tq_clock_ms() + setting_http_stop_timeout + DRAIN_MS;
	left = Min(until - tq_clock_ms(), DRAIN_MS);
	if (left <= 0)
		return false;
	enable_timeout_after(STATEMENT_TIMEOUT, (int) left);
	return true;
}

/*
 * Runs work(arg), or nothing but the check for the extension, in a
 * transaction.  NULL: done, or the extension is gone; otherwise the error,
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

/*
 * The work failed.  It is no failure if a stop has cancelled the query, or if the extension is
 * gone.
 */
static void
tell_failure(Operation *op, const ErrorData *failure)
{
	bool cancelled = worker_stopping && failure->sqlerrcode == ERRCODE_QUERY_CANCELED;

	failure_sqlstate = failure->sqlerrcode;
	if (cancelled || (!op->failing && try_transaction(NULL, NULL) == NULL && gone))
		return;
	op->failing = true;
	failure_tell(op->name, failure);
}

static void
tell_success(Operation *op)
{
	if (op->failing)
		failure_over(op->name);
	op->failing = false;
}

bool
transact(Operation *op, Work work, void *arg)
{
	ErrorData *failure;

	/* The flag first: a stop that comes after this line cancels the transaction itself. */
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
		tell_failure(op, failure);
	else
		tell_success(op);
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

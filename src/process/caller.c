/*
 * caller.c
 *		The background worker that calls functions as one role.
 *
 * The executor starts it, hands calls over in shared memory (call_segment.h) and stops those that
 * take too long: see calls.c.  The role is that of the connection, as if it had logged in: there
 * is no other to which RESET ROLE, a deferred trigger or an index function could fall back, and
 * the process has no other before the first call or after the last one.  What it does for taskq,
 * it does in C as taskq_owner (taking the lease, ending the task), with a pinned search_path,
 * when the function has returned; the role is back before the commit, at which deferred triggers
 * run.
 *
 * The function and the end of its task are one transaction.  If the function fails, that is
 * rolled back, and the failure is written in the next one.  A procedure may commit, so the end of
 * its task is a transaction of its own.
 *
 * What the function tells meanwhile goes to the executor: see tell.c.  The task ends when all of it
 * is written.
 *
 * No error leaves a call.  If even the failure cannot be written, the process ends, and the
 * executor ends the attempt.  DISCARD ALL comes after each call.  The process waits some seconds
 * for the next call and ends then.
 *
 * SIGINT cancels the call, SIGTERM ends the process.  A cancel that comes too late must not reach
 * the transaction that writes the failure, or the next call.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "commands/discard.h"
#include "jit/jit.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "base/compat.h"
#include "base/database.h"
#include "base/process.h"
#include "core/clock.h"
#include "life/call.h"
#include "life/current_call.h"
#include "life/made_call.h"
#include "life/values.h"
#include "process/call_segment.h"
#include "process/identity.h"
#include "process/run_call.h"
#include "process/tell.h"

#define IDLE_MS       10000 /* it waits so long for a call */
#define STATISTICS_MS 1000  /* after so long without a call, statistics are sent */

PGDLLEXPORT void taskq_caller_main(Datum database);

static Oid role;
static CallSegment *segment = NULL;
static shm_mq_handle *messages = NULL;
static uint32 wait_event = 0;

/* Of the current call; reset after it. */
static MemoryContext call_context = NULL;

/* The call that was handed over, as its row has it. */
typedef struct CurrentCall
{
	int64 id;
	int64 token;
	int64 until_ms; /* when the statement timer fires, on the monotonic clock; 0: never */
	CallParts parts;
	const char *label;      /* for pg_stat_activity: the function and the task, no arguments */
	const char *refusal;    /* why the role cannot call; or NULL */
	const ErrorData *error; /* why the call has failed; or NULL */
} CurrentCall;

/* ---- transactions ----------------------------------------------------------------- */

/*
 * The end of the task is written in the transaction of the function, so it must not be read-only,
 * whatever the role's default is.  Its isolation level is the role's.
 */
static void
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactReadOnly = false;
	XactDeferrable = false;
}

/* What postgres.c does after an error. */
static void
roll_back(void)
{
	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	QueryCancelPending = false;
	AbortCurrentTransaction();
	PortalErrorCleanup();
	jit_reset_after_error();
	MemoryContextSwitchTo(call_context);
	RESUME_INTERRUPTS();
}

/*
 * Runs one step of a call in a transaction; NULL: it is committed, otherwise the error, in the
 * context of the call.
 */
typedef void (*Step)(CurrentCall *call);

static ErrorData *
try_step(Step step, CurrentCall *call)
{
	ErrorData *volatile failure = NULL;

	PG_TRY();
	{
		begin_transaction();
		MemoryContextSwitchTo(call_context);
		step(call);
		CommitTransactionCommand();
		disable_timeout(STATEMENT_TIMEOUT, false);
		MemoryContextSwitchTo(call_context);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(call_context);
		failure = CopyErrorData();
		FlushErrorState();
		roll_back();
	}
	PG_END_TRY();
	return failure;
}

/* ---- ends ------------------------------------------------------------------------- */

/* The step of a call that is taken: its lease may be lost already. */
static void
take_call(CurrentCall *call)
{
	if (made_call_read(call->id, call->token, &call->parts))
		call->label = psprintf("%s -- task " INT64_FORMAT, call->parts.function, call->id);
}

static bool
timed_out(const CurrentCall *call)
{
	return call->error->sqlerrcode == ERRCODE_QUERY_CANCELED &&
		   (pg_atomic_read_u32(&segment->stop) == STOP_TIMEOUT ||
			(call->until_ms != 0 && tq_clock_ms() >= call->until_ms));
}

static void
write_failure(CurrentCall *call)
{
	made_call_fail(call->id, call->token, call->error, timed_out(call));
}

static void
write_refusal(CurrentCall *call)
{
	made_call_refuse(call->id, call->token, call->refusal);
}

/* A failure that cannot be written ends the process, and the executor ends the attempt. */
static void
end_failed(CurrentCall *call, Step write)
{
	ErrorData *failure;

	HOLD_CANCEL_INTERRUPTS();
	tell_end_failed();
	failure = try_step(write, call);
	RESUME_CANCEL_INTERRUPTS();
	if (failure != NULL)
		ereport(FATAL,
				(errcode(failure->sqlerrcode),
				 errmsg("the failure of task " INT64_FORMAT " could not be written: SQLSTATE %s",
						call->id, unpack_sql_state(failure->sqlerrcode))));
}

/* ---- calling ---------------------------------------------------------------------- */

/*
 * The timeout of the task, or that of the role's statements if it is shorter; the second time, what
 * is left of it.
 */
static void
begin_timeout(CurrentCall *call)
{
	int64 timeout_ms = segment->timeout_ms;

	if (StatementTimeout > 0 && (timeout_ms == 0 || StatementTimeout < timeout_ms))
		timeout_ms = StatementTimeout;
	if (timeout_ms == 0)
		return;
	if (call->until_ms == 0)
		call->until_ms = tq_clock_ms() + timeout_ms;
	enable_timeout_after(STATEMENT_TIMEOUT, (int) Max(call->until_ms - tq_clock_ms(), 1));
}

/*
 * On demand, in a transaction of its own, so that the wait holds no snapshot: the role may have
 * another isolation level.
 */
static void
wait_for_demand(CurrentCall *call)
{
	XactIsoLevel = XACT_READ_COMMITTED;
	begin_timeout(call);
	value_wait_for_first();
}

static void
find_callee(Callee *callee, const CallParts *parts)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	call_look_up(callee, call_find_function(parts->function));
	call_bind(callee, parts->args, parts->kwargs, true);
	PopActiveSnapshot();
}

static void
call_function(CurrentCall *call)
{
	Callee *callee = palloc_object(Callee);
	Datum result;

	begin_timeout(call);
	find_callee(callee, &call->parts);
	if (callee->set)
		current_call()->last = 0; /* each attempt begins with the first row again */
	result = run_call(callee, call->label);
	tell_end();
	if (!callee->procedure)
	{
		made_call_finish(call->id, call->token, result);
		return;
	}
	CommitTransactionCommand();
	disable_timeout(STATEMENT_TIMEOUT, false);
	begin_transaction();
	MemoryContextSwitchTo(call_context);
	made_call_finish(call->id, call->token, result);
}

static void
say_running(const CurrentCall *call)
{
	debug_query_string = call->label;
	pgstat_report_activity(STATE_RUNNING, call->label);
}

/* A role could become a superuser at any time. */
static void
judge_role(CurrentCall *call)
{
	const char *hint;
	const char *fault = caller_fault(role, &hint);

	if (fault == NULL && (GetUserId() != role || GetSessionUserId() != role ||
						  GetAuthenticatedUserId() != role))
		elog(FATAL, "a call would run as role %u instead of %u", GetUserId(), role);
	if (fault != NULL)
		call->refusal = psprintf("no function can be called as role \"%s\": %s",
								 GetUserNameFromId(role, true), fault);
}

static ErrorData *
try_call(CurrentCall *call)
{
	MadeCall made = {
		.id = call->id,
		.on_demand = call->parts.on_demand,
		.last = -1,
		.tell = tell_executor,
	};
	ErrorData *error = NULL;

	say_running(call);
	current_call_set(&made);
	if (made.on_demand)
		error = try_step(wait_for_demand, call);
	if (error == NULL)
		error = try_step(call_function, call);
	current_call_set(NULL);
	return error;
}

static void
make_call(CurrentCall *call)
{
	ErrorData *error = try_step(take_call, call);

	if (error == NULL && call->label == NULL)
		return; /* the lease is lost already */
	if (error == NULL)
		error = try_step(judge_role, call);
	if (error == NULL && call->refusal != NULL)
	{
		end_failed(call, write_refusal);
		return;
	}
	if (error == NULL)
		error = try_call(call);
	if (error == NULL)
		return;
	call->error = error;
	end_failed(call, write_failure);
}

/* Nothing of a call is left for the next one. */
static void
discard_all(void)
{
	DiscardStmt statement = {.type = T_DiscardStmt, .target = DISCARD_ALL};

	StartTransactionCommand();
	DiscardCommand(&statement, true);
	CommitTransactionCommand();
}

static void
serve_call(void)
{
	CurrentCall call = {.id = segment->id, .token = segment->token};

	MemoryContextSwitchTo(call_context);
	segment->began_at = tq_clock_ms();
	pg_write_barrier();
	pg_atomic_write_u32(&segment->state, CALL_RUNNING);
	QueryCancelPending = false;
	tell_begin(segment, messages);
	make_call(&call);
	debug_query_string = NULL;
	HOLD_CANCEL_INTERRUPTS();
	discard_all();
	RESUME_CANCEL_INTERRUPTS();
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(call_context);
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	QueryCancelPending = false;
	pg_write_barrier();
	pg_atomic_write_u32(&segment->state, CALL_WAITING);
	process_wake(&segment->executor);
}

/* ---- the process ------------------------------------------------------------------ */

/* The executor must not hand over a call any more; false: it has just done so. */
static bool
close_segment(void)
{
	uint32 waiting = CALL_WAITING;

	return pg_atomic_compare_exchange_u32(&segment->state, &waiting, CALL_CLOSED) ||
		   waiting == CALL_CLOSED;
}

static bool
executor_has_gone(void)
{
	return pg_atomic_read_u32(&segment->executor) == TASKQ_NO_PROC;
}

/* Waits for a call.  False: none has come, or the executor wants no more. */
static bool
wait_for_call(void)
{
	int64 until = tq_clock_ms() + IDLE_MS;
	bool told = false;

	for (;;)
	{
		int64 left = until - tq_clock_ms();
		uint32 state = pg_atomic_read_u32(&segment->state);

		pg_read_barrier();
		if (state == CALL_HANDED)
			return true;
		if (state == CALL_CLOSED)
			return false;
		if ((left <= 0 || executor_has_gone()) && close_segment())
			return false;
		if (!told && left <= IDLE_MS - STATISTICS_MS)
		{
			told = true;
			pgstat_report_stat(true);
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 told ? Max(left, 0) : STATISTICS_MS, wait_event);
		ResetLatch(MyLatch);
		QueryCancelPending = false;
		CHECK_FOR_INTERRUPTS();
		(void) worker_reload_config();
	}
}

/*
 * The database's owner may have set a role to become at the start of each session.  auto_explain
 * would log the arguments.
 */
static void
pin_caller_settings(void)
{
	static const struct
	{
		const char *name;
		const char *value;
	} pins[] = {
		{"role", "none"},
		{"auto_explain.log_min_duration", "-1"},
		{"pgaudit.log_parameter", "off"}};

	for (int i = 0; i < (int) lengthof(pins); i++)
	{
		if (GetConfigOption(pins[i].name, true, false) != NULL)
			SetConfigOption(pins[i].name, pins[i].value, PGC_SUSET, PGC_S_OVERRIDE);
	}
	SetConfigOption("client_encoding", GetDatabaseEncodingName(), PGC_SUSET, PGC_S_OVERRIDE);
}

static void
attach(void)
{
	dsm_segment *mapping = call_segment_attach(worker_segment());

	/* The executor has gone. */
	if (mapping == NULL)
		proc_exit(0);
	segment = call_segment_of(mapping);
	messages = call_queue_attach(mapping);
}

void
taskq_caller_main(Datum database)
{
	role = worker_role();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	attach();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), role,
											  COMPAT_CONNECT_WITHOUT_LOGIN);
	wait_event = compat_wait_event("TaskqCall");
	pin_caller_settings();
	/* Code that functions call allocates in these. */
	MessageContext = AllocSetContextCreate(TopMemoryContext, "MessageContext",
										   ALLOCSET_DEFAULT_SIZES);
	call_context = AllocSetContextCreate(TopMemoryContext, "taskq call", ALLOCSET_DEFAULT_SIZES);
	pgstat_report_activity(STATE_IDLE, NULL);
	while (wait_for_call())
		serve_call();
	proc_exit(0);
}

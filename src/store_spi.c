/*
 * store_spi.c
 *		The engine's store on SPI: the only file that knows transactions.
 *
 * Each function here is one short transaction (report() may need more), run by
 * transact(), which is the only place that starts, commits, aborts or catches.
 * No error leaves this file: a store function that fails rolls back, says so
 * in the log once until it works again, and answers "not now".
 *
 * Every transaction first asks whether the extension is still the one the
 * process began with, so that DROP EXTENSION is noticed before its absence
 * raises errors.  Once it is gone the engine is told that all went well, for
 * nothing it has matters any more.
 *
 * A stop reaches a transaction under way as a query cancel (see taskq.c).
 * Those that follow, to report and to give back, share DRAIN_MS.
 */
#include "taskq.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "core/protocol.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#define DRAIN_MS 1200

#define US_PER_MS INT64CONST(1000)

/* What the executor does, as the log and pg_stat_activity name it. */
typedef struct Operation
{
	const char *name; /* completes "could not ..." */
	int failure_level;
	bool failing; /* the last time it failed, and the log says so */
} Operation;

static Operation op_open = {.name = "look for the extension", .failure_level = WARNING};
static Operation op_claim = {.name = "claim tasks", .failure_level = WARNING};
static Operation op_report = {.name = "report results", .failure_level = WARNING};
static Operation op_extend = {.name = "extend leases", .failure_level = WARNING};
static Operation op_release = {.name = "release tasks", .failure_level = WARNING};
static Operation op_recover = {.name = "recover an executor's tasks", .failure_level = WARNING};
static Operation op_leases = {.name = "take back expired leases", .failure_level = WARNING};
static Operation op_notify = {.name = "notify sessions", .failure_level = WARNING};
static Operation op_sweep = {.name = "look for tasks", .failure_level = WARNING};
static Operation op_vacuum = {.name = "look for dead rows", .failure_level = WARNING};
static Operation op_make_history = {.name = "make tables of history", .failure_level = DEBUG1};
static Operation op_drop_history = {.name = "drop tables of history", .failure_level = DEBUG1};
static Operation op_drop_keys = {.name = "forget keys", .failure_level = WARNING};

#define MAX_ARGS 12

/* A statement of the protocol; its plan is saved at first use. */
typedef struct ProtocolCall
{
	const char *sql;
	int nargs;
	Oid argtypes[MAX_ARGS];
	SPIPlanPtr plan;
} ProtocolCall;

static ProtocolCall call_armed = {.sql = TQ_SQL_ARMED};
static ProtocolCall call_claim = {
	.sql = TQ_SQL_CLAIM,
	.nargs = 3,
	.argtypes = {INT4OID, TEXTARRAYOID, TEXTOID}};
static ProtocolCall call_next_due = {
	.sql = TQ_SQL_NEXT_DUE,
	.nargs = 2,
	.argtypes = {TEXTARRAYOID, TEXTOID}};
static ProtocolCall call_report = {
	.sql = TQ_SQL_REPORT,
	.nargs = 12,
	.argtypes = {INT8OID, INT8OID, TEXTOID, TEXTOID, INT4OID, BYTEAOID, BYTEAOID, BOOLOID,
				 INTERVALOID, TEXTOID, INTERVALOID, JSONBOID}};
static ProtocolCall call_extend = {
	.sql = TQ_SQL_EXTEND,
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, INT8ARRAYOID}};
static ProtocolCall call_release = {
	.sql = TQ_SQL_RELEASE,
	.nargs = 3,
	.argtypes = {INT8ARRAYOID, INT8ARRAYOID, INTERVALOID}};
static ProtocolCall call_recover = {.sql = "select taskq_private.push_recover()"};
static ProtocolCall call_expire = {.sql = "select taskq_private.expire_leases()"};
static ProtocolCall call_notify = {
	.sql = "select taskq_private.notify($1)",
	.nargs = 1,
	.argtypes = {INT4ARRAYOID}};
static ProtocolCall call_sweep = {.sql = "select taskq_private.sweep()"};
static ProtocolCall call_make_history = {.sql = "select taskq_private.make_history()"};
static ProtocolCall call_drop_history = {.sql = "select taskq_private.drop_history()"};
static ProtocolCall call_drop_keys = {.sql = "select taskq_private.drop_keys()"};

static Oid extension = InvalidOid;
static bool gone = false;
static int failure_sqlstate = 0; /* of the last failure */

/* ---- transactions ---------------------------------------------------------- */

typedef void (*Work)(void *arg);

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
	Oid queue = taskq_find_relation("queue");

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
		until = executor_now_ms() + DRAIN_MS;
	left = until - executor_now_ms();
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

static bool
transact(Operation *op, Work work, void *arg)
{
	ErrorData *failure;

	/* In this order: a stop that comes later cancels the transaction itself. */
	QueryCancelPending = false;
	if (worker_stopping && !arm_drain_timeout())
		return false;
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

/* Returns the number of rows, which are in SPI_tuptable. */
static uint64
call(ProtocolCall *c, Datum *values, const char *nulls)
{
	int rc;

	if (c->plan == NULL)
	{
		SPIPlanPtr plan = SPI_prepare(c->sql, c->nargs, c->argtypes);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", c->sql, SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		c->plan = plan;
	}
	rc = SPI_execute_plan(c->plan, values, nulls, false, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\": %s", c->sql, SPI_result_code_string(rc));
	return SPI_processed;
}

static Datum
column(uint64 row, int n, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, n, isnull);
}

/* The bigint that a call returns whose arguments, if it has any, are NULL; -1 for NULL. */
static int64
call_for_int64(ProtocolCall *c)
{
	Datum values[MAX_ARGS] = {0};
	bool isnull = true;
	Datum value = 0;

	if (call(c, values, "nnnnnnnnnnnn") > 0)
		value = column(0, 1, &isnull);
	return isnull ? -1 : DatumGetInt64(value);
}

/* ---- looks that found nothing ------------------------------------------------- */

/*
 * A poll that found nothing finds nothing again until a transaction has ended,
 * anywhere in the cluster, or the time has come that it was told of.  It is
 * spared as long, so that an idle queue costs nothing, but for QUIET_POLLS at most:
 * the clock may have been set.
 */
#define QUIET_POLLS 20

typedef struct Quiet
{
	uint64 endings; /* before the look */
	int64 until;    /* on the executor's clock */
	int64 due_at;   /* what the look was told of; -1: nothing */
} Quiet;

/*
 * Counts up with each transaction's end, and again when that has reached the
 * shared memory that the looks go by, which is a little later: a look between
 * the two sees neither.
 */
static uint64
endings(void)
{
	TaskqDatabase *db = taskq_my_database();

	return compat_completed_transactions() + (db == NULL ? 0 : pg_atomic_read_u64(&db->hints));
}

static bool
still_quiet(const Quiet *quiet, int64 *next_ms)
{
	int64 now = executor_now_ms();

	if (now >= quiet->until || quiet->endings != endings())
		return false;
	*next_ms = quiet->due_at < 0 ? -1 : quiet->due_at - now;
	return true;
}

static Quiet
quiet_after(uint64 before, int64 next_ms)
{
	int64 now = executor_now_ms();
	Quiet quiet = {before, now + (int64) taskq_poll_interval * QUIET_POLLS, -1};

	if (next_ms >= 0)
	{
		quiet.due_at = now + next_ms;
		quiet.until = Min(quiet.until, quiet.due_at);
	}
	return quiet;
}

/* ---- claim ------------------------------------------------------------------ */

typedef struct ClaimArgs
{
	int max;
	tq_task **tasks;
	int n;
	tq_due due;
} ClaimArgs;

static void *
check_malloc(void *p)
{
	if (p == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return p;
}

static char *
copy_bytes(const struct varlena *v, size_t *len)
{
	char *copy;

	*len = VARSIZE_ANY_EXHDR(v);
	copy = check_malloc(malloc(*len + 1));
	memcpy(copy, VARDATA_ANY(v), *len);
	copy[*len] = '\0';
	return copy;
}

static char *
copy_text(Datum value)
{
	size_t len;

	return copy_bytes(PG_DETOAST_DATUM_PACKED(value), &len);
}

/* The task is complete enough for tq_task_free() at every moment. */
static void
copy_task(tq_task *task, uint64 row)
{
	bool isnull;
	Datum value;

	task->id = DatumGetInt64(column(row, 1, &isnull));
	task->token = DatumGetInt64(column(row, 2, &isnull));
	task->lease_ms = DatumGetInt64(column(row, 3, &isnull));
	task->timeout_ms = DatumGetInt64(column(row, 4, &isnull));
	value = column(row, 5, &isnull);
	task->method = isnull ? check_malloc(strdup("POST")) : copy_text(value);
	value = column(row, 6, &isnull);
	task->url = isnull ? check_malloc(strdup("")) : copy_text(value);
	value = column(row, 7, &isnull);
	if (!isnull && !tq_task_set_headers(task, TextDatumGetCString(value)))
		(void) check_malloc(NULL);
	value = column(row, 8, &isnull);
	if (!isnull)
		task->body = copy_bytes(PG_DETOAST_DATUM_PACKED(value), &task->body_len);
}

/* Not armed and never was, before the first submit, is nothing to speak of. */
static bool
armed(void)
{
	static int said = -1;
	bool isnull = true;
	bool is = false;

	if (call(&call_armed, NULL, NULL) > 0)
		is = DatumGetBool(column(0, 1, &isnull));
	if (isnull)
		return false;
	if (is && said != 1)
		maintenance_hurry();
	if (!is && said != 0)
		ereport(LOG,
				(errmsg("executor in database \"%s\" sends nothing: the database is not armed",
						get_database_name(MyDatabaseId)),
				 errhint("Call taskq.arm() if requests are to be sent from here.")));
	else if (is && said == 0)
		ereport(LOG,
				(errmsg("executor in database \"%s\" is armed", get_database_name(MyDatabaseId))));
	said = is;
	return is;
}

static void
work_claim(void *arg)
{
	ClaimArgs *args = arg;
	Datum values[3] = {Int32GetDatum(args->max), 0, 0};
	uint64 rows;
	bool isnull;

	if (!armed())
		return;
	rows = call(&call_claim, values, " nn");
	for (uint64 row = 0; row < rows && row < (uint64) args->max; row++)
	{
		args->tasks[args->n] = check_malloc(calloc(1, sizeof(tq_task)));
		copy_task(args->tasks[args->n++], row);
	}
	if (args->n == args->max || call(&call_next_due, values, "nn") == 0)
		return;
	args->due.next_ms = DatumGetInt64(column(0, 1, &isnull));
	if (isnull)
		args->due.next_ms = -1;
	args->due.limited = DatumGetBool(column(0, 2, &isnull));
}

static int
store_claim(void *self, int max, tq_task **tasks, tq_due *due)
{
	static Quiet quiet = {0};
	static bool quiet_limited = false;
	ClaimArgs args = {max, tasks, 0, {.next_ms = -1}};
	uint64 before = endings();

	due->limited = quiet_limited;
	if (still_quiet(&quiet, &due->next_ms))
		return 0;
	if (!transact(&op_claim, work_claim, &args))
	{
		while (args.n > 0)
			tq_task_free(tasks[--args.n]);
		return gone ? 0 : -1;
	}
	if (args.n == 0)
		quiet = quiet_after(before, args.due.next_ms);
	quiet_limited = args.due.limited;
	*due = args.due;
	return args.n;
}

/* ---- report ----------------------------------------------------------------- */

typedef struct ReportArgs
{
	tq_result *results;
	int n;
	bool bare; /* without anything that the peer has sent */
} ReportArgs;

static Datum
bytes_datum(const char *data, size_t len)
{
	bytea *b = palloc(VARHDRSZ + len);

	SET_VARSIZE(b, VARHDRSZ + len);
	memcpy(VARDATA(b), data, len);
	return PointerGetDatum(b);
}

static Datum
interval_datum(int64 us)
{
	Interval *interval = palloc0(sizeof(Interval));

	interval->time = Max(us, 0);
	return IntervalPGetDatum(interval);
}

static Datum
times_datum(const tq_times *times)
{
	char json[TQ_TIMES_JSON_SIZE];

	tq_times_json(times, json);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

static void
report_one(tq_result *result, bool bare)
{
	const tq_response *r = result->response;
	bool isnull = true;
	bool written;
	char nulls[] = "            ";
	char error[sizeof(r->error)];
	Datum values[MAX_ARGS] = {
		Int64GetDatum(result->id),
		Int64GetDatum(result->token),
		CStringGetTextDatum(tq_verdict_name(result->outcome.verdict)),
		CStringGetTextDatum(tq_class_name(r->cls)),
		Int32GetDatum(r->status),
		0, 0,
		BoolGetDatum(r->truncated || bare),
		interval_datum(r->elapsed_us),
		0,
		interval_datum(result->outcome.retry_after_ms * US_PER_MS),
		times_datum(&r->times)};

	tq_printable(r->error, error, sizeof(error));
	nulls[4] = r->status == 0 ? 'n' : ' ';
	nulls[5] = nulls[6] = 'n';
	if (!bare && r->headers != NULL)
	{
		values[5] = bytes_datum(r->headers, r->headers_len);
		nulls[5] = ' ';
	}
	if (!bare && r->body != NULL)
	{
		values[6] = bytes_datum(r->body, r->body_len);
		nulls[6] = ' ';
	}
	if (bare)
		values[9] = CStringGetTextDatum("the response could not be stored");
	else if (r->error[0] != '\0')
		values[9] = CStringGetTextDatum(error);
	else
		nulls[9] = 'n';
	nulls[10] = result->outcome.retry_after_ms < 0 ? 'n' : ' ';

	call(&call_report, values, nulls);
	written = DatumGetBool(column(0, 1, &isnull));
	result->busy = isnull;
	if (!isnull && !written)
		elog(DEBUG1, "result of task " INT64_FORMAT " came too late: its lease was lost",
			 result->id);
}

static void
work_report(void *arg)
{
	ReportArgs *args = arg;

	for (int i = 0; i < args->n; i++)
		report_one(&args->results[i], args->bare);
}

static bool
failure_may_pass(void)
{
	return tq_sqlstate_may_pass(unpack_sql_state(failure_sqlstate));
}

/*
 * Writes one result by itself, at last without the peer's contribution.  False
 * only if trying again later may help; a result that cannot be written is
 * given up, and its lease brings the task back.
 */
static bool
report_alone(tq_result *result)
{
	ReportArgs args = {result, 1, false};

	if (transact(&op_report, work_report, &args) || gone)
		return true;
	if (failure_may_pass())
		return false;
	args.bare = true;
	if (transact(&op_report, work_report, &args) || gone)
		return true;
	if (failure_may_pass())
		return false;
	ereport(WARNING,
			(errmsg("executor gives up the result of task " INT64_FORMAT, result->id),
			 errdetail("The task runs again when its lease has run out.")));
	return true;
}

/*
 * What was written before a failure is reported again with the rest; it then
 * counts as a lost lease and changes nothing.
 */
static int
store_report(void *self, tq_result *results, int n)
{
	ReportArgs args = {results, n, false};

	if (transact(&op_report, work_report, &args) || gone)
		return n;
	if (worker_stopping || failure_may_pass())
		return -1;
	for (int i = 0; i < n; i++)
	{
		if (!report_alone(&results[i]))
			return -1;
	}
	return n;
}

/* ---- leases ------------------------------------------------------------------ */

typedef struct LeaseArgs
{
	tq_lease *leases; /* those that the call returns are marked */
	int n;
	ProtocolCall *call;
	int64 delay_ms; /* of a release */
} LeaseArgs;

static Datum
int8_array(const tq_lease *leases, int n, bool tokens)
{
	Datum *values = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		values[i] = Int64GetDatum(tokens ? leases[i].token : leases[i].id);
	return PointerGetDatum(construct_array(values, n, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static void
mark(tq_lease *leases, int n, int64 id, bool busy)
{
	for (int i = 0; i < n; i++)
	{
		if (leases[i].id != id)
			continue;
		if (busy)
			leases[i].busy = true;
		else
			leases[i].lost = true;
	}
}

static void
work_leases(void *arg)
{
	LeaseArgs *args = arg;
	Datum values[MAX_ARGS];
	uint64 rows;
	bool isnull;

	values[0] = int8_array(args->leases, args->n, false);
	values[1] = int8_array(args->leases, args->n, true);
	values[2] = interval_datum(args->delay_ms * US_PER_MS);
	rows = call(args->call, values, NULL);
	for (uint64 row = 0; row < rows; row++)
		mark(args->leases, args->n, DatumGetInt64(column(row, 1, &isnull)),
			 args->call == &call_release);
}

static int
store_extend(void *self, tq_lease *leases, int n)
{
	LeaseArgs args = {.leases = leases, .n = n, .call = &call_extend};

	return transact(&op_extend, work_leases, &args) || gone ? n : -1;
}

static int
store_release(void *self, tq_lease *leases, int n, int64_t delay_ms)
{
	LeaseArgs args = {.leases = leases, .n = n, .call = &call_release, .delay_ms = delay_ms};

	return transact(&op_release, work_leases, &args) || gone ? n : -1;
}

const tq_store store_spi = {
	.claim = store_claim,
	.report = store_report,
	.extend = store_extend,
	.release = store_release};

/* ---- beside the engine --------------------------------------------------------- */

static void
work_call(void *arg)
{
	call(arg, NULL, NULL);
}

static void
work_expire(void *arg)
{
	*(int64 *) arg = call_for_int64(&call_expire);
}

bool
store_open(void)
{
	return transact(&op_open, NULL, NULL);
}

bool
store_gone(void)
{
	return gone;
}

bool
store_recover(void)
{
	return transact(&op_recover, work_call, &call_recover);
}

void
store_clean_up(void)
{
	(void) transact(&op_make_history, work_call, &call_make_history);
	(void) transact(&op_drop_history, work_call, &call_drop_history);
	(void) transact(&op_drop_keys, work_call, &call_drop_keys);
}

bool
store_expire_leases(int64 *next_ms)
{
	static Quiet quiet = {0};
	uint64 before = endings();

	if (still_quiet(&quiet, next_ms))
		return true;
	if (!transact(&op_leases, work_expire, next_ms))
		return false;
	quiet = quiet_after(before, *next_ms);
	return true;
}

static void
work_notify(void *arg)
{
	call(&call_notify, arg, NULL);
}

void
store_notify(const int32 *ids, int count)
{
	Datum *values = palloc(sizeof(Datum) * count);
	Datum array;

	for (int i = 0; i < count; i++)
		values[i] = Int32GetDatum(ids[i]);
	array = PointerGetDatum(construct_array(values, count, INT4OID, sizeof(int32), true,
											TYPALIGN_INT));
	(void) transact(&op_notify, work_notify, &array);
}

static void
work_sweep(void *arg)
{
	*(bool *) arg = call_for_int64(&call_sweep) != 0;
}

bool
store_sweep(bool *done)
{
	return transact(&op_sweep, work_sweep, done);
}

static void
work_vacuum(void *arg)
{
	*(bool *) arg = vacuum_is_useful();
}

bool
store_vacuum_is_useful(bool *useful)
{
	return transact(&op_vacuum, work_vacuum, useful);
}

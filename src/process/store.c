/*
 * store.c
 *		The delivery engine's store in the server: SQL in the executor's transactions.
 *
 * Each function is one short transaction (report() may need more).  Once the
 * extension is gone the engine is told that all went well.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "base/arg.h"
#include "base/process.h"
#include "base/sql.h"
#include "core/deliver.h"
#include "core/http.h"
#include "core/outcome.h"
#include "core/protocol.h"
#include "process/duties.h"
#include "process/store.h"
#include "process/transaction.h"

static Operation op_claim = {.name = "claim tasks", .failure_level = WARNING};
static Operation op_report = {.name = "report results", .failure_level = WARNING};
static Operation op_extend = {.name = "extend leases", .failure_level = WARNING};
static Operation op_release = {.name = "release tasks", .failure_level = WARNING};

static Statement call_armed = {.sql = TQ_SQL_ARMED};
static Statement call_claim = {
	.sql = TQ_SQL_CLAIM,
	.nargs = 3,
	.argtypes = {INT4OID, TEXTARRAYOID, TEXTOID}};
static Statement call_next_due = {
	.sql = TQ_SQL_NEXT_DUE,
	.nargs = 2,
	.argtypes = {TEXTARRAYOID, TEXTOID}};
static Statement call_report = {
	.sql = TQ_SQL_REPORT,
	.nargs = 12,
	.argtypes = {INT8OID, INT8OID, TEXTOID, TEXTOID, INT4OID, BYTEAOID, BYTEAOID, BOOLOID,
				 INTERVALOID, TEXTOID, INTERVALOID, JSONBOID}};
static Statement call_extend = {
	.sql = TQ_SQL_EXTEND,
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, INT8ARRAYOID}};
static Statement call_release = {
	.sql = TQ_SQL_RELEASE,
	.nargs = 3,
	.argtypes = {INT8ARRAYOID, INT8ARRAYOID, INTERVALOID}};

#define MAX_ARGS 12

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

	task->id = DatumGetInt64(sql_column(row, 1, &isnull));
	task->token = DatumGetInt64(sql_column(row, 2, &isnull));
	task->lease_ms = DatumGetInt64(sql_column(row, 3, &isnull));
	task->timeout_ms = DatumGetInt64(sql_column(row, 4, &isnull));
	value = sql_column(row, 5, &isnull);
	task->method = isnull ? check_malloc(strdup("POST")) : copy_text(value);
	value = sql_column(row, 6, &isnull);
	task->url = isnull ? check_malloc(strdup("")) : copy_text(value);
	value = sql_column(row, 7, &isnull);
	if (!isnull && !tq_task_set_headers(task, TextDatumGetCString(value)))
		(void) check_malloc(NULL);
	value = sql_column(row, 8, &isnull);
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

	if (sql_call(&call_armed, NULL, NULL) > 0)
		is = DatumGetBool(sql_column(0, 1, &isnull));
	if (isnull)
		return false;
	if (is && said != 1)
		duties_hurry();
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
	rows = sql_call(&call_claim, values, " nn");
	for (uint64 row = 0; row < rows && row < (uint64) args->max; row++)
	{
		args->tasks[args->n] = check_malloc(calloc(1, sizeof(tq_task)));
		copy_task(args->tasks[args->n++], row);
	}
	if (args->n == args->max || sql_call(&call_next_due, values, "nn") == 0)
		return;
	args->due.next_ms = DatumGetInt64(sql_column(0, 1, &isnull));
	if (isnull)
		args->due.next_ms = -1;
	args->due.limited = DatumGetBool(sql_column(0, 2, &isnull));
}

static int
store_claim(void *self, int max, tq_task **tasks, tq_due *due)
{
	static Quiet quiet = {0};
	static bool quiet_limited = false;
	ClaimArgs args = {max, tasks, 0, {.next_ms = -1}};
	uint64 before = quiet_endings();

	due->limited = quiet_limited;
	if (still_quiet(&quiet, &due->next_ms))
		return 0;
	if (!transact(&op_claim, work_claim, &args))
	{
		while (args.n > 0)
			tq_task_free(tasks[--args.n]);
		return extension_gone() ? 0 : -1;
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

	sql_call(&call_report, values, nulls);
	written = DatumGetBool(sql_column(0, 1, &isnull));
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

/*
 * Writes one result by itself, at last without the peer's contribution.  False
 * only if trying again later may help; a result that cannot be written is
 * given up, and its lease brings the task back.
 */
static bool
report_alone(tq_result *result)
{
	ReportArgs args = {result, 1, false};

	if (transact(&op_report, work_report, &args) || extension_gone())
		return true;
	if (failure_may_pass())
		return false;
	args.bare = true;
	if (transact(&op_report, work_report, &args) || extension_gone())
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

	if (transact(&op_report, work_report, &args) || extension_gone())
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
	Statement *call;
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
	rows = sql_call(args->call, values, NULL);
	for (uint64 row = 0; row < rows; row++)
		mark(args->leases, args->n, DatumGetInt64(sql_column(row, 1, &isnull)),
			 args->call == &call_release);
}

static int
store_extend(void *self, tq_lease *leases, int n)
{
	LeaseArgs args = {.leases = leases, .n = n, .call = &call_extend};

	return transact(&op_extend, work_leases, &args) || extension_gone() ? n : -1;
}

static int
store_release(void *self, tq_lease *leases, int n, int64_t delay_ms)
{
	LeaseArgs args = {.leases = leases, .n = n, .call = &call_release, .delay_ms = delay_ms};

	return transact(&op_release, work_leases, &args) || extension_gone() ? n : -1;
}

const tq_store store_spi = {
	.claim = store_claim,
	.report = store_report,
	.extend = store_extend,
	.release = store_release};

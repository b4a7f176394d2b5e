/*
 * store.c
 *		The delivery engine's store in the server: SQL in the executor's transactions.
 *
 * Each function is one short transaction.  Once the extension is gone, every function
 * reports success to the engine, because nothing that the engine holds matters any more.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/arg.h"
#include "base/sql.h"
#include "core/outcome.h"
#include "core/protocol.h"
#include "core/response.h"
#include "core/store.h"
#include "core/task.h"
#include "core/text.h"
#include "process/quiet.h"
#include "process/requests.h"
#include "process/store.h"
#include "process/transaction.h"

static Operation op_claim = {.name = "claim tasks"};
static Operation op_report = {.name = "report results"};
static Operation op_extend = {.name = "extend leases"};
static Operation op_release = {.name = "release tasks"};

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
	.nargs = TQ_REPORT_NARGUMENTS,
	.argtypes = {
		[TQ_REPORT_ID] = INT8OID,
		[TQ_REPORT_TOKEN] = INT8OID,
		[TQ_REPORT_VERDICT] = TEXTOID,
		[TQ_REPORT_CLASS] = TEXTOID,
		[TQ_REPORT_STATUS] = INT4OID,
		[TQ_REPORT_HEADERS] = BYTEAOID,
		[TQ_REPORT_BODY] = BYTEAOID,
		[TQ_REPORT_TRUNCATED] = BOOLOID,
		[TQ_REPORT_ELAPSED] = INTERVALOID,
		[TQ_REPORT_ERROR] = TEXTOID,
		[TQ_REPORT_RETRY_AFTER] = INTERVALOID,
		[TQ_REPORT_TIMES] = JSONBOID}};
static Statement call_extend = {
	.sql = TQ_SQL_EXTEND,
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, INT8ARRAYOID}};
static Statement call_release = {
	.sql = TQ_SQL_RELEASE,
	.nargs = 3,
	.argtypes = {INT8ARRAYOID, INT8ARRAYOID, INTERVALOID}};

/* Runs work(arg) in a transaction.  If the extension is gone, there is nothing to do. */
static tq_store_status
run(Operation *op, Work work, void *arg)
{
	if (transact(op, work, arg) || extension_gone())
		return TQ_STORE_DONE;
	return failure_may_pass() ? TQ_STORE_LATER : TQ_STORE_REFUSED;
}

/* ---- claim ------------------------------------------------------------------ */

typedef struct ClaimArgs
{
	int max;
	tq_claim *claim;
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

/* At every moment the task can be passed to tq_task_free(). */
static void
copy_task(tq_task *task, uint64 row)
{
	bool isnull;
	Datum value;

	task->id = DatumGetInt64(sql_column(row, 1 + TQ_CLAIM_ID, &isnull));
	task->token = DatumGetInt64(sql_column(row, 1 + TQ_CLAIM_TOKEN, &isnull));
	task->lease_ms = DatumGetInt64(sql_column(row, 1 + TQ_CLAIM_LEASE_MS, &isnull));
	task->timeout_ms = DatumGetInt64(sql_column(row, 1 + TQ_CLAIM_TIMEOUT_MS, &isnull));
	value = sql_column(row, 1 + TQ_CLAIM_METHOD, &isnull);
	task->method = isnull ? check_malloc(strdup("POST")) : copy_text(value);
	value = sql_column(row, 1 + TQ_CLAIM_URL, &isnull);
	task->url = isnull ? check_malloc(strdup("")) : copy_text(value);
	value = sql_column(row, 1 + TQ_CLAIM_HEADERS, &isnull);
	if (!isnull && !tq_task_set_headers(task, TextDatumGetCString(value)))
		(void) check_malloc(NULL);
	value = sql_column(row, 1 + TQ_CLAIM_BODY, &isnull);
	if (!isnull)
		task->body = copy_bytes(PG_DETOAST_DATUM_PACKED(value), &task->body_len);
}

static void
copy_next_due(tq_claim *claim)
{
	bool isnull;
	Datum value;

	value = sql_column(0, 1 + TQ_NEXT_DUE_MS, &isnull);
	if (!isnull)
		claim->next_ms = DatumGetInt64(value);
	claim->limited = DatumGetBool(sql_column(0, 1 + TQ_NEXT_DUE_LIMITED, &isnull));
	value = sql_column(0, 1 + TQ_NEXT_DUE_ARMED, &isnull);
	if (!isnull)
		claim->arming = DatumGetBool(value) ? TQ_ARMED : TQ_DISARMED;
}

static void
work_claim(void *arg)
{
	ClaimArgs *args = arg;
	tq_claim *claim = args->claim;
	Datum values[3] = {Int32GetDatum(args->max), 0, 0};
	uint64 rows = sql_call(&call_claim, values, " nn");

	for (uint64 row = 0; row < rows && claim->n < args->max; row++)
	{
		claim->tasks[claim->n] = check_malloc(calloc(1, sizeof(tq_task)));
		copy_task(claim->tasks[claim->n++], row);
	}
	if (claim->n < args->max && sql_call(&call_next_due, values, "nn") > 0)
		copy_next_due(claim);
}

static tq_store_status
store_claim(void *self, int max, tq_claim *claim)
{
	static Quiet quiet = {0};
	static bool quiet_limited = false;
	ClaimArgs args = {max, claim};
	uint64 before = quiet_changes();
	tq_store_status status;

	if (still_quiet(&quiet, before, &claim->next_ms))
	{
		claim->limited = quiet_limited;
		claim->sleep_ms = quiet_sleep_ms();
		return TQ_STORE_DONE;
	}
	status = run(&op_claim, work_claim, &args);
	if (status != TQ_STORE_DONE || extension_gone())
	{
		while (claim->n > 0)
			tq_task_free(claim->tasks[--claim->n]);
		return status;
	}
	if (claim->n == 0)
		quiet = quiet_after(before, claim->next_ms);
	quiet_limited = claim->limited;
	return status;
}

/* ---- report ----------------------------------------------------------------- */

typedef struct ReportArgs
{
	tq_result *results;
	int n;
	int late; /* results of tasks that are not the executor's any more */
	int64 first_late;
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

/* False: the task is not the executor's any more. */
static bool
report_one(tq_result *result)
{
	const tq_response *r = result->response;
	char error[sizeof(r->error)];
	char nulls[TQ_REPORT_NARGUMENTS];
	Datum values[TQ_REPORT_NARGUMENTS] = {
		[TQ_REPORT_ID] = Int64GetDatum(result->id),
		[TQ_REPORT_TOKEN] = Int64GetDatum(result->token),
		[TQ_REPORT_VERDICT] = CStringGetTextDatum(tq_verdict_name(result->outcome.verdict)),
		[TQ_REPORT_CLASS] = CStringGetTextDatum(tq_class_name(r->cls)),
		[TQ_REPORT_STATUS] = Int32GetDatum(r->status),
		[TQ_REPORT_TRUNCATED] = BoolGetDatum(r->truncated),
		[TQ_REPORT_ELAPSED] = interval_datum(r->elapsed_us),
		[TQ_REPORT_RETRY_AFTER] = interval_datum(result->outcome.retry_after_ms * US_PER_MS),
		[TQ_REPORT_TIMES] = times_datum(&r->times)};
	bool isnull = true;
	bool stored;

	memset(nulls, ' ', sizeof(nulls));
	if (r->status == 0)
		nulls[TQ_REPORT_STATUS] = 'n';
	if (result->outcome.retry_after_ms < 0)
		nulls[TQ_REPORT_RETRY_AFTER] = 'n';
	if (r->headers != NULL)
		values[TQ_REPORT_HEADERS] = bytes_datum(r->headers, r->headers_len);
	else
		nulls[TQ_REPORT_HEADERS] = 'n';
	if (r->body != NULL)
		values[TQ_REPORT_BODY] = bytes_datum(r->body, r->body_len);
	else
		nulls[TQ_REPORT_BODY] = 'n';
	tq_text_printable(r->error, error, sizeof(error));
	values[TQ_REPORT_ERROR] = CStringGetTextDatum(error);
	if (error[0] == '\0')
		nulls[TQ_REPORT_ERROR] = 'n';

	sql_call(&call_report, values, nulls);
	stored = DatumGetBool(sql_column(0, 1, &isnull));
	result->busy = isnull;
	return isnull || stored;
}

static void
work_report(void *arg)
{
	ReportArgs *args = arg;

	args->late = 0;
	for (int i = 0; i < args->n; i++)
	{
		if (!report_one(&args->results[i]) && args->late++ == 0)
			args->first_late = args->results[i].id;
	}
}

static void
log_late(const ReportArgs *args)
{
	if (args->late > 0)
		ereport(LOG,
				(errmsg_plural("executor: result of %d task came too late",
							   "executor: results of %d tasks came too late", args->late,
							   args->late),
				 errdetail("The first is task " INT64_FORMAT ". Its lease was lost before, or the "
						   "task was cancelled or removed.",
						   args->first_late)));
}

static tq_store_status
store_report(void *self, tq_result *results, int n)
{
	ReportArgs args = {.results = results, .n = n};
	tq_store_status status = run(&op_report, work_report, &args);

	if (status != TQ_STORE_DONE)
		return status;
	log_late(&args);
	for (int i = 0; i < n; i++)
	{
		if (!results[i].busy)
			request_over(results[i].id);
	}
	return status;
}

/* ---- leases ------------------------------------------------------------------ */

typedef struct LeaseArgs
{
	tq_lease *leases; /* the call marks those that it returns */
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
	Datum values[3];
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

static tq_store_status
store_extend(void *self, tq_lease *leases, int n)
{
	LeaseArgs args = {.leases = leases, .n = n, .call = &call_extend};
	tq_store_status status = run(&op_extend, work_leases, &args);

	for (int i = 0; i < n && status == TQ_STORE_DONE; i++)
	{
		if (leases[i].lost)
			request_over(leases[i].id);
	}
	return status;
}

static tq_store_status
store_release(void *self, tq_lease *leases, int n, int64_t delay_ms)
{
	LeaseArgs args = {.leases = leases, .n = n, .call = &call_release, .delay_ms = delay_ms};
	tq_store_status status = run(&op_release, work_leases, &args);

	for (int i = 0; i < n && status == TQ_STORE_DONE; i++)
	{
		if (!leases[i].busy)
			request_over(leases[i].id);
	}
	return status;
}

const tq_store store_spi = {
	.claim = store_claim,
	.report = store_report,
	.extend = store_extend,
	.release = store_release};

/*
 * store.c
 *		The delivery engine's store in the server: SQL in the executor's transactions.
 *
 * Each function is one short transaction.  What is called for all tasks, claim and report, is
 * called by the function manager, the rest by statements: see base/function.c.  Once the extension
 * is gone, every function reports success to the engine, because nothing that the engine holds
 * matters any more.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/arg.h"
#include "base/function.h"
#include "base/sql.h"
#include "core/clock.h"
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

static Statement call_next_due = {
	.sql = TQ_SQL_NEXT_DUE,
	.nargs = 2,
	.argtypes = {TEXTARRAYOID, TEXTOID}};
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
	int64 looked_at_ms; /* when its next_ms was right */
} ClaimArgs;

static const Function push_claim = {
	.name = "push_claim",
	.argtypes = {INT4OID, TEXTARRAYOID, TEXTOID, InvalidOid}};

static tq_bytes
bytes_in(const TupleTableSlot *slot, tq_claim_column column)
{
	const struct varlena *v;

	if (slot->tts_isnull[column])
		return (tq_bytes){NULL, 0};
	v = PG_DETOAST_DATUM_PACKED(slot->tts_values[column]);
	return (tq_bytes){VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v)};
}

/* The lines of an array of text, one behind the other. */
static tq_bytes
lines_of(ArrayType *array)
{
	StringInfoData lines;
	Datum *line;
	int n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &line, NULL, &n);
	initStringInfo(&lines);
	for (int i = 0; i < n; i++)
	{
		const struct varlena *v = PG_DETOAST_DATUM_PACKED(line[i]);

		if (i > 0)
			appendStringInfoChar(&lines, '\n');
		appendBinaryStringInfo(&lines, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
	}
	return (tq_bytes){lines.data, lines.len};
}

static void *
check_malloc(void *p)
{
	if (p == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return p;
}

static void
take_task(TupleTableSlot *slot, void *arg)
{
	ClaimArgs *args = arg;
	tq_claim *claim = args->claim;
	tq_bytes lines = {"", 0};
	tq_task *task;

	if (claim->n == args->max)
		return;
	if (!slot->tts_isnull[TQ_CLAIM_HEADERS])
		lines = lines_of(DatumGetArrayTypeP(slot->tts_values[TQ_CLAIM_HEADERS]));
	task = check_malloc(tq_task_new(bytes_in(slot, TQ_CLAIM_METHOD), bytes_in(slot, TQ_CLAIM_URL),
									lines, bytes_in(slot, TQ_CLAIM_BODY)));
	task->id = DatumGetInt64(slot->tts_values[TQ_CLAIM_ID]);
	task->token = DatumGetInt64(slot->tts_values[TQ_CLAIM_TOKEN]);
	task->lease_ms = DatumGetInt64(slot->tts_values[TQ_CLAIM_LEASE_MS]);
	task->timeout_ms = DatumGetInt64(slot->tts_values[TQ_CLAIM_TIMEOUT_MS]);
	claim->tasks[claim->n++] = task;
}

static void
copy_next_due(ClaimArgs *args)
{
	tq_claim *claim = args->claim;
	bool isnull;
	Datum value;

	value = sql_column(0, 1 + TQ_NEXT_DUE_MS, &isnull);
	if (!isnull)
		claim->next_ms = DatumGetInt64(value);
	args->looked_at_ms = tq_clock_ms();
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
	NullableDatum values[3] = {{Int32GetDatum(args->max), false}, {0, true}, {0, true}};
	Datum none[2] = {0, 0};

	function_rows(&push_claim, values, take_task, args);
	if (claim->n < args->max && sql_call(&call_next_due, none, "nn") > 0)
		copy_next_due(args);
}

/* A commit waits for the disk, which may take longer than until the next task is due. */
static void
deduct_commit(const ClaimArgs *args)
{
	tq_claim *claim = args->claim;

	if (claim->next_ms > 0)
		claim->next_ms = Max(claim->next_ms - (tq_clock_ms() - args->looked_at_ms), 0);
}

static void
forget_tasks(tq_claim *claim)
{
	while (claim->n > 0)
		tq_task_free(claim->tasks[--claim->n]);
}

static tq_store_status
store_claim(void *self, int max, tq_claim *claim)
{
	static Quiet quiet = {0};
	static bool quiet_limited = false;
	ClaimArgs args = {.max = max, .claim = claim};
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
		forget_tasks(claim);
		return status;
	}
	deduct_commit(&args);
	if (claim->n == 0)
		quiet = quiet_after(before, claim->next_ms);
	quiet_limited = claim->limited;
	return status;
}

/* ---- report ----------------------------------------------------------------- */

static const Oid report_types[TQ_REPORT_NARGUMENTS] = {
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
	[TQ_REPORT_TIMES] = JSONBOID};

static const Function report_many = {
	.name = TQ_FUNCTION_REPORT_MANY,
	.argtypes = {
		[TQ_REPORT_ID] = INT8ARRAYOID,
		[TQ_REPORT_TOKEN] = INT8ARRAYOID,
		[TQ_REPORT_VERDICT] = TEXTARRAYOID,
		[TQ_REPORT_CLASS] = TEXTARRAYOID,
		[TQ_REPORT_STATUS] = INT4ARRAYOID,
		[TQ_REPORT_HEADERS] = BYTEAARRAYOID,
		[TQ_REPORT_BODY] = BYTEAARRAYOID,
		[TQ_REPORT_TRUNCATED] = BOOLARRAYOID,
		[TQ_REPORT_ELAPSED] = INTERVALARRAYOID,
		[TQ_REPORT_ERROR] = TEXTARRAYOID,
		[TQ_REPORT_RETRY_AFTER] = INTERVALARRAYOID,
		[TQ_REPORT_TIMES] = JSONBARRAYOID,
		[TQ_REPORT_NARGUMENTS] = InvalidOid}};

typedef struct ReportArgs
{
	tq_result *results;
	int n;
	int late; /* results of tasks that are not the executor's any more */
	int64 first_late;
	ClaimArgs claim; /* in the same transaction, unless its claim is NULL */
} ReportArgs;

/* The arguments of a call: a column for each, with a value for each result. */
typedef struct Columns
{
	Datum *values[TQ_REPORT_NARGUMENTS];
	bool *nulls[TQ_REPORT_NARGUMENTS];
	int n;
} Columns;

static void
set(Columns *c, int row, tq_report_argument column, Datum value)
{
	c->values[column][row] = value;
	c->nulls[column][row] = false;
}

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
set_answer(Columns *c, int row, const tq_response *r)
{
	if (r->status != 0)
		set(c, row, TQ_REPORT_STATUS, Int32GetDatum(r->status));
	if (r->headers != NULL)
		set(c, row, TQ_REPORT_HEADERS, bytes_datum(r->headers, r->headers_len));
	if (r->body != NULL)
		set(c, row, TQ_REPORT_BODY, bytes_datum(r->body, r->body_len));
	set(c, row, TQ_REPORT_TRUNCATED, BoolGetDatum(r->truncated));
	set(c, row, TQ_REPORT_ELAPSED, interval_datum(r->elapsed_us));
}

static void
set_failure(Columns *c, int row, const tq_result *result)
{
	const tq_response *r = result->response;
	char error[sizeof(r->error)];

	set(c, row, TQ_REPORT_CLASS, CStringGetTextDatum(tq_class_name(r->cls)));
	tq_text_printable(r->error, error, sizeof(error));
	if (error[0] != '\0')
		set(c, row, TQ_REPORT_ERROR, CStringGetTextDatum(error));
	if (result->outcome.retry_after_ms >= 0)
		set(c, row, TQ_REPORT_RETRY_AFTER,
			interval_datum(result->outcome.retry_after_ms * US_PER_MS));
	set(c, row, TQ_REPORT_TIMES, times_datum(&r->times));
}

static void
set_result(Columns *c, int row, const tq_result *result)
{
	set(c, row, TQ_REPORT_ID, Int64GetDatum(result->id));
	set(c, row, TQ_REPORT_TOKEN, Int64GetDatum(result->token));
	set(c, row, TQ_REPORT_VERDICT, CStringGetTextDatum(tq_verdict_name(result->outcome.verdict)));
	set_answer(c, row, result->response);
	/* Of a success nothing else is kept. */
	if (result->outcome.verdict != TQ_SUCCESS)
		set_failure(c, row, result);
}

static Datum
column_array(Oid type, Datum *values, bool *nulls, int n)
{
	int first = 1;
	int16 len;
	bool byval;
	char align;

	get_typlenbyvalalign(type, &len, &byval, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &first, type, len, byval,
											  align));
}

/* What the function has returned: a boolean for each result, NULL if its task is busy. */
static void
take_stored(ReportArgs *args, tq_result *results, int n, Datum array)
{
	Datum *stored;
	bool *busy;
	int found;

	deconstruct_array(DatumGetArrayTypeP(array), BOOLOID, 1, true, TYPALIGN_CHAR, &stored, &busy,
					  &found);
	if (found != n)
		elog(ERROR, "%d of %d results were stored", found, n);
	for (int i = 0; i < n; i++)
	{
		results[i].busy = busy[i];
		if (!busy[i] && !DatumGetBool(stored[i]) && args->late++ == 0)
			args->first_late = results[i].id;
	}
}

static void
report_some(ReportArgs *args, tq_result *results, int n)
{
	NullableDatum arrays[TQ_REPORT_NARGUMENTS] = {0};
	Columns c = {.n = n};

	for (int i = 0; i < TQ_REPORT_NARGUMENTS; i++)
	{
		c.values[i] = palloc0_array(Datum, n);
		c.nulls[i] = palloc_array(bool, n);
		memset(c.nulls[i], true, n * sizeof(bool));
	}
	for (int row = 0; row < n; row++)
		set_result(&c, row, &results[row]);
	for (int i = 0; i < TQ_REPORT_NARGUMENTS; i++)
		arrays[i].value = column_array(report_types[i], c.values[i], c.nulls[i], n);
	take_stored(args, results, n, function_call(&report_many, arrays));
}

static void
work_report(void *arg)
{
	ReportArgs *args = arg;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "taskq results",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int n;

	args->late = 0;
	for (int done = 0; done < args->n; done += n)
	{
		n = tq_results_together(args->results + done, args->n - done);
		report_some(args, args->results + done, n);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	if (args->claim.claim != NULL)
		work_claim(&args->claim);
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
report_and_tell(ReportArgs *args)
{
	tq_store_status status = run(&op_report, work_report, args);

	if (status != TQ_STORE_DONE)
		return status;
	log_late(args);
	for (int i = 0; i < args->n; i++)
	{
		if (!args->results[i].busy)
			request_over(args->results[i].id);
	}
	return status;
}

static tq_store_status
store_report(void *self, tq_result *results, int n)
{
	return report_and_tell(&(ReportArgs){.results = results, .n = n});
}

static tq_store_status
store_report_and_claim(void *self, tq_result *results, int n, int max, tq_claim *claim)
{
	ReportArgs args = {.results = results, .n = n, .claim = {.max = max, .claim = claim}};
	tq_store_status status = report_and_tell(&args);

	if (status != TQ_STORE_DONE || extension_gone())
		forget_tasks(claim);
	else
		deduct_commit(&args.claim);
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
	.report_and_claim = store_report_and_claim,
	.extend = store_extend,
	.release = store_release};

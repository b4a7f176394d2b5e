/*
 * history.c
 *		Rows of ended tasks.
 *
 * The row is inserted directly into its dated table.  That table is never created here: DDL
 * in a user's transaction would make other sessions wait until it ends.  If the executor has
 * not created the table yet, the row goes into history_rest.
 */
#include "postgres.h"

#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "base/arg.h"
#include "base/catalog.h"
#include "base/jsontext.h"
#include "base/sql.h"
#include "life/call.h"
#include "life/history.h"
#include "life/kept.h"
#include "tables/append.h"
#include "tables/backlog.h"
#include "tables/queue.h"
#include "tables/rows.h"
#include "tables/state.h"

#define MAX_DAILY_KEEP_US (31 * US_PER_DAY)

/* Columns of taskq_private.history, from zero. */
enum HistoryColumn
{
	HIST_BUCKET,
	HIST_ID,
	HIST_STATE,
	HIST_PRIORITY,
	HIST_PUSH,
	HIST_ATTEMPT,
	HIST_MAX_ATTEMPTS,
	HIST_SUBMITTED_AT,
	HIST_RUN_AT,
	HIST_STARTED_AT,
	HIST_ENDED_AT,
	HIST_QUEUE,
	HIST_KEY,
	HIST_KIND,
	HIST_WORKER,
	HIST_TIMEOUT,
	HIST_RETRY,
	HIST_RESULT,
	HIST_ERROR,
	HIST_PAYLOAD,
	HIST_METHOD,
	HIST_URL,
	HIST_HEADERS,
	HIST_BODY,
	HIST_STATUS,
	HIST_RESPONSE_HEADERS,
	HIST_RESPONSE_BODY,
	HIST_TRUNCATED,
	HIST_ELAPSED,
	HIST_ATTEMPTS,
	HIST_CONTENT_LOST,
	HIST_ORIGIN,
	HIST_ON_FINISH,
	HIST_ON_DEAD,
	HIST_GROUP_KEY,
	HIST_TRACE,
	HIST_CALL,
	HIST_NCOLUMNS,
};

StaticAssertDecl(HIST_NCOLUMNS == HISTORY_COLUMNS, "attached.c knows all columns");

typedef struct HistoryRow
{
	Datum values[HIST_NCOLUMNS];
	bool nulls[HIST_NCOLUMNS];
} HistoryRow;

/*
 * Takes the failed attempts of an ended task, and the last HTTP answer among them.
 * Only the last hundred attempts are kept, and no detail of more than 8 kB, or 64 kB as text,
 * whatever the rows hold.
 */
static Statement take_attempts = {
	"with gone as (delete from taskq_private.attempt where task_id = $1 returning *), "
	"last as (select * from gone where status is not null "
	"order by attempt desc, ended_at desc limit 1), "
	"kept as (select * from gone order by attempt desc, ended_at desc limit 100) "
	"select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('attempt', attempt, "
	"'started_at', started_at, 'ended_at', ended_at, 'worker', left(worker, 57), "
	"'class', left(class, 57), 'error', left(error, 8192), 'status', status, 'elapsed', elapsed, "
	"'times', case when pg_column_size(times) <= 1024 and taskq_private.json_fits(times, 8192) "
	"then times end)) "
	/* Added after the nulls were stripped: nulls in the detail are the worker's. */
	"|| case when pg_column_size(detail) <= 8192 and taskq_private.json_fits(detail, 65536) "
	"then jsonb_build_object('detail', detail) else '{}' end order by attempt, ended_at), "
	"(select status from last), "
	"(select headers from last where taskq_private.json_fits(headers, 1048576)), "
	"(select body from last), (select truncated from last), (select elapsed from last) from kept",
	1,
	{INT8OID},
	NULL,
};

static void
put(HistoryRow *h, int column, Datum value)
{
	h->values[column] = value;
	h->nulls[column] = false;
}

static void
put_from(HistoryRow *h, int column, const Row *row, int from)
{
	h->values[column] = row->values[from];
	h->nulls[column] = row->nulls[from];
}

static void
put_answer(HistoryRow *h, const Answer *answer)
{
	put(h, HIST_STATUS, Int32GetDatum(answer->status));
	put(h, HIST_TRUNCATED, BoolGetDatum(answer->truncated));
	if (answer->headers != 0)
		put(h, HIST_RESPONSE_HEADERS, answer->headers);
	if (answer->body != 0)
		put(h, HIST_RESPONSE_BODY, answer->body);
	if (answer->elapsed != NULL)
		put(h, HIST_ELAPSED, IntervalPGetDatum(answer->elapsed));
}

/* Moves the rows of taskq_private.attempt into a column of this row. */
static void
put_attempts(HistoryRow *h, const Row *task, const Ending *ending)
{
	enum
	{
		ATTEMPTS,
		STATUS,
		HEADERS,
		BODY,
		TRUNCATED,
		ELAPSED,
		NCOLUMNS,
	};
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS];
	Datum id = task->values[TASK_ID];

	if (!sql_as_owner(&take_attempts, &id, NULL, values, nulls, NCOLUMNS))
		return;
	h->values[HIST_ATTEMPTS] = values[ATTEMPTS];
	h->nulls[HIST_ATTEMPTS] = nulls[ATTEMPTS];
	if (ending->answer != NULL && ending->answer->present)
		return;
	for (int i = STATUS; i <= ELAPSED; i++)
	{
		h->values[HIST_STATUS + i - STATUS] = values[i];
		h->nulls[HIST_STATUS + i - STATUS] = nulls[i];
	}
}

static const int origin[] = {TASK_ORIGIN};

/*
 * The columns of every ended task.  Texts among them are short names; an origin may have been
 * changed.
 */
static void
put_common(HistoryRow *h, const Row *task, const Row *lease, const Ending *ending)
{
	put(h, HIST_STATE, state_datum(ending->state));
	put_from(h, HIST_ID, task, TASK_ID);
	put_from(h, HIST_PRIORITY, task, TASK_PRIORITY);
	put_from(h, HIST_ATTEMPT, task, TASK_ATTEMPT);
	put_from(h, HIST_MAX_ATTEMPTS, task, TASK_MAX_ATTEMPTS);
	put_from(h, HIST_SUBMITTED_AT, task, TASK_SUBMITTED_AT);
	put_from(h, HIST_RUN_AT, task, task_waits(task) ? TASK_RETRY_AT : TASK_RUN_AT);
	put_from(h, HIST_KEY, task, TASK_KEY);
	put_from(h, HIST_GROUP_KEY, task, TASK_GROUP_KEY);
	put_from(h, HIST_TRACE, task, TASK_TRACE);
	put_from(h, HIST_KIND, task, TASK_KIND);
	put_from(h, HIST_TIMEOUT, task, TASK_TIMEOUT);
	put_from(h, HIST_RETRY, task, TASK_RETRY);
	if (row_try_read(task, origin, lengthof(origin)) == 0)
		put_from(h, HIST_ORIGIN, task, TASK_ORIGIN);
	if (lease != NULL)
	{
		put_from(h, HIST_ATTEMPT, lease, LEASE_ATTEMPT);
		put_from(h, HIST_STARTED_AT, lease, LEASE_STARTED_AT);
		put_from(h, HIST_WORKER, lease, LEASE_WORKER);
	}
	if (ending->result != 0)
		put(h, HIST_RESULT, ending->result);
	if (ending->error != NULL)
		put(h, HIST_ERROR, PointerGetDatum(ending->error));
	if (ending->answer != NULL && ending->answer->present)
		put_answer(h, ending->answer);
}

/* Columns of a task that may be of any size. */
static const int whole_content[] = {TASK_PAYLOAD, TASK_METHOD, TASK_URL, TASK_HEADERS,
									TASK_BODY, TASK_ON_FINISH, TASK_ON_DEAD, TASK_CALL};
static const int target[] = {TASK_METHOD, TASK_URL};
static const int call[] = {TASK_CALL};

static bool
has_long_payload(const Row *task)
{
	Size size;

	return !task->nulls[TASK_PAYLOAD] &&
		   jsonb_text_exceeds(task->values[TASK_PAYLOAD], TASKQ_MAX_TEXT, &size);
}

/*
 * Whether the whole content can be kept; if not, the row of history says so.  Content that cannot
 * be read is lost.  A payload that is too long for a client is lost, too, because no view and no
 * dump could show it.
 */
static bool
content_can_be_kept(HistoryRow *h, const Row *task)
{
	if (row_try_read(task, whole_content, lengthof(whole_content)) == 0 && !has_long_payload(task))
		return true;
	put(h, HIST_CONTENT_LOST, BoolGetDatum(true));
	return false;
}

/* Sets the columns that retry() needs. */
static void
put_content(HistoryRow *h, const Row *task)
{
	if (!content_can_be_kept(h, task))
		return;
	put_from(h, HIST_PAYLOAD, task, TASK_PAYLOAD);
	put_from(h, HIST_METHOD, task, TASK_METHOD);
	put_from(h, HIST_URL, task, TASK_URL);
	put_from(h, HIST_HEADERS, task, TASK_HEADERS);
	put_from(h, HIST_BODY, task, TASK_BODY);
	put_from(h, HIST_ON_FINISH, task, TASK_ON_FINISH);
	put_from(h, HIST_ON_DEAD, task, TASK_ON_DEAD);
	put_from(h, HIST_CALL, task, TASK_CALL);
}

/* Of a finished push task: where its request was sent, as far as the queue has not changed. */
static void
put_target(HistoryRow *h, const Row *task, const Queue *queue)
{
	const char *own = NULL;
	const char *url;

	if (row_try_read(task, target, lengthof(target)) != 0)
		return;
	if (!task->nulls[TASK_URL])
		own = TextDatumGetCString(task->values[TASK_URL]);
	url = queue != NULL ? queue_request_url(queue, queue->url, own) : own;
	if (url != NULL)
		put(h, HIST_URL, CStringGetTextDatum(url));
	if (task->nulls[TASK_METHOD])
		put(h, HIST_METHOD, CStringGetTextDatum("POST"));
	else
		put_from(h, HIST_METHOD, task, TASK_METHOD);
}

/* Of a finished call: which function was called, and as which role. */
static void
put_function(HistoryRow *h, const Row *task)
{
	if (!task->nulls[TASK_CALL] && row_try_read(task, call, lengthof(call)) == 0)
		put(h, HIST_CALL, call_without_arguments(task->values[TASK_CALL]));
}

/*
 * Of a finished task, which is not retried: what is kept so that it can be looked at.  That is
 * nothing for a pull task, unless its queue has keep_payload.
 */
static void
put_what_was_done(HistoryRow *h, const Row *task, const Queue *queue, bool push)
{
	Datum headers = 0;

	if (push)
		put_target(h, task, queue);
	put_function(h, task);
	if (queue == NULL || !queue->keep_payload || !content_can_be_kept(h, task))
		return;
	put_from(h, HIST_PAYLOAD, task, TASK_PAYLOAD);
	put_from(h, HIST_BODY, task, TASK_BODY);
	put_from(h, HIST_CALL, task, TASK_CALL);
	if (!task->nulls[TASK_HEADERS])
		headers = kept_headers(task->values[TASK_HEADERS]);
	if (headers != 0)
		put(h, HIST_HEADERS, headers);
}

/* The dated table: yyyymmdd of the day of expiry, or yyyymm if the row is kept long.  UTC. */
static int32
bucket_of(TimestampTz ended_at, int64 keep_us)
{
	struct pg_tm tm;
	fsec_t fsec;

	if (timestamp2tm(ended_at + keep_us, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	if (keep_us > MAX_DAILY_KEEP_US)
		return tm.tm_year * 100 + tm.tm_mon;
	return (tm.tm_year * 100 + tm.tm_mon) * 100 + tm.tm_mday;
}

PG_FUNCTION_INFO_V1(taskq_bucket);
Datum
taskq_bucket(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(bucket_of(PG_GETARG_TIMESTAMPTZ(0), interval_us(PG_GETARG_INTERVAL_P(1))));
}

static Relation
open_leaf(int32 bucket)
{
	char name[NAMEDATALEN];
	Oid leaf;
	Relation relation;

	snprintf(name, sizeof(name), "history_%d", bucket);
	leaf = catalog_find_relation(name);
	relation = OidIsValid(leaf) ? try_table_open(leaf, RowExclusiveLock) : NULL;
	if (relation == NULL)
		relation = table_open(catalog_relation("history_rest"), RowExclusiveLock);
	return relation;
}

/* ---- many rows ----------------------------------------------------------------------- */

#define ROWS_AT_ONCE   64
#define MEMORY_AT_ONCE 65536 /* bytes of these rows, about */

/* Rows for one leaf, to be written together. */
struct HistoryBatch
{
	int32 bucket;  /* of the leaf */
	Relation leaf; /* NULL: there are no rows */
	int count;
	Size memory;
	TupleTableSlot *row[ROWS_AT_ONCE];
};

static void
write_rows(HistoryBatch *b)
{
	CatalogIndexState indexes;

	if (b->leaf == NULL)
		return;
	indexes = CatalogOpenIndexes(b->leaf);
	CatalogTuplesMultiInsertWithInfo(b->leaf, b->row, b->count, indexes);
	CatalogCloseIndexes(indexes);
	for (int i = 0; i < b->count; i++)
		ExecDropSingleTupleTableSlot(b->row[i]);
	table_close(b->leaf, NoLock);
	b->leaf = NULL;
	b->count = 0;
	b->memory = 0;
}

/* Such a row is written alone: the server stores a copy, and the batch cannot know its place. */
static bool
has_to_be_toasted(HeapTuple tuple)
{
	return HeapTupleHasExternal(tuple) || tuple->t_len > TOAST_TUPLE_THRESHOLD;
}

static void
add_row(HistoryBatch *b, int32 bucket, HistoryRow *h)
{
	OwnColumns own = {h->values, h->nulls, HIST_NCOLUMNS};
	HeapTuple tuple;

	if (b->count == ROWS_AT_ONCE || b->memory > MEMORY_AT_ONCE || bucket != b->bucket)
		write_rows(b);
	if (b->leaf == NULL)
		b->leaf = open_leaf(bucket);
	b->bucket = bucket;
	if (table_state(b->leaf, TABLE_HISTORY) != TABLE_AS_CREATED)
	{
		append_row(b->leaf, TABLE_HISTORY, &own);
		return;
	}
	tuple = form_tuple(b->leaf, h->values, h->nulls);
	if (has_to_be_toasted(tuple))
	{
		CatalogTupleInsert(b->leaf, tuple);
		heap_freetuple(tuple);
		return;
	}
	b->row[b->count] = MakeSingleTupleTableSlot(RelationGetDescr(b->leaf), &TTSOpsHeapTuple);
	b->memory += tuple->t_len;
	ExecStoreHeapTuple(tuple, b->row[b->count++], true);
}

HistoryBatch *
history_begin_batch(void)
{
	return palloc0_object(HistoryBatch);
}

void
history_end_batch(HistoryBatch *batch)
{
	write_rows(batch);
	pfree(batch);
}

/* ---- one row --------------------------------------------------------------------------- */

static void
append(HistoryBatch *batch, HistoryRow *h, TimestampTz now, int64 keep_us)
{
	int32 bucket = bucket_of(now, keep_us);
	OwnColumns own = {h->values, h->nulls, HIST_NCOLUMNS};
	Relation relation;

	put(h, HIST_BUCKET, Int32GetDatum(bucket));
	put(h, HIST_ENDED_AT, TimestampTzGetDatum(now));
	if (batch != NULL)
	{
		add_row(batch, bucket, h);
		return;
	}
	relation = open_leaf(bucket);
	append_row(relation, TABLE_HISTORY, &own);
	table_close(relation, NoLock);
}

/* Only an attempt that fails leaves a row; a claim and its release leave none. */
static bool
may_have_attempts(const Row *task, const Row *lease, const Ending *ending)
{
	return ROW_INT32(task, TASK_ATTEMPT) != 0 ||
		   (lease != NULL && ending->state != STATE_FINISHED);
}

void
history_add(HistoryBatch *batch, const Row *task, const Row *lease, const Ending *ending,
			const Keeping *keeping)
{
	HistoryRow h;

	memset(h.values, 0, sizeof(h.values));
	memset(h.nulls, true, sizeof(h.nulls));
	put(&h, HIST_QUEUE, CStringGetTextDatum(keeping->name));
	put(&h, HIST_PUSH, BoolGetDatum(keeping->push));
	put_common(&h, task, lease, ending);
	if (ending->state != STATE_FINISHED)
		put_content(&h, task);
	else
		put_what_was_done(&h, task, keeping->queue, keeping->push);
	if (may_have_attempts(task, lease, ending))
		put_attempts(&h, task, ending);
	if (keeping->us > 0)
		append(batch, &h, ending->at, keeping->us);
}

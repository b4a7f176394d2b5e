/*
 * history.c
 *		How a task leaves: its live rows go, what is to be kept is appended.
 *
 * The dated table that the row belongs to is written directly, and never created
 * here: DDL in a user's transaction would make others wait for its end.  If
 * the executor has not created the table yet, history_rest takes the row.
 */
#include "postgres.h"

#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"

#include "base/arg.h"
#include "base/catalog.h"
#include "base/sql.h"
#include "hints/counts.h"
#include "hints/wakeup.h"
#include "life/history.h"
#include "tables/key.h"
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
	HIST_NCOLUMNS,
};

typedef struct HistoryRow
{
	Datum values[HIST_NCOLUMNS];
	bool nulls[HIST_NCOLUMNS];
} HistoryRow;

/*
 * The failed attempts of a task that ends, and the last HTTP answer among them.
 * They are limited, whatever workers have reported: to the last hundred, without details
 * of more than 8 kB.
 */
static Statement take_attempts = {
	"with gone as (delete from taskq_private.attempt where task_id = $1 returning *), "
	"last as (select * from gone where status is not null "
	"order by attempt desc, ended_at desc limit 1), "
	"kept as (select * from gone order by attempt desc, ended_at desc limit 100) "
	"select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('attempt', attempt, "
	"'started_at', started_at, 'ended_at', ended_at, 'worker', worker, 'class', class, "
	"'error', error, 'status', status, 'elapsed', elapsed, 'times', times)) "
	/* Added after the nulls were stripped: nulls in the detail are the worker's. */
	"|| case when pg_column_size(detail) <= 8192 then jsonb_build_object('detail', detail) "
	"else '{}' end order by attempt, ended_at), "
	"(select status from last), (select headers from last), (select body from last), "
	"(select truncated from last), (select elapsed from last) from kept",
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

/* The rows of taskq_private.attempt become a column of this one. */
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

/* What every ended task keeps. */
static void
put_common(HistoryRow *h, const Row *task, const Row *lease, const Ending *ending)
{
	put(h, HIST_STATE, state_datum(ending->state));
	put_from(h, HIST_ID, task, TASK_ID);
	put_from(h, HIST_PRIORITY, task, TASK_PRIORITY);
	put_from(h, HIST_ATTEMPT, task, TASK_ATTEMPT);
	put_from(h, HIST_MAX_ATTEMPTS, task, TASK_MAX_ATTEMPTS);
	put_from(h, HIST_SUBMITTED_AT, task, TASK_SUBMITTED_AT);
	put_from(h, HIST_RUN_AT, task, TASK_RUN_AT);
	put_from(h, HIST_KEY, task, TASK_KEY);
	put_from(h, HIST_KIND, task, TASK_KIND);
	put_from(h, HIST_TIMEOUT, task, TASK_TIMEOUT);
	put_from(h, HIST_RETRY, task, TASK_RETRY);
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

/* What retry() needs.  It is not kept of finished tasks. */
static void
put_content(HistoryRow *h, const Row *task)
{
	put_from(h, HIST_PAYLOAD, task, TASK_PAYLOAD);
	put_from(h, HIST_METHOD, task, TASK_METHOD);
	put_from(h, HIST_URL, task, TASK_URL);
	put_from(h, HIST_HEADERS, task, TASK_HEADERS);
	put_from(h, HIST_BODY, task, TASK_BODY);
}

/* The dated table: yyyymmdd of the day of expiry, or yyyymm of its month if kept long.  UTC. */
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
	if (RelationGetNumberOfAttributes(relation) != HIST_NCOLUMNS)
		elog(ERROR, "table \"%s\" is not a table of taskq's history",
			 RelationGetRelationName(relation));
	return relation;
}

/* ---- many rows ----------------------------------------------------------------------- */

#define ROWS_AT_ONCE   64
#define MEMORY_AT_ONCE 65536 /* bytes of them, about */

/* Rows for one leaf, to be written together. */
struct HistoryBatch
{
	HotRelation *tasks;
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

/* Such a row is written by itself: the server stores a copy, whose place the batch cannot know. */
static bool
has_to_be_toasted(HeapTuple tuple)
{
	return HeapTupleHasExternal(tuple) || tuple->t_len > TOAST_TUPLE_THRESHOLD;
}

static void
add_row(HistoryBatch *b, int32 bucket, HistoryRow *h)
{
	HeapTuple tuple;

	if (b->count == ROWS_AT_ONCE || b->memory > MEMORY_AT_ONCE || bucket != b->bucket)
		write_rows(b);
	if (b->leaf == NULL)
		b->leaf = open_leaf(bucket);
	b->bucket = bucket;
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
history_begin_batch(HotRelation *tasks)
{
	HistoryBatch *b = palloc0_object(HistoryBatch);

	b->tasks = tasks;
	return b;
}

void
history_end_batch(HistoryBatch *batch)
{
	write_rows(batch);
	pfree(batch);
	CommandCounterIncrement();
}

/* ---- one row --------------------------------------------------------------------------- */

/* batch may be NULL. */
static void
append(HistoryBatch *batch, HistoryRow *h, int64 keep_us)
{
	TimestampTz now = GetCurrentTimestamp();
	int32 bucket = bucket_of(now, keep_us);
	Relation relation;
	HeapTuple tuple;

	put(h, HIST_BUCKET, Int32GetDatum(bucket));
	put(h, HIST_ENDED_AT, TimestampTzGetDatum(now));
	if (batch != NULL)
	{
		add_row(batch, bucket, h);
		return;
	}
	relation = open_leaf(bucket);
	tuple = form_tuple(relation, h->values, h->nulls);
	CatalogTupleInsert(relation, tuple);
	heap_freetuple(tuple);
	table_close(relation, NoLock);
}

static void
delete_task(HotRelation *tasks, const Row *task)
{
	HotRelation r;

	if (tasks == NULL)
		hot_open(&r, HOT_TASK);
	if (row_delete(tasks != NULL ? tasks : &r, task, true) != ROW_DONE)
		elog(ERROR, "task " INT64_FORMAT " was changed without its lease",
			 ROW_INT64(task, TASK_ID));
	if (tasks == NULL)
		hot_close(&r);
}

void
task_end(const Row *task, const Row *lease, const Ending *ending)
{
	task_end_in(NULL, task, lease, ending);
	CommandCounterIncrement();
}

void
task_end_in(HistoryBatch *batch, const Row *task, const Row *lease, const Ending *ending)
{
	const Queue *queue = queue_by_id(ROW_INT32(task, TASK_QUEUE_ID));
	HistoryRow h;
	int64 keep_us;

	if (queue == NULL)
		elog(ERROR, "task " INT64_FORMAT " is in no queue", ROW_INT64(task, TASK_ID));
	keep_us = ending->state == STATE_FINISHED ? queue->keep_finished_us : queue->keep_dead_us;
	memset(h.values, 0, sizeof(h.values));
	memset(h.nulls, true, sizeof(h.nulls));
	put(&h, HIST_QUEUE, CStringGetTextDatum(queue->name));
	put(&h, HIST_PUSH, BoolGetDatum(queue->push));
	put_common(&h, task, lease, ending);
	if (ending->state != STATE_FINISHED)
		put_content(&h, task);
	if (ROW_INT32(task, TASK_ATTEMPT) > 0 || ending->state != STATE_FINISHED)
		put_attempts(&h, task, ending);
	if (keep_us > 0)
		append(batch, &h, keep_us);
	if (lease != NULL)
		delete_task(batch != NULL ? batch->tasks : NULL, task);
	key_let_go(queue, task);
	counts_ended(queue->id, ending->state);
	wakeup_task_ended_at_commit(ROW_INT64(task, TASK_ID));
}

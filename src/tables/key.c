/*
 * key.c
 *		Keys: at most one live task of a queue has a given key.
 *
 * A unique index on a separate table ensures this.  Only the transaction that ends a live
 * task writes the row of its key, so reading that row needs no lock.  The row of an ended
 * task's key goes to the first transaction that updates it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/varlena.h"

#include "tables/key.h"
#include "tables/queue.h"
#include "tables/rows.h"

static TimestampTz
time_or_none(const Row *row, int column)
{
	return row->nulls[column] ? DT_NOBEGIN : ROW_TIME(row, column);
}

static void
set_time(Row *row, int column, TimestampTz time)
{
	row->nulls[column] = time == DT_NOBEGIN;
	row->values[column] = TimestampTzGetDatum(time);
}

static void
set_terms(Row *row, const KeyTerms *terms)
{
	set_time(row, KEY_HOLD_UNTIL, terms->hold_until);
	set_time(row, KEY_SINCE, terms->since);
}

static void
fill(Row *row, const Queue *queue, text *key, int64 id, const KeyTerms *terms)
{
	row_init(row);
	row_set(row, KEY_QUEUE_ID, Int32GetDatum(queue->id));
	row_set_text(row, KEY_KEY, key);
	row_set(row, KEY_ID, Int64GetDatum(id));
	set_terms(row, terms);
}

/* Whether the key of that row may become the key of task id. */
static bool
may_take_over(const Row *row, int64 id, bool of_ended)
{
	if (row->nulls[KEY_TAKEN_UNTIL])
		return false; /* the task that has it lives */
	return of_ended || ROW_INT64(row, KEY_ID) == id ||
		   ROW_TIME(row, KEY_TAKEN_UNTIL) <= GetCurrentTimestamp();
}

/* One try.  *holder becomes the result of key_take(); false: try again. */
static bool
try_to_take(HotRelation *r, const Queue *queue, text *key, int64 id, bool of_ended,
			const KeyTerms *terms, int64 *holder)
{
	Row row;

	*holder = 0;
	fill(&row, queue, key, id, terms);
	if (row_insert_unique(r, &row))
		return true;
	if (!row_fetch_key(r, queue->id, key, &row))
		return false; /* the row was deleted meanwhile */
	if (!may_take_over(&row, id, of_ended))
	{
		*holder = ROW_INT64(&row, KEY_ID);
		return true;
	}
	if (ROW_INT64(&row, KEY_ID) == id)
		row.nulls[KEY_SINCE] = true;
	else
		set_terms(&row, terms);
	row_set(&row, KEY_ID, Int64GetDatum(id));
	row.nulls[KEY_TAKEN_UNTIL] = true;
	return row_update(r, &row, true) == ROW_DONE;
}

int64
key_take(const Queue *queue, text *key, int64 id, bool of_ended, const KeyTerms *terms)
{
	HotRelation r;
	int64 holder;

	hot_open(&r, HOT_KEY);
	while (!try_to_take(&r, queue, key, id, of_ended, terms, &holder))
		CHECK_FOR_INTERRUPTS();
	hot_close(&r);
	CommandCounterIncrement();
	return holder;
}

void
key_renew(int32 queue_id, text *key, KeyTerms *terms, bool anew)
{
	HotRelation r;
	Row row;

	hot_open(&r, HOT_KEY);
	if (row_fetch_key(&r, queue_id, key, &row))
	{
		terms->hold_until = Max(terms->hold_until, time_or_none(&row, KEY_HOLD_UNTIL));
		if (!anew && !row.nulls[KEY_SINCE])
			terms->since = ROW_TIME(&row, KEY_SINCE);
		set_terms(&row, terms);
		if (row_update(&r, &row, true) != ROW_DONE)
			elog(ERROR, "the key of task " INT64_FORMAT " was changed by another transaction",
				 ROW_INT64(&row, KEY_ID));
	}
	hot_close(&r);
	CommandCounterIncrement();
}

int64
key_holder(const Queue *queue, text *key)
{
	HotRelation r;
	Row row;
	bool live;

	hot_open(&r, HOT_KEY);
	live = row_fetch_key(&r, queue->id, key, &row) && row.nulls[KEY_TAKEN_UNTIL];
	hot_close(&r);
	return live ? ROW_INT64(&row, KEY_ID) : 0;
}

int
key_compare(const text *a, const text *b)
{
	return varstr_cmp(VARDATA_ANY(a), VARSIZE_ANY_EXHDR(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b),
					  C_COLLATION_OID);
}

void
key_let_go(int32 queue_id, int64 keep_us, const Row *task)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until;
	HotRelation r;
	Row row;
	RowResult result = ROW_DONE;

	if (task->nulls[TASK_KEY])
		return;
	hot_open(&r, HOT_KEY);
	if (row_fetch_key(&r, queue_id, DatumGetTextPP(task->values[TASK_KEY]), &row) &&
		ROW_INT64(&row, KEY_ID) == ROW_INT64(task, TASK_ID))
	{
		until = Max(now + keep_us, time_or_none(&row, KEY_HOLD_UNTIL));
		row_set(&row, KEY_TAKEN_UNTIL, TimestampTzGetDatum(until));
		result = until > now ? row_update(&r, &row, true) : row_delete(&r, &row, true);
	}
	if (result != ROW_DONE)
		elog(ERROR, "the key of task " INT64_FORMAT " was changed by another transaction",
			 ROW_INT64(task, TASK_ID));
	hot_close(&r);
}

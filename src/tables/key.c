/*
 * key.c
 *		Keys: at most one live task of a queue has a given one.
 *
 * The guard is a unique index on a table of its own.  A row of a live task is
 * written by nobody but whoever ends the task, so looking at it takes no lock;
 * a row of an ended one is there for whoever comes first.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"

#include "tables/key.h"
#include "tables/queue.h"
#include "tables/rows.h"

static void
fill(Row *row, const Queue *queue, text *key, int64 id)
{
	row_init(row);
	row_set(row, KEY_QUEUE_ID, Int32GetDatum(queue->id));
	row_set_text(row, KEY_KEY, key);
	row_set(row, KEY_ID, Int64GetDatum(id));
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

/* One try.  *holder is as key_take() returns it; false: look again. */
static bool
try_to_take(HotRelation *r, const Queue *queue, text *key, int64 id, bool of_ended, int64 *holder)
{
	Row row;

	*holder = 0;
	fill(&row, queue, key, id);
	if (row_insert_unique(r, &row))
		return true;
	if (!row_fetch_key(r, queue->id, key, &row))
		return false; /* whoever had it is gone */
	if (!may_take_over(&row, id, of_ended))
	{
		*holder = ROW_INT64(&row, KEY_ID);
		return true;
	}
	row_set(&row, KEY_ID, Int64GetDatum(id));
	row.nulls[KEY_TAKEN_UNTIL] = true;
	return row_update(r, &row, true) == ROW_DONE;
}

int64
key_take(const Queue *queue, text *key, int64 id, bool of_ended)
{
	HotRelation r;
	int64 holder;

	hot_open(&r, HOT_KEY);
	while (!try_to_take(&r, queue, key, id, of_ended, &holder))
		CHECK_FOR_INTERRUPTS();
	hot_close(&r);
	CommandCounterIncrement();
	return holder;
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

void
key_let_go(const Queue *queue, const Row *task)
{
	HotRelation r;
	Row row;
	RowResult result;

	if (task->nulls[TASK_KEY])
		return;
	hot_open(&r, HOT_KEY);
	if (!row_fetch_key(&r, queue->id, DatumGetTextPP(task->values[TASK_KEY]), &row) ||
		ROW_INT64(&row, KEY_ID) != ROW_INT64(task, TASK_ID))
		elog(ERROR, "task " INT64_FORMAT " does not have its key", ROW_INT64(task, TASK_ID));
	row_set(&row, KEY_TAKEN_UNTIL, TimestampTzGetDatum(GetCurrentTimestamp() + queue->keep_key_us));
	result = queue->keep_key_us > 0 ? row_update(&r, &row, true) : row_delete(&r, &row, true);
	if (result != ROW_DONE)
		elog(ERROR, "the key of task " INT64_FORMAT " was changed by another",
			 ROW_INT64(task, TASK_ID));
	hot_close(&r);
}

/*
 * rows.h
 *		The hot tables (task, lease, key, start_limit) without planner or executor.
 */
#ifndef TASKQ_ROWS_H
#define TASKQ_ROWS_H

#include "access/htup.h"
#include "executor/tuptable.h"
#include "nodes/lockoptions.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

typedef enum HotTable
{
	HOT_TASK,
	HOT_LEASE,
	HOT_KEY,
	HOT_START
} HotTable;

/* Columns as in sql/20_tables.sql, from zero. */
enum TaskColumn
{
	TASK_ID,
	TASK_SUBMITTED_AT,
	TASK_RUN_AT,
	TASK_QUEUE_ID,
	TASK_ATTEMPT,
	TASK_MAX_ATTEMPTS,
	TASK_PRIORITY,
	TASK_PAYLOAD,
	TASK_REVIVED_AT,
	TASK_START_BY,
	TASK_TIMEOUT,
	TASK_KEY,
	TASK_KIND,
	TASK_RETRY,
	TASK_METHOD,
	TASK_URL,
	TASK_HEADERS,
	TASK_BODY,
	TASK_NCOLUMNS
};

enum LeaseColumn
{
	LEASE_ID,
	LEASE_TOKEN,
	LEASE_STARTED_AT,
	LEASE_UNTIL,
	LEASE_US,
	LEASE_QUEUE_ID,
	LEASE_ATTEMPT,
	LEASE_CANCEL_REQUESTED,
	LEASE_DEADLINE,
	LEASE_FRACTION,
	LEASE_WORKER,
	LEASE_CANCEL_REASON,
	LEASE_MESSAGE,
	LEASE_NCOLUMNS
};

enum KeyColumn
{
	KEY_QUEUE_ID,
	KEY_KEY,
	KEY_ID,
	KEY_TAKEN_UNTIL,
	KEY_NCOLUMNS
};

/* Of start_limit, whose index is on start_by. */
enum StartColumn
{
	START_BY,
	START_ID,
	START_NCOLUMNS
};

#define ROW_MAX_COLUMNS TASK_NCOLUMNS

/* A row read or to be written.  Its values live in the caller's memory context. */
typedef struct Row
{
	ItemPointerData tid; /* where it was read */
	Datum values[ROW_MAX_COLUMNS];
	bool nulls[ROW_MAX_COLUMNS];
} Row;

#define ROW_INT64(row, column) DatumGetInt64((row)->values[column])
#define ROW_INT32(row, column) DatumGetInt32((row)->values[column])
#define ROW_INT16(row, column) DatumGetInt16((row)->values[column])
#define ROW_TIME(row, column)  DatumGetTimestampTz((row)->values[column])
#define ROW_BOOL(row, column)  DatumGetBool((row)->values[column])

typedef enum RowResult
{
	ROW_DONE,
	ROW_GONE,    /* another transaction has deleted it */
	ROW_CHANGED, /* another transaction has updated it: read it again */
	ROW_BUSY     /* another transaction may be about to; only when not waiting */
} RowResult;

/* A hot table, opened for writing until hot_close(). */
typedef struct HotRelation
{
	HotTable table;
	Relation heap;
	Relation index;
	Oid order; /* of tasks: the index in the order of acquisition */

	/* While row_fetch() looks by one snapshot; else NULL. */
	struct SnapshotData *snapshot;
	struct IndexScanDescData *scan;
	TupleTableSlot *slot;
} HotRelation;

extern void hot_open(HotRelation *r, HotTable table);
extern void hot_close(HotRelation *r);

/* From here on row_fetch() finds what was committed by now, at a lower price for many rows. */
extern void hot_begin_looks(HotRelation *r);
extern void hot_end_looks(HotRelation *r);

/*
 * As heap_form_tuple(), without the NULLs at the end: like a row that is older
 * than these columns, which therefore must not have been added with a default.
 * A row that has no other NULL has no null bitmap either: 8 bytes less in the
 * table and in the log.
 */
extern HeapTuple form_tuple(Relation relation, Datum *values, bool *nulls);

/* Copies what the slot holds into the current memory context. */
extern void row_from_slot(HotRelation *r, TupleTableSlot *slot, Row *row);

/* Sets every column to NULL. */
extern void row_init(Row *row);

/* Sets one column; a NULL text is NULL. */
extern void row_set(Row *row, int column, Datum value);
extern void row_set_text(Row *row, int column, text *value);

/* The row of task or lease with that id, as last committed (or written by this transaction). */
extern bool row_fetch(HotRelation *r, int64 id, Row *row);

/* The same, for one look at a table that is not open. */
extern bool row_read(HotTable table, int64 id, Row *row);

/* Other transactions that are about to insert or delete a row; else invalid. */
typedef struct Hands
{
	TransactionId inserter;
	TransactionId deleter;
} Hands;

/*
 * The row of task or lease with that id as it is now, uncommitted changes of other
 * transactions included: *hands names these transactions.  row may be NULL.
 */
extern bool row_look(HotRelation *r, int64 id, Row *row, Hands *hands);

/*
 * The row at that place as it is now, into a slot of the table, unless another
 * transaction is about to insert or delete it.
 */
extern bool row_at(HotRelation *r, const ItemPointerData *tid, TupleTableSlot *slot);

/* This session will look for the row again: where it is. */
extern void row_remember_place(const HotRelation *r, const Row *row);

/* Calls see() with each row of the table, as last committed, and arg. */
extern void row_for_each(HotTable table, void (*see)(const Row *row, void *arg), void *arg);

/* The same for the rows of one block.  False: the table ends before that block. */
extern bool row_for_each_in_block(HotTable table, BlockNumber block,
								  void (*see)(const Row *row, void *arg), void *arg);

/*
 * Calls see() with the rows of start_limit that have this start_by or a later one, in the order
 * of start_by and tid, until it returns false.
 */
extern void row_for_each_start(TimestampTz from, bool (*see)(const Row *row, void *arg),
							   void *arg);

/* The row of a key that is taken. */
extern bool row_fetch_key(HotRelation *r, int32 queue_id, text *key, Row *row);

extern void row_insert(HotRelation *r, Row *row);

/* The same for many rows; each is palloc'd by itself or part of the caller's struct. */
extern void rows_insert(HotRelation *r, Row **rows, int count);

/*
 * The same into a table whose index is unique, at any isolation level.  False if
 * the row is there already; a transaction that inserts the same row at this moment
 * is waited for.
 */
extern bool row_insert_unique(HotRelation *r, Row *row);

/* Both look at the row as read: no change behind the caller's back is overwritten. */
extern RowResult row_delete(HotRelation *r, const Row *row, bool wait);
extern RowResult row_update(HotRelation *r, Row *row, bool wait);

/* Keeps others from changing the row as read until the transaction ends. */
extern RowResult row_lock(HotRelation *r, const Row *row, LockTupleMode mode, bool wait);

#endif

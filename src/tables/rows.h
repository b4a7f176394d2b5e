/*
 * rows.h
 *		The hot tables (task, lease, key, ...) without planner or executor.
 */
#ifndef TASKQ_ROWS_H
#define TASKQ_ROWS_H

#include "access/htup.h"
#include "executor/tuptable.h"
#include "nodes/lockoptions.h"
#include "storage/itemptr.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

#include "tables/attached.h"

typedef enum HotTable
{
	HOT_TASK,
	HOT_LEASE,
	HOT_KEY,
	HOT_START,
	HOT_PREREQUISITE,
	HOT_WAITING
} HotTable;

/* The columns of sql/20_tables.sql, from zero. */
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
	TASK_ORIGIN,
	TASK_ON_FINISH,
	TASK_ON_DEAD,
	TASK_GROUP_ID, /* NULL: the task has no group */
	TASK_GROUP_KEY,
	TASK_RETRY_AT,
	TASK_DECLINED,
	TASK_TRACE,
	TASK_CALL, /* NULL: the task is no call */
	TASK_NCOLUMNS
};

enum LeaseColumn
{
	LEASE_ID,
	LEASE_TOKEN,
	LEASE_STARTED_AT,
	LEASE_UNTIL,
	LEASE_US,
	LEASE_EXTENDED_AT,
	LEASE_QUEUE_ID,
	LEASE_ATTEMPT,
	LEASE_CANCEL_REQUESTED,
	LEASE_DEADLINE,
	LEASE_FRACTION,
	LEASE_WORKER,
	LEASE_CANCEL_REASON,
	LEASE_MESSAGE,
	LEASE_ON_FINISH,
	LEASE_ON_DEAD,
	LEASE_GROUP_ID,
	LEASE_NCOLUMNS
};

enum KeyColumn
{
	KEY_QUEUE_ID,
	KEY_KEY,
	KEY_ID,
	KEY_TAKEN_UNTIL,
	KEY_HOLD_UNTIL,
	KEY_SINCE,
	KEY_NCOLUMNS
};

/* Of start_limit, whose index is on both. */
enum StartColumn
{
	START_BY,
	START_ID,
	START_NCOLUMNS
};

/* Of prerequisite, whose indexes are prerequisite.h's matter. */
enum PrerequisiteColumn
{
	PREREQUISITE_TASK,
	PREREQUISITE_DEPENDENT,
	PREREQUISITE_STATE,
	PREREQUISITE_NCOLUMNS
};

enum WaitingColumn
{
	WAITING_ID,
	WAITING_CHANGED_AT,
	WAITING_AFTER_FAILURE,
	WAITING_DELAY,
	WAITING_START_WITHIN,
	WAITING_NCOLUMNS
};

#define ROW_MAX_COLUMNS TASK_NCOLUMNS

/* A row that was read or will be written.  Its values live in the caller's memory context. */
typedef struct Row
{
	ItemPointerData tid; /* its place */
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
	ROW_BUSY     /* another open transaction is changing it; only when not waiting */
} RowResult;

/* A hot table, opened for writing until hot_close(). */
typedef struct HotRelation
{
	HotTable table;
	LOCKMODE lock; /* on all of them; a standby only reads */
	Relation heap;
	Relation index;
	Oid order; /* of tasks without a group: in the order of acquisition; of keys: by time; of
				* prerequisites: by dependent */
	Oid group; /* of tasks with a group: by group, in the order of acquisition */
	TableState state;

	/* Between hot_begin_looks() and hot_end_looks(); otherwise NULL. */
	struct SnapshotData *snapshot;
	struct IndexScanDescData *scan;
	TupleTableSlot *slot;
	MemoryContext context; /* in which the scan and the slot were made */
} HotRelation;

extern void hot_open(HotRelation *r, HotTable table);
extern void hot_close(HotRelation *r);

/* From here on row_fetch() uses one snapshot, taken now, which is cheaper for many rows. */
extern void hot_begin_looks(HotRelation *r);
extern void hot_end_looks(HotRelation *r);

/*
 * Like heap_form_tuple(), but leaves out the NULLs at the end, as in a row that is older
 * than these columns; so no such column may have been added with a default.
 * For tables as they were created.
 * A row without other NULLs needs no null bitmap: that saves 8 bytes in the
 * table and in the log.
 */
extern HeapTuple form_tuple(Relation relation, const Datum *values, const bool *nulls);

/* Copies the row in the slot into the current memory context. */
extern void row_from_slot(HotRelation *r, TupleTableSlot *slot, Row *row);

/* Sets every column to NULL. */
extern void row_init(Row *row);

/* Sets one column; a NULL text is NULL. */
extern void row_set(Row *row, int column, Datum value);
extern void row_set_text(Row *row, int column, text *value);

/*
 * The task, lease or row of waiting with that id, as last committed (or as written by this
 * transaction).
 */
extern bool row_fetch(HotRelation *r, int64 id, Row *row);

/* The same for a table that is not open. */
extern bool row_read(HotTable table, int64 id, Row *row);

/*
 * Reads those of these columns that are stored out of line, where a part may be lost.  Returns 0,
 * or the SQLSTATE of the failure.
 */
extern int row_try_read(const Row *row, const int *columns, int count);

/* The other open transactions that have inserted or deleted a row; otherwise invalid. */
typedef struct Hands
{
	TransactionId inserter;
	TransactionId deleter;
} Hands;

/*
 * The task or lease with that id, including uncommitted changes of other transactions:
 * *hands names these transactions.  row may be NULL.
 */
extern bool row_look(HotRelation *r, int64 id, Row *row, Hands *hands);

/*
 * Reads the row at that place into a slot of the table.  False: there is none, or another open
 * transaction has inserted or deleted it.
 */
extern bool row_at(HotRelation *r, const ItemPointerData *tid, TupleTableSlot *slot);

/*
 * Whether another open transaction is deleting the committed row at that place.  If so, the slot
 * holds it.
 */
extern bool row_is_being_deleted(HotRelation *r, const ItemPointerData *tid, TupleTableSlot *slot);

/* Remembers the place of a row that this session will look for again. */
extern void row_remember_place(const HotRelation *r, const Row *row);

/* Calls see() with each row of the table, as last committed, and arg. */
extern void row_for_each(HotTable table, void (*see)(const Row *row, void *arg), void *arg);

/* The same for the rows that other open transactions, also prepared ones, have inserted. */
extern void row_for_each_open(HotTable table, void (*see)(const Row *row, void *arg), void *arg);

/* The same for the rows of one block.  False: the table ends before that block. */
extern bool row_for_each_in_block(HotTable table, BlockNumber block,
								  void (*see)(const Row *row, void *arg), void *arg);

/* Behind this entry of an index by time. */
typedef struct TimePlace
{
	TimestampTz time;
	ItemPointerData tid;
} TimePlace;

/*
 * Reads the next start limits, by start_by, or keys, by taken_until, whose time has come: those
 * behind *place, which moves behind them.  Reads at most max rows, and a limited number of
 * entries, because dead ones may pile up.  Returns the number of rows; *more: there may be
 * others.  Lowers *next to a time before which no other row's time comes.
 */
extern int rows_due(HotTable table, TimePlace *place, TimestampTz now, Row *rows, int max,
					bool *more, TimestampTz *next);

/* The row of a key that is taken. */
extern bool row_fetch_key(HotRelation *r, int32 queue_id, text *key, Row *row);

/* The start limit of a task. */
extern bool row_fetch_start(HotRelation *r, TimestampTz start_by, int64 id, Row *row);

extern void row_insert(HotRelation *r, Row *row);

/*
 * The same for a row that this transaction has deleted from its place, with other values; columns
 * that an administrator has added keep theirs.
 */
extern void row_insert_again(HotRelation *r, Row *row);

/* The same for many rows; each is palloc'd by itself or part of the caller's struct. */
extern void rows_insert(HotRelation *r, Row **rows, int count);

/*
 * The same into a table with a unique index, at any isolation level.  False if the row exists
 * already; waits for an open transaction that has inserted the same row.
 */
extern bool row_insert_unique(HotRelation *r, Row *row);

/* Both act only on the version that was read: they never overwrite another change. */
extern RowResult row_delete(HotRelation *r, const Row *row, bool wait);
extern RowResult row_update(HotRelation *r, Row *row, bool wait);

/* Locks the version that was read: no other transaction can change it until this one ends. */
extern RowResult row_lock(HotRelation *r, const Row *row, LockTupleMode mode, bool wait);

#endif

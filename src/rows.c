/*
 * rows.c
 *		The hot tables, by direct heap and index access.
 *
 * No planner and no executor, for two reasons.  A plan made while a queue is
 * nearly empty becomes a sequential scan and stays one.  And the functions
 * that end an attempt must act on the latest row at every isolation level,
 * where UPDATE and DELETE in a REPEATABLE READ transaction give up.
 *
 * No permission is checked here: EXECUTE on the SQL function was the check.
 */
#include "dispatch.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/nbtree.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

static const struct
{
	const char *heap;
	const char *index;
	int ncolumns;
} hot_tables[] = {
	[HOT_TASK] = {"task", "task_pkey", TASK_NCOLUMNS},
	[HOT_READY] = {"ready", "ready_dispatch", READY_NCOLUMNS},
	[HOT_LEASE] = {"lease", "lease_pkey", LEASE_NCOLUMNS},
	[HOT_KEY] = {"key", "key_pkey", KEY_NCOLUMNS}};

Oid
taskq_find_relation(const char *name)
{
	Oid namespace = get_namespace_oid("taskq", true);

	return OidIsValid(namespace) ? get_relname_relid(name, namespace) : InvalidOid;
}

Oid
taskq_relation(const char *name)
{
	Oid relation = taskq_find_relation(name);

	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"taskq.%s\" does not exist", name),
				 errdetail("The extension taskq was dropped or is damaged."),
				 errhint("Run CREATE EXTENSION taskq.")));
	return relation;
}

/* Those that have been looked up and not been changed since. */
static struct
{
	Oid heap;
	Oid index;
} hot_oids[lengthof(hot_tables)];

static void
forget_relation(Datum arg, Oid relation)
{
	for (int i = 0; i < (int) lengthof(hot_oids); i++)
	{
		if (relation == InvalidOid || relation == hot_oids[i].heap ||
			relation == hot_oids[i].index)
			hot_oids[i].heap = InvalidOid;
	}
}

/* Every call holds a lock that keeps the extension from being dropped: see queue.c. */
static void
find_hot_table(HotTable table)
{
	static bool registered = false;

	if (!registered)
		CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
	registered = true;
	hot_oids[table].index = taskq_relation(hot_tables[table].index);
	hot_oids[table].heap = taskq_relation(hot_tables[table].heap);
}

void
hot_open(HotRelation *r, HotTable table)
{
	if (!OidIsValid(hot_oids[table].heap))
		find_hot_table(table);
	r->table = table;
	r->snapshot = NULL;
	r->scan = NULL;
	r->slot = NULL;
	r->heap = table_open(hot_oids[table].heap, RowExclusiveLock);
	r->index = index_open(hot_oids[table].index, RowExclusiveLock);
	if (RelationGetNumberOfAttributes(r->heap) != hot_tables[table].ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table taskq.%s is not the one this library was built for",
						hot_tables[table].heap),
				 errdetail("The library and the extension's objects are of different versions."),
				 errhint("Run ALTER EXTENSION taskq UPDATE.")));
}

/* The locks stay until the transaction ends. */
void
hot_close(HotRelation *r)
{
	index_close(r->index, NoLock);
	table_close(r->heap, NoLock);
}

void
hot_begin_looks(HotRelation *r)
{
	r->snapshot = RegisterSnapshot(GetLatestSnapshot());
	r->slot = table_slot_create(r->heap, NULL);
	r->scan = index_beginscan_compat(r->heap, r->index, r->snapshot, 1);
}

void
hot_end_looks(HotRelation *r)
{
	index_endscan(r->scan);
	ExecDropSingleTupleTableSlot(r->slot);
	UnregisterSnapshot(r->snapshot);
	r->snapshot = NULL;
}

void
row_init(Row *row)
{
	ItemPointerSetInvalid(&row->tid);
	memset(row->values, 0, sizeof(row->values));
	memset(row->nulls, true, sizeof(row->nulls));
}

void
row_set(Row *row, int column, Datum value)
{
	row->nulls[column] = false;
	row->values[column] = value;
}

void
row_set_text(Row *row, int column, text *value)
{
	row->nulls[column] = value == NULL;
	row->values[column] = PointerGetDatum(value);
}

/* Copies what the slot holds into the current memory context. */
static void
read_slot(HotRelation *r, TupleTableSlot *slot, Row *row)
{
	HeapTuple tuple = ExecCopySlotHeapTuple(slot);

	row->tid = slot->tts_tid;
	heap_deform_tuple(tuple, RelationGetDescr(r->heap), row->values, row->nulls);
}

/*
 * Whether the block is in the file.  A length that was known since the last
 * truncation still is one: truncating takes a stronger lock than ours, and
 * makes everybody forget what he knew.
 */
static bool
has_block(Relation heap, BlockNumber block)
{
	BlockNumber known = RelationGetSmgr(heap)->smgr_cached_nblocks[MAIN_FORKNUM];

	return (known != InvalidBlockNumber && block < known) ||
		   block < RelationGetNumberOfBlocks(heap);
}

/* The row at tid, if there is a committed one (or our own) that nobody has deleted. */
static bool
fetch_at(HotRelation *r, const ItemPointerData *tid, Row *row)
{
	ItemPointerData place = *tid;
	TupleTableSlot *slot;
	bool found;

	if (!has_block(r->heap, ItemPointerGetBlockNumber(tid)))
		return false;
	slot = table_slot_create(r->heap, NULL);
	found = table_tuple_fetch_row_version(r->heap, &place, SnapshotSelf, slot);
	if (found)
	{
		read_slot(r, slot, row);
		/* As an index scan does, so that the next update finds room in the page. */
		heap_page_prune_opt(r->heap, ((BufferHeapTupleTableSlot *) slot)->buffer);
	}
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

/*
 * Where this session has last seen tasks and leases: what it claimed it mostly
 * ends, too, and needs no index to find it.  A hint: the row says what it is.
 */
#define NPLACES 256

typedef struct Place
{
	int64 id;
	ItemPointerData tid;
} Place;

static Place places[lengthof(hot_tables)][NPLACES];

static Place *
place_of(HotTable table, int64 id)
{
	return &places[table][(uint64) id % NPLACES];
}

static void
remember_place(const HotRelation *r, const Row *row, ItemPointerData tid)
{
	/* Tasks and leases begin with their id. */
	if (r->table == HOT_TASK || r->table == HOT_LEASE)
		*place_of(r->table, ROW_INT64(row, 0)) = (Place){ROW_INT64(row, 0), tid};
}

/* The first row that the keys find in the latest snapshot. */
static bool
fetch_by_keys(HotRelation *r, ScanKey keys, int nkeys, Row *row)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(r->heap, NULL);
	IndexScanDesc scan = index_beginscan_compat(r->heap, r->index, snapshot, nkeys);
	bool found;

	index_rescan(scan, keys, nkeys, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	if (found)
		read_slot(r, slot, row);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	return found;
}

static bool
fetch_by_id(HotRelation *r, int64 id, Row *row)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	if (r->snapshot == NULL)
		return fetch_by_keys(r, &key, 1, row);
	index_rescan(r->scan, &key, 1, NULL, 0);
	if (!index_getnext_slot(r->scan, ForwardScanDirection, r->slot))
		return false;
	read_slot(r, r->slot, row);
	return true;
}

bool
row_fetch(HotRelation *r, int64 id, Row *row)
{
	const Place *place = place_of(r->table, id);

	if (place->id == id && ItemPointerIsValid(&place->tid) && fetch_at(r, &place->tid, row) &&
		ROW_INT64(row, 0) == id)
		return true;
	if (!fetch_by_id(r, id, row))
		return false;
	remember_place(r, row, row->tid);
	return true;
}

bool
row_read(HotTable table, int64 id, Row *row)
{
	HotRelation r;
	bool found;

	hot_open(&r, table);
	found = row_fetch(&r, id, row);
	hot_close(&r);
	return found;
}

void
row_for_each(HotTable table, void (*see)(const Row *row, void *arg), void *arg)
{
	HotRelation r;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot;
	TableScanDesc scan;
	Row row;

	hot_open(&r, table);
	slot = table_slot_create(r.heap, NULL);
	scan = table_beginscan(r.heap, snapshot, 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		read_slot(&r, slot, &row);
		see(&row, arg);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	hot_close(&r);
}

bool
row_fetch_ready(HotRelation *r, const Row *task, Row *ready)
{
	ScanKeyData keys[4];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, task->values[TASK_QUEUE_ID]);
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT2EQ, task->values[TASK_PRIORITY]);
	ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_TIMESTAMPTZ_EQ, task->values[TASK_RUN_AT]);
	ScanKeyInit(&keys[3], 4, BTEqualStrategyNumber, F_INT8EQ, task->values[TASK_ID]);
	return fetch_by_keys(r, keys, 4, ready);
}

bool
row_fetch_key(HotRelation *r, int32 queue_id, text *key, Row *row)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(queue_id));
	ScanKeyEntryInitialize(&keys[1], 0, 2, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID,
						   F_TEXTEQ, PointerGetDatum(key));
	return fetch_by_keys(r, keys, 2, row);
}

/* As INSERT ... ON CONFLICT DO NOTHING, without objecting to rows the snapshot does not show. */
static bool
insert_speculatively(ResultRelInfo *target, EState *estate, TupleTableSlot *slot, List *arbiter)
{
	TransactionId xid;
	ItemPointerData other;
	uint32 token;
	bool conflict = false;

	if (!compat_check_index_constraints(target, slot, estate, &other, arbiter))
		return false;
	xid = GetCurrentTransactionId();
	token = SpeculativeInsertionLockAcquire(xid);
	table_tuple_insert_speculative(target->ri_RelationDesc, slot, GetCurrentCommandId(true), 0,
								   NULL, token);
	compat_insert_index_tuples(target, slot, estate, &conflict, arbiter);
	table_tuple_complete_speculative(target->ri_RelationDesc, slot, token, !conflict);
	SpeculativeInsertionLockRelease(xid);
	return !conflict;
}

bool
row_insert_unique(HotRelation *r, Row *row)
{
	EState *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slot = table_slot_create(r->heap, NULL);
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(r->heap), row->values, row->nulls);
	bool inserted;

	InitResultRelInfo(target, r->heap, 1, NULL, 0);
	ExecOpenIndices(target, true);
	ExecForceStoreHeapTuple(tuple, slot, false);
	inserted = insert_speculatively(target, estate, slot,
									list_make1_oid(RelationGetRelid(r->index)));
	row->tid = slot->tts_tid;
	ExecCloseIndices(target);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	return inserted;
}

/* The one index that a hot table comes with is of plain columns: its entry is put in directly. */
static void
insert_index_entry(HotRelation *r, Row *row, struct IndexInfo *info)
{
	Relation index = r->index;
	Datum values[INDEX_MAX_KEYS];
	bool nulls[INDEX_MAX_KEYS];

	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		int column = index->rd_index->indkey.values[i] - 1;

		values[i] = row->values[column];
		nulls[i] = row->nulls[column];
	}
	(void) index_insert(index, values, nulls, &row->tid, r->heap,
						index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false,
						info);
}

/* Else an administrator has added one of another kind. */
static bool
has_own_index_only(HotRelation *r)
{
	List *indexes = RelationGetIndexList(r->heap);
	bool own = list_length(indexes) == 1 && linitial_oid(indexes) == RelationGetRelid(r->index);

	list_free(indexes);
	return own;
}

static void
insert_tuple(HotRelation *r, Row *row, HeapTuple tuple)
{
	if (has_own_index_only(r))
	{
		simple_heap_insert(r->heap, tuple);
		row->tid = tuple->t_self;
		insert_index_entry(r, row, BuildIndexInfo(r->index));
	}
	else
	{
		CatalogTupleInsert(r->heap, tuple);
		row->tid = tuple->t_self;
	}
}

/* expiry.c has to know of every lease. */
static void
note_lease(const HotRelation *r, const Row *row, bool gone)
{
	if (r->table == HOT_LEASE)
		expiry_note(row, gone);
}

void
row_insert(HotRelation *r, Row *row)
{
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(r->heap), row->values, row->nulls);

	insert_tuple(r, row, tuple);
	heap_freetuple(tuple);
	remember_place(r, row, row->tid);
	note_lease(r, row, false);
}

static void
insert_together(HotRelation *r, Row **rows, int count)
{
	TupleTableSlot **slots = palloc_array(TupleTableSlot *, count);
	struct IndexInfo *info = BuildIndexInfo(r->index);

	for (int i = 0; i < count; i++)
	{
		slots[i] = MakeSingleTupleTableSlot(RelationGetDescr(r->heap), &TTSOpsHeapTuple);
		ExecStoreHeapTuple(heap_form_tuple(RelationGetDescr(r->heap), rows[i]->values,
										   rows[i]->nulls),
						   slots[i], true);
	}
	heap_multi_insert(r->heap, slots, count, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < count; i++)
	{
		rows[i]->tid = slots[i]->tts_tid;
		insert_index_entry(r, rows[i], info);
		remember_place(r, rows[i], rows[i]->tid);
		note_lease(r, rows[i], false);
		ExecDropSingleTupleTableSlot(slots[i]);
	}
	pfree(slots);
}

void
rows_insert(HotRelation *r, Row **rows, int count)
{
	if (count > 1 && has_own_index_only(r))
	{
		insert_together(r, rows, count);
		return;
	}
	for (int i = 0; i < count; i++)
		row_insert(r, rows[i]);
}

/*
 * Nobody may be about to insert or delete the row, and its block may be gone:
 * vacuum gives empty ones at the end back.
 */
static bool
fetch_candidate(HotRelation *r, const Candidate *c, TupleTableSlot *slot, Row *row)
{
	ItemPointerData tid = c->tid;
	SnapshotData dirty;

	InitDirtySnapshot(dirty);
	if (!has_block(r->heap, ItemPointerGetBlockNumber(&tid)) ||
		!table_tuple_fetch_row_version(r->heap, &tid, &dirty, slot) ||
		TransactionIdIsValid(dirty.xmin) || TransactionIdIsValid(dirty.xmax))
		return false;
	read_slot(r, slot, row);
	return ROW_INT64(row, READY_ID) == c->id && ROW_TIME(row, READY_RUN_AT) == c->run_at &&
		   ROW_INT16(row, READY_PRIORITY) == c->priority;
}

bool
ready_fetch(HotRelation *r, const Candidate *c, Row *row)
{
	TupleTableSlot *slot = table_slot_create(r->heap, NULL);
	bool found = fetch_candidate(r, c, slot, row);

	ExecDropSingleTupleTableSlot(slot);
	return found;
}

bool
ready_is_there(HotRelation *r, const Candidate *c)
{
	Row row;

	return ready_fetch(r, c, &row);
}

static Candidate
candidate_of(const Row *ready)
{
	return (Candidate){
		.run_at = ROW_TIME(ready, READY_RUN_AT),
		.id = ROW_INT64(ready, READY_ID),
		.tid = ready->tid,
		.priority = ROW_INT16(ready, READY_PRIORITY),
	};
}

void
ready_insert(HotRelation *r, Row *row)
{
	Candidate c;

	row_insert(r, row);
	stats_pending(ROW_INT32(row, READY_QUEUE_ID), 1);
	c = candidate_of(row);
	dispatch_inserted(r->heap, ROW_INT32(row, READY_QUEUE_ID), &c);
}

RowResult
ready_delete(HotRelation *r, const Row *row, bool wait, bool known)
{
	Candidate c = candidate_of(row);
	RowResult result = row_delete(r, row, wait);

	if (result != ROW_DONE)
		return result;
	stats_pending(ROW_INT32(row, READY_QUEUE_ID), -1);
	if (!known)
		dispatch_taken(r->heap, ROW_INT32(row, READY_QUEUE_ID), &c);
	return result;
}

static RowResult
row_result(TM_Result result)
{
	switch (result)
	{
		case TM_Ok:
			return ROW_DONE;
		case TM_Deleted:
		case TM_SelfModified:
			return ROW_GONE;
		case TM_Updated:
			return ROW_CHANGED;
		case TM_BeingModified:
		case TM_WouldBlock:
			return ROW_BUSY;
		default:
			elog(ERROR, "unexpected result %d of a row operation", result);
	}
	return ROW_GONE; /* not reached */
}

RowResult
row_delete(HotRelation *r, const Row *row, bool wait)
{
	TM_FailureData failure;
	ItemPointerData tid = row->tid;
	RowResult result;

	result = row_result(table_tuple_delete(r->heap, &tid, GetCurrentCommandId(true),
										   InvalidSnapshot, InvalidSnapshot, wait, &failure,
										   false));
	if (result == ROW_DONE)
		note_lease(r, row, true);
	return result;
}

RowResult
row_update(HotRelation *r, const Row *row, bool wait)
{
	TM_FailureData failure;
	ItemPointerData tid = row->tid;
	TupleTableSlot *slot = table_slot_create(r->heap, NULL);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	RowResult result;

	/* Locked first: the update itself treats a changed row as an internal error. */
	result = row_result(table_tuple_lock(r->heap, &tid, snapshot, slot, GetCurrentCommandId(false),
										 LockTupleNoKeyExclusive,
										 wait ? LockWaitBlock : LockWaitSkip, 0, &failure));
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	if (result == ROW_DONE)
	{
		HeapTuple tuple = heap_form_tuple(RelationGetDescr(r->heap),
										  (Datum *) row->values,
										  (bool *) row->nulls);

		CatalogTupleUpdate(r->heap, &tid, tuple);
		remember_place(r, row, tuple->t_self);
		heap_freetuple(tuple);
		note_lease(r, row, false);
	}
	return result;
}

/*
 * One lane: the ready rows of (queue, priority) up to now.  Its first row may
 * belong to a lower lane (a greater priority value); *priority says which.
 * False when take() wants no more; *future becomes the lane's next run_at.
 */
static bool
walk_lane(HotRelation *r, IndexScanDesc scan, TupleTableSlot *slot, int16 *priority,
		  TimestampTz now, TimestampTz *future, ReadyTaker take, void *arg)
{
	bool first = true;
	Row row;

	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		read_slot(r, slot, &row);
		if (first)
			*priority = ROW_INT16(&row, READY_PRIORITY);
		first = false;
		if (ROW_INT16(&row, READY_PRIORITY) != *priority)
			return true; /* the lane ends here */
		if (ROW_TIME(&row, READY_RUN_AT) > now)
		{
			*future = ROW_TIME(&row, READY_RUN_AT);
			return true;
		}
		if (!take(r, &row, arg))
			return false;
	}
	if (first)
		*priority = PG_INT16_MAX; /* no lane is left */
	return true;
}

TimestampTz
ready_walk(HotRelation *r, int32 queue_id, TimestampTz now, ReadyTaker take, void *arg)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(r->heap, NULL);
	IndexScanDesc scan = index_beginscan_compat(r->heap, r->index, snapshot, 2);
	TimestampTz next_due = DT_NOEND;
	int16 priority = PG_INT16_MIN;
	bool more = true;

	while (more && priority < PG_INT16_MAX)
	{
		ScanKeyData keys[2];
		TimestampTz future = DT_NOEND;

		ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(queue_id));
		ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_INT2GT, Int16GetDatum(priority));
		index_rescan(scan, keys, 2, NULL, 0);
		more = walk_lane(r, scan, slot, &priority, now, &future, take, arg);
		next_due = Min(next_due, future);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	return next_due;
}

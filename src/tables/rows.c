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
#include "postgres.h"

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
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "tables/rows.h"

static const struct
{
	const char *heap;
	const char *index;
	const char *order; /* a second index, or NULL */
	int ncolumns;
} hot_tables[] = {
	[HOT_TASK] = {"task", "task_pkey", "task_dispatch", TASK_NCOLUMNS},
	[HOT_LEASE] = {"lease", "lease_pkey", NULL, LEASE_NCOLUMNS},
	[HOT_KEY] = {"key", "key_pkey", NULL, KEY_NCOLUMNS}};

/* The hot tables that were looked up and have not been changed since. */
static struct
{
	Oid heap;
	Oid index;
	Oid order;
} hot_oids[lengthof(hot_tables)];

static void
forget_relation(Datum arg, Oid relation)
{
	for (int i = 0; i < (int) lengthof(hot_oids); i++)
	{
		if (relation == InvalidOid || relation == hot_oids[i].heap ||
			relation == hot_oids[i].index || relation == hot_oids[i].order)
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
	hot_oids[table].index = catalog_relation(hot_tables[table].index);
	hot_oids[table].order = hot_tables[table].order != NULL
								? catalog_relation(hot_tables[table].order)
								: InvalidOid;
	hot_oids[table].heap = catalog_relation(hot_tables[table].heap);
}

void
hot_open(HotRelation *r, HotTable table)
{
	if (!OidIsValid(hot_oids[table].heap))
		find_hot_table(table);
	r->table = table;
	r->order = hot_oids[table].order;
	r->snapshot = NULL;
	r->scan = NULL;
	r->slot = NULL;
	r->heap = table_open(hot_oids[table].heap, RowExclusiveLock);
	r->index = index_open(hot_oids[table].index, RowExclusiveLock);
	if (RelationGetNumberOfAttributes(r->heap) != hot_tables[table].ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s.%s is not the one this library was built for",
						TASKQ_PRIVATE_SCHEMA, hot_tables[table].heap),
				 errdetail("The library and the extension's objects are of different versions."),
				 errhint("Install the library of the same version and restart the server.")));
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

void
row_from_slot(HotRelation *r, TupleTableSlot *slot, Row *row)
{
	HeapTuple tuple = ExecCopySlotHeapTuple(slot);

	row->tid = slot->tts_tid;
	heap_deform_tuple(tuple, RelationGetDescr(r->heap), row->values, row->nulls);
}

/*
 * Whether the block is in the file.  A length that this session has read since the last
 * truncation is still right: a truncation takes a lock that excludes ours, and
 * makes every session forget the length.
 */
static bool
has_block(Relation heap, BlockNumber block)
{
	BlockNumber known = RelationGetSmgr(heap)->smgr_cached_nblocks[MAIN_FORKNUM];

	return (known != InvalidBlockNumber && block < known) ||
		   block < RelationGetNumberOfBlocks(heap);
}

/*
 * Where this session has last seen tasks and leases.  A session mostly ends what it has
 * claimed, and finds it here without the index.  It is a hint: the row says which it is.
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

void
row_remember_place(const HotRelation *r, const Row *row)
{
	/* Tasks and leases begin with their id. */
	if (r->table == HOT_TASK || r->table == HOT_LEASE)
		*place_of(r->table, ROW_INT64(row, 0)) = (Place){ROW_INT64(row, 0), row->tid};
}

/* At that place may be an older version of a row that was updated within its page. */
static bool
follow(HotRelation *r, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot)
{
	IndexFetchTableData *fetch = table_index_fetch_begin(r->heap);
	bool again = false;
	bool found = table_index_fetch_tuple(fetch, tid, snapshot, slot, &again, NULL);

	table_index_fetch_end(fetch);
	return found;
}

/* A row that is being deleted points to itself; a row that is being updated points elsewhere. */
static bool
is_being_updated(TupleTableSlot *slot)
{
	HeapTuple tuple = ((BufferHeapTupleTableSlot *) slot)->base.tuple;

	return !ItemPointerEquals(&tuple->t_self, &tuple->t_data->t_ctid);
}

bool
row_at(HotRelation *r, const ItemPointerData *tid, TupleTableSlot *slot)
{
	ItemPointerData place = *tid;
	SnapshotData dirty;

	InitDirtySnapshot(dirty);
	if (has_block(r->heap, ItemPointerGetBlockNumber(tid)) &&
		(table_tuple_fetch_row_version(r->heap, &place, &dirty, slot) ||
		 follow(r, &place, &dirty, slot)) &&
		!TransactionIdIsValid(dirty.xmin) &&
		(!TransactionIdIsValid(dirty.xmax) || is_being_updated(slot)))
		return true;
	ExecClearTuple(slot);
	return false;
}

/* The row at tid, if it is committed (or of this transaction) and not deleted. */
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
		row_from_slot(r, slot, row);
		/* An index scan does this as well: the next heartbeat finds room in the page. */
		if (r->table == HOT_LEASE)
			heap_page_prune_opt(r->heap, ((BufferHeapTupleTableSlot *) slot)->buffer);
	}
	ExecDropSingleTupleTableSlot(slot);
	return found;
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
		row_from_slot(r, slot, row);
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
	row_from_slot(r, r->slot, row);
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
	row_remember_place(r, row);
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

bool
row_look(HotRelation *r, int64 id, Row *row, Hands *hands)
{
	SnapshotData dirty;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	ScanKeyData key;
	ItemPointer tid;
	bool any = false;
	bool found = false;
	Row other;

	InitDirtySnapshot(dirty);
	slot = table_slot_create(r->heap, NULL);
	scan = index_beginscan_compat(r->heap, r->index, &dirty, 1);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	index_rescan(scan, &key, 1, NULL, 0);
	while (!found && (tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		any = true;
		found = index_fetch_heap(scan, slot);
	}
	hands->inserter = found ? dirty.xmin : InvalidTransactionId;
	hands->deleter = found ? dirty.xmax : InvalidTransactionId;
	if (found && row != NULL)
		row_from_slot(r, slot, row);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	/* A row that has moved between the looks at index and table shows in a later snapshot. */
	return found || (any && fetch_by_id(r, id, row != NULL ? row : &other));
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
		row_from_slot(&r, slot, &row);
		see(&row, arg);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	hot_close(&r);
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

HeapTuple
form_tuple(Relation relation, Datum *values, bool *nulls)
{
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(relation), values, nulls);
	HeapTupleHeader header = tuple->t_data;
	Size length = tuple->t_len - header->t_hoff;
	char *data = (char *) header + header->t_hoff;
	int ncolumns = RelationGetNumberOfAttributes(relation);
	Size offset;

	while (ncolumns > 1 && nulls[ncolumns - 1])
		ncolumns--;
	HeapTupleHeaderSetNatts(header, ncolumns);
	if (memchr(nulls, 1, ncolumns) == NULL)
		header->t_infomask &= ~HEAP_HASNULL;
	offset = MAXALIGN(SizeofHeapTupleHeader +
					  (HeapTupleHasNulls(tuple) ? BITMAPLEN(ncolumns) : 0));
	memmove((char *) header + offset, data, length);
	header->t_hoff = offset;
	tuple->t_len = offset + length;
	return tuple;
}

/* As INSERT ... ON CONFLICT DO NOTHING, which fails for rows that the snapshot does not show. */
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
	HeapTuple tuple = form_tuple(r->heap, row->values, row->nulls);
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

/* The indexes that hot tables come with have plain columns: entries are inserted directly. */
static void
insert_index_entry(HotRelation *r, Relation index, Row *row, struct IndexInfo *info)
{
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

static void
insert_index_entries(HotRelation *r, Row **rows, int count)
{
	struct IndexInfo *info = BuildIndexInfo(r->index);
	Relation order;

	for (int i = 0; i < count; i++)
		insert_index_entry(r, r->index, rows[i], info);
	if (!OidIsValid(r->order))
		return;
	order = index_open(r->order, RowExclusiveLock);
	info = BuildIndexInfo(order);
	for (int i = 0; i < count; i++)
		insert_index_entry(r, order, rows[i], info);
	index_close(order, NoLock);
}

/* False: an administrator has added an index, perhaps of another kind. */
static bool
has_own_indexes_only(HotRelation *r)
{
	List *indexes = RelationGetIndexList(r->heap);
	int own = OidIsValid(r->order) ? 2 : 1;
	bool only = list_length(indexes) == own;

	list_free(indexes);
	return only;
}

static void
insert_tuple(HotRelation *r, Row *row, HeapTuple tuple)
{
	if (has_own_indexes_only(r))
	{
		simple_heap_insert(r->heap, tuple);
		row->tid = tuple->t_self;
		insert_index_entries(r, &row, 1);
	}
	else
	{
		CatalogTupleInsert(r->heap, tuple);
		row->tid = tuple->t_self;
	}
}

void
row_insert(HotRelation *r, Row *row)
{
	HeapTuple tuple = form_tuple(r->heap, row->values, row->nulls);

	insert_tuple(r, row, tuple);
	heap_freetuple(tuple);
	row_remember_place(r, row);
}

static void
insert_together(HotRelation *r, Row **rows, int count)
{
	TupleTableSlot **slots = palloc_array(TupleTableSlot *, count);

	for (int i = 0; i < count; i++)
	{
		slots[i] = MakeSingleTupleTableSlot(RelationGetDescr(r->heap), &TTSOpsHeapTuple);
		ExecStoreHeapTuple(form_tuple(r->heap, rows[i]->values, rows[i]->nulls), slots[i], true);
	}
	heap_multi_insert(r->heap, slots, count, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < count; i++)
		rows[i]->tid = slots[i]->tts_tid;
	insert_index_entries(r, rows, count);
	for (int i = 0; i < count; i++)
	{
		row_remember_place(r, rows[i]);
		ExecDropSingleTupleTableSlot(slots[i]);
	}
	pfree(slots);
}

void
rows_insert(HotRelation *r, Row **rows, int count)
{
	if (count > 1 && has_own_indexes_only(r))
	{
		insert_together(r, rows, count);
		return;
	}
	for (int i = 0; i < count; i++)
		row_insert(r, rows[i]);
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

	return row_result(table_tuple_delete(r->heap, &tid, GetCurrentCommandId(true), InvalidSnapshot,
										 InvalidSnapshot, wait, &failure, false));
}

RowResult
row_lock(HotRelation *r, const Row *row, LockTupleMode mode, bool wait)
{
	TM_FailureData failure;
	ItemPointerData tid = row->tid;
	TupleTableSlot *slot = table_slot_create(r->heap, NULL);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	RowResult result;

	result = row_result(table_tuple_lock(r->heap, &tid, snapshot, slot, GetCurrentCommandId(false),
										 mode,
										 wait ? LockWaitBlock : LockWaitSkip, 0, &failure));
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	return result;
}

RowResult
row_update(HotRelation *r, Row *row, bool wait)
{
	/* The update itself would treat a changed row as an internal error, so lock it first. */
	RowResult result = row_lock(r, row, LockTupleNoKeyExclusive, wait);
	ItemPointerData tid = row->tid;

	if (result == ROW_DONE)
	{
		HeapTuple tuple = form_tuple(r->heap, row->values, row->nulls);

		CatalogTupleUpdate(r->heap, &tid, tuple);
		row->tid = tuple->t_self;
		row_remember_place(r, row);
		heap_freetuple(tuple);
	}
	return result;
}

/*
 * rows.c
 *		The hot tables, by direct heap and index access.
 *
 * The hot tables are used without planner and executor, for two reasons.  A plan that is made
 * while a queue is nearly empty becomes a sequential scan and stays one.  And the functions
 * that end an attempt must act on the latest row at every isolation level,
 * while UPDATE and DELETE fail in a REPEATABLE READ transaction.
 *
 * No privilege is checked here: the callers have checked it.
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
#include "catalog/pg_collation.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/subxact.h"
#include "tables/extended.h"
#include "tables/rows.h"

static const struct
{
	const char *heap;
	const char *index;
	const char *order; /* a second index, or NULL */
	const char *group; /* the index of the rows that are not in the second one, or NULL */
	int ncolumns;
} hot_tables[] = {
	[HOT_TASK] = {"task", "task_pkey", "task_dispatch", "task_group", TASK_NCOLUMNS},
	[HOT_LEASE] = {"lease", "lease_pkey", NULL, NULL, LEASE_NCOLUMNS},
	[HOT_KEY] = {"key", "key_pkey", "key_expiry", NULL, KEY_NCOLUMNS},
	[HOT_START] = {"start_limit", "start_limit_order", NULL, NULL, START_NCOLUMNS},
	[HOT_PREREQUISITE] = {"prerequisite", "prerequisite_pkey", "prerequisite_dependent", NULL,
						  PREREQUISITE_NCOLUMNS},
	[HOT_WAITING] = {"waiting", "waiting_pkey", NULL, NULL, WAITING_NCOLUMNS}};

StaticAssertDecl((int) HOT_TASK == TABLE_TASK && (int) HOT_LEASE == TABLE_LEASE &&
					 (int) HOT_KEY == TABLE_KEY && (int) HOT_START == TABLE_START_LIMIT &&
					 (int) HOT_PREREQUISITE == TABLE_PREREQUISITE &&
					 (int) HOT_WAITING == TABLE_WAITING,
				 "a hot table is a private table of the same number");
StaticAssertDecl(TASK_NCOLUMNS == TASK_COLUMNS && LEASE_NCOLUMNS == LEASE_COLUMNS,
				 "attached.c knows all columns");
StaticAssertDecl(TASK_GROUP_ID + 1 == TASK_GROUP_ID_NUMBER, "attached.c knows the partial indexes");

/* The oids of hot tables that were looked up and not invalidated since. */
static struct
{
	Oid heap;
	Oid index;
	Oid order;
	Oid group;
	bool valid;
} hot_oids[lengthof(hot_tables)];

static void
forget_relation(Datum arg, Oid relation)
{
	for (int i = 0; i < (int) lengthof(hot_oids); i++)
	{
		if (relation == InvalidOid || relation == hot_oids[i].heap ||
			relation == hot_oids[i].index || relation == hot_oids[i].order ||
			relation == hot_oids[i].group)
			hot_oids[i].valid = false;
	}
}

static Oid
relation_if_any(const char *name)
{
	return name != NULL ? catalog_relation(name) : InvalidOid;
}

/* Every call holds a lock against DROP EXTENSION, so the oids stay valid: see queue.c. */
static void
find_hot_table(HotTable table)
{
	static bool registered = false;

	if (!registered)
		CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
	registered = true;
	hot_oids[table].valid = true;
	hot_oids[table].heap = catalog_relation(hot_tables[table].heap);
	hot_oids[table].index = catalog_relation(hot_tables[table].index);
	hot_oids[table].order = relation_if_any(hot_tables[table].order);
	hot_oids[table].group = relation_if_any(hot_tables[table].group);
}

void
hot_open(HotRelation *r, HotTable table)
{
	if (!hot_oids[table].valid)
		find_hot_table(table);
	r->table = table;
	r->snapshot = NULL;
	r->scan = NULL;
	r->slot = NULL;
	r->lock = RecoveryInProgress() ? AccessShareLock : RowExclusiveLock;
	r->heap = table_open(hot_oids[table].heap, r->lock);
	/* The lock brings news of changes: REINDEX CONCURRENTLY makes other indexes. */
	while (!hot_oids[table].valid)
		find_hot_table(table);
	r->order = hot_oids[table].order;
	r->group = hot_oids[table].group;
	r->index = index_open(hot_oids[table].index, r->lock);
	r->state = table_state(r->heap, (PrivateTable) table);
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
	r->context = CurrentMemoryContext;
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

/* Of a table to which an administrator has added columns. */
static void
deform_own_columns(HotRelation *r, HeapTuple tuple, Row *row)
{
	int ncolumns = hot_tables[r->table].ncolumns;
	Datum *values = palloc_array(Datum, RelationGetNumberOfAttributes(r->heap));
	bool *nulls = palloc_array(bool, RelationGetNumberOfAttributes(r->heap));

	heap_deform_tuple(tuple, RelationGetDescr(r->heap), values, nulls);
	memcpy(row->values, values, ncolumns * sizeof(Datum));
	memcpy(row->nulls, nulls, ncolumns * sizeof(bool));
	pfree(values);
	pfree(nulls);
}

void
row_from_slot(HotRelation *r, TupleTableSlot *slot, Row *row)
{
	HeapTuple tuple = ExecCopySlotHeapTuple(slot);

	row->tid = slot->tts_tid;
	if (RelationGetNumberOfAttributes(r->heap) == hot_tables[r->table].ncolumns)
		heap_deform_tuple(tuple, RelationGetDescr(r->heap), row->values, row->nulls);
	else
		deform_own_columns(r, tuple, row);
}

/*
 * Whether the file has the block.  The length that this session remembers is never too great:
 * a truncation takes a lock that conflicts with ours, and makes every session forget the
 * length.
 */
static bool
has_block(Relation heap, BlockNumber block)
{
	BlockNumber known = RelationGetSmgr(heap)->smgr_cached_nblocks[MAIN_FORKNUM];

	return (known != InvalidBlockNumber && block < known) ||
		   block < RelationGetNumberOfBlocks(heap);
}

/*
 * The places where this session has last seen tasks and leases.  A session mostly ends the tasks
 * that it has claimed, and finds them here without the index.  A place is a hint: the id in the
 * row decides.
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
	/* The first column of tasks and leases is the id. */
	if (r->table == HOT_TASK || r->table == HOT_LEASE)
		*place_of(r->table, ROW_INT64(row, 0)) = (Place){ROW_INT64(row, 0), row->tid};
}

/* Follows the versions of a row that was updated within its page; tid may be an older one. */
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

/* The row at tid, or its version that is there now, also one of an open transaction. */
static bool
fetch_dirty(HotRelation *r, const ItemPointerData *tid, SnapshotData *dirty, TupleTableSlot *slot)
{
	ItemPointerData place = *tid;

	InitDirtySnapshot(*dirty);
	return has_block(r->heap, ItemPointerGetBlockNumber(tid)) &&
		   (table_tuple_fetch_row_version(r->heap, &place, dirty, slot) ||
			follow(r, &place, dirty, slot));
}

bool
row_at(HotRelation *r, const ItemPointerData *tid, TupleTableSlot *slot)
{
	SnapshotData dirty;

	if (fetch_dirty(r, tid, &dirty, slot) && !TransactionIdIsValid(dirty.xmin) &&
		(!TransactionIdIsValid(dirty.xmax) || is_being_updated(slot)))
		return true;
	ExecClearTuple(slot);
	return false;
}

bool
row_is_being_deleted(HotRelation *r, const ItemPointerData *tid, TupleTableSlot *slot)
{
	SnapshotData dirty;

	if (fetch_dirty(r, tid, &dirty, slot) && !TransactionIdIsValid(dirty.xmin) &&
		TransactionIdIsValid(dirty.xmax))
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
		/* Like an index scan: prunes the page, so that the next heartbeat finds room in it. */
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

/* A scan allocates memory when it first needs it, such as at the first dead entry, and keeps it. */
static bool
scan_for(HotRelation *r, ScanKey key)
{
	MemoryContext old = MemoryContextSwitchTo(r->context);
	bool found;

	index_rescan(r->scan, key, 1, NULL, 0);
	found = index_getnext_slot(r->scan, ForwardScanDirection, r->slot);
	MemoryContextSwitchTo(old);
	return found;
}

static bool
fetch_by_id(HotRelation *r, int64 id, Row *row)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	if (r->snapshot == NULL)
		return fetch_by_keys(r, &key, 1, row);
	if (!scan_for(r, &key))
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

/* What read_values() reads. */
typedef struct Values
{
	const Row *row;
	const int *columns;
	int count;
} Values;

static void
read_values(void *arg)
{
	const Values *v = arg;

	for (int i = 0; i < v->count; i++)
	{
		if (!v->row->nulls[v->columns[i]])
			pfree(PG_DETOAST_DATUM_COPY(v->row->values[v->columns[i]]));
	}
}

int
row_try_read(const Row *row, const int *columns, int count)
{
	Values values = {row, columns, count};

	for (int i = 0; i < count; i++)
	{
		if (!row->nulls[columns[i]] &&
			VARATT_IS_EXTERNAL(DatumGetPointer(row->values[columns[i]])))
			return subxact_try(read_values, &values);
	}
	return 0;
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
	bool settled = false;
	Row other;

	InitDirtySnapshot(dirty);
	slot = table_slot_create(r->heap, NULL);
	scan = index_beginscan_compat(r->heap, r->index, &dirty, 1);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	index_rescan(scan, &key, 1, NULL, 0);
	*hands = (Hands){InvalidTransactionId, InvalidTransactionId};
	/* An open transaction that replaces the row has two: that which it deletes counts. */
	while (!settled && (tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		any = true;
		if (!index_fetch_heap(scan, slot))
			continue;
		found = true;
		settled = !TransactionIdIsValid(dirty.xmin);
		*hands = (Hands){.inserter = dirty.xmin, .deleter = dirty.xmax};
		if (row != NULL)
			row_from_slot(r, slot, row);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	/* The row may have moved between the looks at index and table: a later snapshot finds it. */
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

void
row_for_each_open(HotTable table, void (*see)(const Row *row, void *arg), void *arg)
{
	HotRelation r;
	SnapshotData dirty;
	TupleTableSlot *slot;
	TableScanDesc scan;
	Row row;

	InitDirtySnapshot(dirty);
	hot_open(&r, table);
	slot = table_slot_create(r.heap, NULL);
	scan = table_beginscan(r.heap, &dirty, 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (!TransactionIdIsValid(dirty.xmin))
			continue;
		row_from_slot(&r, slot, &row);
		see(&row, arg);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	hot_close(&r);
}

bool
row_for_each_in_block(HotTable table, BlockNumber block, void (*see)(const Row *row, void *arg),
					  void *arg)
{
	HotRelation r;
	ItemPointerData first;
	ItemPointerData last;
	bool exists;

	hot_open(&r, table);
	exists = has_block(r.heap, block);
	if (exists)
	{
		Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
		TupleTableSlot *slot = table_slot_create(r.heap, NULL);
		TableScanDesc scan;
		Row row;

		ItemPointerSet(&first, block, FirstOffsetNumber);
		ItemPointerSet(&last, block, MaxOffsetNumber);
		scan = table_beginscan_tidrange(r.heap, snapshot, &first, &last);
		while (table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot))
		{
			row_from_slot(&r, slot, &row);
			see(&row, arg);
		}
		table_endscan(scan);
		ExecDropSingleTupleTableSlot(slot);
		UnregisterSnapshot(snapshot);
	}
	hot_close(&r);
	return exists;
}

/* ---- by time ----------------------------------------------------------------------------- */

#define ENTRIES_AT_ONCE 4096

/* A walk through an index whose first column is a time. */
typedef struct TimeWalk
{
	HotRelation r;
	Relation index;
	Snapshot snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} TimeWalk;

static void
begin_time_walk(TimeWalk *w, HotTable table, TimestampTz from)
{
	ScanKeyData key;

	hot_open(&w->r, table);
	w->index = OidIsValid(w->r.order) ? index_open(w->r.order, w->r.lock) : w->r.index;
	w->snapshot = RegisterSnapshot(GetLatestSnapshot());
	w->slot = table_slot_create(w->r.heap, NULL);
	w->scan = index_beginscan_compat(w->r.heap, w->index, w->snapshot, 1);
	w->scan->xs_want_itup = true;
	ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(from));
	index_rescan(w->scan, &key, 1, NULL, 0);
}

static void
end_time_walk(TimeWalk *w)
{
	index_endscan(w->scan);
	ExecDropSingleTupleTableSlot(w->slot);
	UnregisterSnapshot(w->snapshot);
	if (w->index != w->r.index)
		index_close(w->index, NoLock);
	hot_close(&w->r);
}

/* The next entry behind this place; false: there is none. */
static bool
next_entry(TimeWalk *w, TimePlace *behind, TimePlace *entry)
{
	ItemPointer tid;
	bool isnull;

	while ((tid = index_getnext_tid(w->scan, ForwardScanDirection)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		entry->tid = *tid;
		entry->time = DatumGetTimestampTz(
			index_getattr(w->scan->xs_itup, 1, w->scan->xs_itupdesc, &isnull));
		if (entry->time > behind->time ||
			ItemPointerCompare(&entry->tid, &behind->tid) > 0)
			return true;
	}
	return false;
}

int
rows_due(HotTable table, TimePlace *place, TimestampTz now, Row *rows, int max, bool *more,
		 TimestampTz *next)
{
	TimePlace behind = *place;
	TimePlace entry;
	TimeWalk w;
	int count = 0;

	*more = false;
	begin_time_walk(&w, table, behind.time);
	for (int entries = 0; next_entry(&w, &behind, &entry); entries++)
	{
		bool due = entry.time <= now;
		bool lives = index_fetch_heap(w.scan, w.slot);

		if (!due && (lives || entries >= ENTRIES_AT_ONCE))
		{
			*next = Min(*next, entry.time);
			break;
		}
		if (due && lives)
			row_from_slot(&w.r, w.slot, &rows[count++]);
		if (due)
			*place = entry;
		*more = due && (count == max || entries >= ENTRIES_AT_ONCE);
		if (*more)
			break;
	}
	end_time_walk(&w);
	return count;
}

/* ---- by key ------------------------------------------------------------------------------ */

bool
row_fetch_start(HotRelation *r, TimestampTz start_by, int64 id, Row *row)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_TIMESTAMPTZ_EQ,
				TimestampTzGetDatum(start_by));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	return fetch_by_keys(r, keys, 2, row);
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
form_tuple(Relation relation, const Datum *values, const bool *nulls)
{
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(relation), unconstify(Datum *, values),
									  unconstify(bool *, nulls));
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

/* Called before anything is written. */
static void
require_writable_table(HotRelation *r)
{
	if (r->state == TABLE_REFUSED)
		table_refuse(r->heap, (PrivateTable) r->table);
}

static OwnColumns
own_columns(const HotRelation *r, const Row *row)
{
	return (OwnColumns){row->values, row->nulls, hot_tables[r->table].ncolumns};
}

static bool
insert_unique_directly(HotRelation *r, Row *row)
{
	EState *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slot = table_slot_create(r->heap, NULL);
	HeapTuple tuple = form_tuple(r->heap, row->values, row->nulls);
	bool inserted;

	InitResultRelInfo(target, r->heap, 0, NULL, 0);
	ExecOpenIndices(target, true);
	ExecForceStoreHeapTuple(tuple, slot, false);
	inserted = insert_speculatively(target, estate, slot, RelationGetRelid(r->index));
	row->tid = slot->tts_tid;
	ExecCloseIndices(target);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	return inserted;
}

bool
row_insert_unique(HotRelation *r, Row *row)
{
	OwnColumns own = own_columns(r, row);

	require_writable_table(r);
	if (r->state == TABLE_AS_CREATED)
		return insert_unique_directly(r, row);
	return extended_insert_unique(r->heap, RelationGetRelid(r->index), &own, &row->tid);
}

/*
 * The indexes that taskq creates have only plain columns, and no predicate but the one that
 * is_of_group() judges.  So an entry can be inserted directly.
 */
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

/* Whether the row has its second entry in r->group, and not in r->order. */
static bool
is_of_group(const HotRelation *r, const Row *row)
{
	return r->table == HOT_TASK && !row->nulls[TASK_GROUP_ID];
}

/* Into r->group, or into r->order: the entries of those rows that have theirs there. */
static void
insert_second_entries(HotRelation *r, bool group, Row **rows, int count)
{
	Relation index = NULL;
	struct IndexInfo *info = NULL;

	for (int i = 0; i < count; i++)
	{
		if (is_of_group(r, rows[i]) != group)
			continue;
		if (index == NULL)
		{
			index = index_open(group ? r->group : r->order, RowExclusiveLock);
			info = BuildDummyIndexInfo(index);
		}
		insert_index_entry(r, index, rows[i], info);
	}
	if (index != NULL)
		index_close(index, NoLock);
}

static void
insert_index_entries(HotRelation *r, Row **rows, int count)
{
	struct IndexInfo *info = BuildDummyIndexInfo(r->index);

	for (int i = 0; i < count; i++)
		insert_index_entry(r, r->index, rows[i], info);
	if (OidIsValid(r->order))
		insert_second_entries(r, false, rows, count);
	if (OidIsValid(r->group))
		insert_second_entries(r, true, rows, count);
}

static void
insert_directly(HotRelation *r, Row *row)
{
	HeapTuple tuple = form_tuple(r->heap, row->values, row->nulls);

	simple_heap_insert(r->heap, tuple);
	row->tid = tuple->t_self;
	insert_index_entries(r, &row, 1);
	heap_freetuple(tuple);
}

/* old: the row whose other columns the new one gets, or NULL. */
static void
insert_like(HotRelation *r, TupleTableSlot *old, Row *row)
{
	OwnColumns own = own_columns(r, row);

	require_writable_table(r);
	if (r->state == TABLE_AS_CREATED)
		insert_directly(r, row);
	else
		extended_insert(r->heap, old, &own, &row->tid);
	row_remember_place(r, row);
}

void
row_insert(HotRelation *r, Row *row)
{
	insert_like(r, NULL, row);
}

void
row_insert_again(HotRelation *r, Row *row)
{
	TupleTableSlot *old = table_slot_create(r->heap, NULL);

	if (!table_tuple_fetch_row_version(r->heap, &row->tid, SnapshotAny, old))
		elog(ERROR, "the deleted row is not in its place");
	insert_like(r, old, row);
	ExecDropSingleTupleTableSlot(old);
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
	if (count > 1 && r->state == TABLE_AS_CREATED)
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

static RowResult
try_to_delete(HotRelation *r, const Row *row, bool wait)
{
	TM_FailureData failure;
	ItemPointerData tid = row->tid;

	return row_result(table_tuple_delete(r->heap, &tid, GetCurrentCommandId(true), InvalidSnapshot,
										 InvalidSnapshot, wait, &failure, false));
}

/* The locked row is in slot then. */
static RowResult
lock_into(HotRelation *r, const Row *row, LockTupleMode mode, bool wait, TupleTableSlot *slot)
{
	TM_FailureData failure;
	ItemPointerData tid = row->tid;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	RowResult result;

	result = row_result(table_tuple_lock(r->heap, &tid, snapshot, slot, GetCurrentCommandId(false),
										 mode,
										 wait ? LockWaitBlock : LockWaitSkip, 0, &failure));
	UnregisterSnapshot(snapshot);
	return result;
}

RowResult
row_lock(HotRelation *r, const Row *row, LockTupleMode mode, bool wait)
{
	TupleTableSlot *slot = table_slot_create(r->heap, NULL);
	RowResult result = lock_into(r, row, mode, wait, slot);

	ExecDropSingleTupleTableSlot(slot);
	return result;
}

/*
 * A delete that does not wait takes a lock of its own transaction, such as an update leaves on
 * the new row, for one of another transaction.  The row can be locked then, and a delete of a
 * row that is locked in this way does not wait.
 */
RowResult
row_delete(HotRelation *r, const Row *row, bool wait)
{
	RowResult result;

	require_writable_table(r);
	result = try_to_delete(r, row, wait);
	if (result == ROW_BUSY && row_lock(r, row, LockTupleExclusive, false) == ROW_DONE)
		result = try_to_delete(r, row, true);
	return result;
}

/* CatalogTupleUpdate() would put an entry into each index, whatever its predicate. */
static void
update_directly(HotRelation *r, Row *row)
{
	HeapTuple tuple = form_tuple(r->heap, row->values, row->nulls);
	ItemPointerData tid = row->tid;
	bool entries = compat_heap_update(r->heap, &tid, tuple);

	row->tid = tuple->t_self;
	if (entries)
		insert_index_entries(r, &row, 1);
	heap_freetuple(tuple);
}

RowResult
row_update(HotRelation *r, Row *row, bool wait)
{
	TupleTableSlot *old = table_slot_create(r->heap, NULL);
	OwnColumns own = own_columns(r, row);
	RowResult result;

	require_writable_table(r);
	/* The update itself would treat a changed row as an internal error, so lock it first. */
	result = lock_into(r, row, LockTupleNoKeyExclusive, wait, old);
	if (result == ROW_DONE)
	{
		if (r->state == TABLE_AS_CREATED)
			update_directly(r, row);
		else
			extended_update(r->heap, old, &own, &row->tid);
		row_remember_place(r, row);
	}
	ExecDropSingleTupleTableSlot(old);
	return result;
}

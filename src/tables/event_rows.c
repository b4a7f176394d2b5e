/*
 * event_rows.c
 *		The rows of events and values.
 *
 * They stand in a ring of tables, event_0 to event_9.  All sessions write into the current one.
 * When it is full, or old, the executor empties the oldest and makes the next one current
 * (sql/57_events.sql).  So nothing is deleted row by row, and no table is made or dropped.  A
 * session that does not know yet that the current one has changed writes into the former one, which
 * does no harm: a table is emptied when no transaction is open that has written into it.
 *
 * The number of an event is drawn from a sequence while the session holds its task, so that the
 * numbers of a task ascend.  The row also has the number of its transaction, by which readers see
 * what is new to them: see event_set.c.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/sql.h"
#include "tables/append.h"
#include "tables/event_rows.h"

/* Columns, from zero. */
enum EventColumn
{
	EVENT_NUMBER,
	EVENT_AT,
	EVENT_TASK_ID,
	EVENT_XID,
	EVENT_KIND,
	EVENT_QUEUE,
	EVENT_DATA,
	EVENT_N,
	EVENT_NCOLUMNS
};

StaticAssertDecl(EVENT_NCOLUMNS == EVENT_COLUMNS, "attached.c knows all columns");

/* How far a sequence may be ahead of what was drawn, in the log and so on a standby. */
#define SEQUENCE_AHEAD 32

static const char *const kind_names[] = {
	[EVENT_SUBMITTED] = "submitted",
	[EVENT_STARTED] = "started",
	[EVENT_PROGRESS] = "progress",
	[EVENT_VALUE] = "value",
	[EVENT_FAILED] = "failed",
	[EVENT_RELEASED] = "released",
	[EVENT_LOST] = "lost",
	[EVENT_FINISHED] = "finished",
	[EVENT_DEAD] = "dead",
	[EVENT_CANCELLED] = "cancelled",
	[EVENT_EXPIRED] = "expired",
};

static Statement select_state = {
	"select s.current, s.gone_xid::text, s.gone_number, s.gone_at::text "
	"from taskq_private.event_state s",
	0,
	{0},
	NULL,
};

static Statement select_last_number = {
	"select case when is_called then last_value else 0 end from taskq_private.event_number",
	0,
	{0},
	NULL,
};

/* ---- kinds ----------------------------------------------------------------------------- */

const char *
event_kind_name(EventKind kind)
{
	return kind_names[kind];
}

static int
kind_of_name(const char *name)
{
	for (int i = 0; i < EVENT_NKINDS; i++)
	{
		if (strcmp(kind_names[i], name) == 0)
			return i;
	}
	return -1;
}

uint32
event_kinds_of(Datum names)
{
	Datum *elements;
	bool *nulls;
	int count;
	uint32 kinds = 0;

	deconstruct_array(DatumGetArrayTypeP(names), TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		int kind = nulls[i] ? -1 : kind_of_name(TextDatumGetCString(elements[i]));

		if (kind >= 0)
			kinds |= EVENT_BIT(kind);
	}
	return kinds;
}

PG_FUNCTION_INFO_V1(taskq_event_names);
Datum
taskq_event_names(PG_FUNCTION_ARGS)
{
	Datum names[EVENT_NKINDS];

	for (int i = 0; i < EVENT_NKINDS; i++)
		names[i] = CStringGetTextDatum(kind_names[i]);
	PG_RETURN_ARRAYTYPE_P(
		construct_array(names, EVENT_NKINDS, TEXTOID, -1, false, TYPALIGN_INT));
}

/* ---- the state of the ring -------------------------------------------------------------- */

/* What was read of it, until it changes: the executor sends an invalidation of its table. */
static struct
{
	Oid relation;
	bool valid;
	int current;
	EventsGone gone;
	MemoryContext context; /* of gone.when */
} state = {0};

static void
relation_changed(Datum arg, Oid relation)
{
	if (!OidIsValid(relation) || relation == state.relation)
		state.valid = false;
}

PG_FUNCTION_INFO_V1(taskq_events_changed);
Datum
taskq_events_changed(PG_FUNCTION_ARGS)
{
	CacheInvalidateRelcacheByRelid(catalog_relation("event_state"));
	PG_RETURN_VOID();
}

static void
read_state(void)
{
	enum
	{
		CURRENT,
		GONE_XID,
		GONE_NUMBER,
		GONE_AT,
		NCOLUMNS
	};
	Datum row[NCOLUMNS];
	bool isnull[NCOLUMNS];
	MemoryContext old;
	bool parsed;

	if (!sql_as_owner(&select_state, NULL, NULL, row, isnull, NCOLUMNS))
		elog(ERROR, "table taskq_private.event_state is empty");
	MemoryContextReset(state.context);
	old = MemoryContextSwitchTo(state.context);
	parsed = event_set_parse(TextDatumGetCString(row[GONE_AT]), &state.gone.when);
	MemoryContextSwitchTo(old);
	state.current = DatumGetInt32(row[CURRENT]);
	state.gone.xid = strtou64(TextDatumGetCString(row[GONE_XID]), NULL, 10);
	state.gone.number = DatumGetInt64(row[GONE_NUMBER]);
	if (!parsed || state.current < 0 || state.current >= EVENT_LEAVES)
		elog(ERROR, "table taskq_private.event_state is damaged");
}

/* Makes the state valid, as of a moment after the last invalidation of which the session knows. */
static void
require_state(void)
{
	if (state.context == NULL)
	{
		state.context = AllocSetContextCreate(TopMemoryContext, "taskq events",
											  ALLOCSET_SMALL_SIZES);
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	}
	while (!state.valid)
	{
		state.relation = catalog_relation("event_state");
		state.valid = true; /* until an invalidation comes, perhaps during the look */
		PG_TRY();
		{
			read_state();
		}
		PG_CATCH();
		{
			state.valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
}

static Oid
leaf_oid(int leaf)
{
	char name[NAMEDATALEN];

	snprintf(name, sizeof(name), "event_%d", leaf);
	return catalog_relation(name);
}

/* ---- writing ------------------------------------------------------------------------------ */

/* The table into which events are written; its lock brings news of changes. */
static Relation
open_current(void)
{
	for (;;)
	{
		Relation relation;

		require_state();
		relation = table_open(leaf_oid(state.current), RowExclusiveLock);
		if (state.valid)
			return relation;
		table_close(relation, NoLock);
	}
}

void
event_append(const Event *event)
{
	Relation relation = open_current();
	Datum values[EVENT_NCOLUMNS] = {0};
	bool nulls[EVENT_NCOLUMNS] = {0};
	OwnColumns own = {values, nulls, EVENT_NCOLUMNS};
	FullTransactionId xid = GetTopFullTransactionId();

	values[EVENT_NUMBER] =
		Int64GetDatum(nextval_internal(catalog_relation("event_number"), false));
	values[EVENT_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[EVENT_TASK_ID] = Int64GetDatum(event->task_id);
	values[EVENT_XID] = UInt64GetDatum(U64FromFullTransactionId(xid));
	values[EVENT_KIND] = Int16GetDatum(event->kind);
	values[EVENT_QUEUE] = CStringGetTextDatum(event->queue);
	values[EVENT_DATA] = event->data;
	values[EVENT_N] = Int32GetDatum(event->n);
	nulls[EVENT_XID] = !event->streamed;
	nulls[EVENT_DATA] = event->data == 0;
	nulls[EVENT_N] = event->n == 0;
	append_row(relation, TABLE_EVENT, &own);
	table_close(relation, NoLock);
}

/* ---- reading -------------------------------------------------------------------------------- */

/*
 * All tables are locked before what is gone is looked up.  So a table that is emptied meanwhile was
 * either read, or is known to be gone.
 */
void
event_tables_open(EventTables *t)
{
	for (int i = 0; i < EVENT_LEAVES; i++)
		t->leaf[i] = table_open(leaf_oid(i), AccessShareLock);
	require_state();
	t->gone = &state.gone;
	for (int i = 0; i < EVENT_LEAVES; i++)
	{
		if (RelationGetNumberOfBlocks(t->leaf[i]) > 0)
		{
			(void) table_state(t->leaf[i], TABLE_EVENT);
			continue;
		}
		table_close(t->leaf[i], NoLock);
		t->leaf[i] = NULL;
	}
}

/* The locks stay until the transaction ends. */
void
event_tables_close(EventTables *t)
{
	for (int i = 0; i < EVENT_LEAVES; i++)
	{
		if (t->leaf[i] != NULL)
			table_close(t->leaf[i], NoLock);
	}
}

void
event_tables_release(EventTables *t)
{
	event_tables_close(t);
	for (int i = 0; i < EVENT_LEAVES; i++)
		UnlockRelationOid(leaf_oid(i), AccessShareLock);
}

int64
event_last_number(void)
{
	Datum value;
	bool isnull;

	(void) sql_as_owner(&select_last_number, NULL, NULL, &value, &isnull, 1);
	return DatumGetInt64(value);
}

int64
event_number_behind(void)
{
	return Max(event_last_number() - SEQUENCE_AHEAD, 0);
}

struct EventScan
{
	Relation heap;
	Relation index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	ScanDirection direction;
};

static const char *const index_names[] = {
	[BY_NUMBER] = "event_%d_number",
	[BY_XID] = "event_%d_xid",
	[BY_TASK] = "event_%d_task",
	[BY_XIDS] = "event_%d_xid",
};

/* Conditions for the last column of an index, a bigint or an int. */
static void
bound(ScanKey key, int column, EventOrder order, StrategyNumber strategy, int64 value)
{
	bool above = strategy == BTGreaterStrategyNumber;

	if (order == BY_TASK)
		ScanKeyInit(key, column, strategy, above ? F_INT4GT : F_INT4LE,
					Int32GetDatum((int32) Min(value, PG_INT32_MAX)));
	else
		ScanKeyInit(key, column, strategy, above ? F_INT8GT : F_INT8LE, Int64GetDatum(value));
}

static int
scan_keys(ScanKeyData keys[3], const EventRange *range)
{
	int n = 0;

	if (range->order == BY_XIDS)
	{
		ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_XID8GE,
					UInt64GetDatum((uint64) range->of));
		ScanKeyInit(&keys[1], 1, BTLessStrategyNumber, F_XID8LT,
					UInt64GetDatum((uint64) range->up_to));
		return 2;
	}
	if (range->order == BY_XID)
		ScanKeyInit(&keys[n++], 1, BTEqualStrategyNumber, F_XID8EQ,
					UInt64GetDatum((uint64) range->of));
	if (range->order == BY_TASK)
		ScanKeyInit(&keys[n++], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(range->of));
	bound(&keys[n], n + 1, range->order, BTGreaterStrategyNumber, range->above);
	bound(&keys[n + 1], n + 1, range->order, BTLessEqualStrategyNumber, range->up_to);
	return n + 2;
}

EventScan *
event_scan_begin(EventTables *t, int leaf, const EventRange *range, Snapshot snapshot)
{
	char name[NAMEDATALEN];
	ScanKeyData keys[3];
	EventScan *s;
	int nkeys;

	if (t->leaf[leaf] == NULL)
		return NULL;
	snprintf(name, sizeof(name), index_names[range->order], leaf);
	s = palloc_object(EventScan);
	s->heap = t->leaf[leaf];
	s->index = index_open(catalog_relation(name), AccessShareLock);
	s->direction = range->backward ? BackwardScanDirection : ForwardScanDirection;
	s->slot = table_slot_create(s->heap, NULL);
	nkeys = scan_keys(keys, range);
	s->scan = index_beginscan_compat(s->heap, s->index, snapshot, nkeys);
	index_rescan(s->scan, keys, nkeys, NULL, 0);
	return s;
}

static Datum
column_of(TupleTableSlot *slot, int column)
{
	bool isnull;
	Datum value = slot_getattr(slot, column + 1, &isnull);

	return isnull ? (Datum) 0 : value;
}

bool
event_scan_next(EventScan *s, EventRow *row)
{
	if (!index_getnext_slot(s->scan, s->direction, s->slot))
		return false;
	row->number = DatumGetInt64(column_of(s->slot, EVENT_NUMBER));
	row->at = DatumGetTimestampTz(column_of(s->slot, EVENT_AT));
	row->task_id = DatumGetInt64(column_of(s->slot, EVENT_TASK_ID));
	row->xid = DatumGetUInt64(column_of(s->slot, EVENT_XID));
	row->kind = DatumGetInt16(column_of(s->slot, EVENT_KIND));
	row->queue = column_of(s->slot, EVENT_QUEUE);
	row->data = column_of(s->slot, EVENT_DATA);
	row->n = DatumGetInt32(column_of(s->slot, EVENT_N));
	return true;
}

void
event_scan_end(EventScan *s)
{
	ExecDropSingleTupleTableSlot(s->slot);
	index_endscan(s->scan);
	index_close(s->index, NoLock);
	pfree(s);
}

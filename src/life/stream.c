/*
 * stream.c
 *		events_after(): reads the stream of events.
 *
 * A reader has seen the events of a set of transactions, and reads those of a later one by number:
 * of transactions that have ended between the two.  Some of these had a number of a transaction
 * before, and are found by it; all others got theirs later, so their events have greater numbers
 * than any before.  When all is read, the later set becomes the one that was seen.  So a
 * transaction that commits late is in a later set, whatever the numbers of its events, and holds up
 * no reader.
 *
 * A commit that has not reached the disk can be lost in a crash, and a later transaction gets its
 * number.  So the log is flushed before a set is used: what a cursor says was seen stays committed.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/durability.h"
#include "base/errors.h"
#include "life/events.h"
#include "life/stream.h"
#include "tables/event_merge.h"
#include "tables/grant.h"
#include "tables/queue.h"

#define MAX_EVENTS 10000
#define FROM_START "start" /* instead of a cursor: the oldest events that are kept */

/* ---- what the caller may see --------------------------------------------------------- */

/* Events mostly come from the queue of the one before. */
static bool
may_view(EventReader *r, Datum queue)
{
	text *name = DatumGetTextPP(queue);

	if (r->looked_up != NULL &&
		VARSIZE_ANY_EXHDR(name) == VARSIZE_ANY_EXHDR(r->looked_up) &&
		memcmp(VARDATA_ANY(name), VARDATA_ANY(r->looked_up), VARSIZE_ANY_EXHDR(name)) == 0)
		return r->visible;
	if (r->looked_up != NULL)
		pfree(r->looked_up);
	r->looked_up = DatumGetTextPCopy(queue);
	r->visible = queue_may(queue_of_row(name), PRIVILEGE_VIEW) &&
				 (r->queue == NULL || strcmp(r->queue, text_to_cstring(name)) == 0);
	return r->visible;
}

/* ---- cursors ---------------------------------------------------------------------------- */

static void
raise_gone(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_EVENTS_GONE),
			 errmsg("events behind the cursor are no longer kept"),
			 errdetail("taskq.keep_events and taskq.max_events limit how long and how many are."),
			 errhint("Call taskq.events_after(NULL), which begins now, and look at taskq.tasks for "
					 "what has happened until then.")));
}

/* Whether an event that is gone may be one of a transaction that the set does not have. */
static bool
may_have_missed(const EventsGone *gone, const EventSet *set)
{
	if (set->xmax <= gone->xid)
		return true;
	for (int i = 0; i < set->count && set->open[i] <= gone->xid; i++)
	{
		if (event_set_has(&gone->when, set->open[i]))
			return true;
	}
	return false;
}

/* What is gone counts as seen, and nothing else. */
static EventCursor
start_of(const EventsGone *gone)
{
	EventCursor c = {
		.seen = {.xmin = gone->xid + 1, .xmax = gone->xid + 1},
		.later = gone->xid + 1,
	};

	c.seen.open = palloc_array(uint64, gone->when.count);
	for (int i = 0; i < gone->when.count && gone->when.open[i] <= gone->xid; i++)
		c.seen.open[c.seen.count++] = gone->when.open[i];
	if (c.seen.count > 0)
		c.seen.xmin = c.seen.open[0];
	return c;
}

static void
require_kept(const EventsGone *gone, const EventCursor *c)
{
	bool behind = c->reading && c->last >= gone->number;

	if (may_have_missed(gone, behind ? &c->now : &c->seen))
		raise_gone();
}

/* Transactions that the cursor has seen must have ended here. */
static void
require_past(const EventSet *present, const EventSet *set)
{
	bool past = set->xmax <= present->xmax;

	for (int i = 0; past && i < present->count; i++)
		past = !event_set_has(set, present->open[i]);
	if (past)
		return;
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
				 errmsg("the cursor is ahead of this standby"),
				 errdetail("It has seen transactions that were not replayed here yet."),
				 errhint("Try again later, or ask the primary.")));
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_EVENTS_GONE),
			 errmsg("the cursor is not of this database"),
			 errdetail("It has seen transactions that this database does not have."),
			 errhint("Call taskq.events_after(NULL), which begins now.")));
}

/* Takes the present set.  The order of the looks matters: see EventCursor. */
static Snapshot
take_present(EventCursor *c)
{
	Snapshot snapshot;

	c->behind_now = event_number_behind();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	c->until = event_last_number();
	c->now = event_set_of(snapshot, &c->later_now);
	c->last = 0;
	c->reading = true;
	if (!RecoveryInProgress())
		durability_flush();
	return snapshot;
}

/* All that the cursor was reading has been read. */
static void
pass(EventCursor *c)
{
	c->seen = c->now;
	c->later = c->later_now;
	c->behind = c->behind_now;
	c->reading = false;
}

void
event_reader_init(EventReader *r, text *cursor)
{
	memset(r, 0, sizeof(*r));
	if (cursor != NULL)
	{
		char *text = text_to_cstring(cursor);

		r->from_start = strcmp(text, FROM_START) == 0;
		if (!r->from_start)
			r->cursor = event_cursor_parse(text);
		return;
	}
	UnregisterSnapshot(take_present(&r->cursor));
	pass(&r->cursor);
}

/* ---- reading -------------------------------------------------------------------------- */

/* Transactions whose events are read one transaction after the other. */
typedef struct Transactions
{
	uint64 *xids;
	int count;
	int room;
} Transactions;

static void
add_transaction(Transactions *t, uint64 xid)
{
	for (int i = 0; i < t->count; i++)
	{
		if (t->xids[i] == xid)
			return;
	}
	if (t->count == t->room)
	{
		t->room *= 2;
		t->xids = repalloc_array(t->xids, uint64, t->room);
	}
	t->xids[t->count++] = xid;
}

/*
 * Those that ran when "seen" was taken, and that it does not name, because none with a greater
 * number had ended.  Each look at a table finds the next one that has events there.
 */
static void
add_unnamed(Transactions *t, EventTables *tables, int leaf, Snapshot snapshot,
			const EventCursor *c)
{
	EventRange range = {
		.order = BY_XIDS,
		.of = (int64) c->seen.xmax,
		.up_to = (int64) c->later,
	};
	bool found = range.of < range.up_to;

	while (found)
	{
		EventScan *scan = event_scan_begin(tables, leaf, &range, snapshot);
		EventRow row;

		CHECK_FOR_INTERRUPTS();
		found = scan != NULL && event_scan_next(scan, &row);
		if (scan != NULL)
			event_scan_end(scan);
		if (!found)
			break;
		add_transaction(t, row.xid);
		range.of = (int64) row.xid + 1;
	}
}

static void
add_ranges(EventMerge *merge, EventTables *tables, Snapshot snapshot, const EventCursor *c)
{
	Transactions t = {palloc_array(uint64, 16), 0, 16};
	EventRange range = {
		.order = BY_NUMBER,
		.above = Max(c->last, c->behind),
		.up_to = c->until,
	};

	event_merge_add(merge, &range);
	for (int i = 0; i < c->seen.count; i++)
		add_transaction(&t, c->seen.open[i]);
	for (int i = 0; i < EVENT_LEAVES; i++)
		add_unnamed(&t, tables, i, snapshot, c);
	range.order = BY_XID;
	range.above = c->last;
	for (int i = 0; i < t.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		range.of = (int64) t.xids[i];
		if (event_set_has(&c->now, t.xids[i]))
			event_merge_add(merge, &range);
	}
	pfree(t.xids);
}

/* Reads on in the set of the cursor, at most max events; returns their number. */
static int
read_set(EventReader *r, EventTables *tables, Snapshot snapshot, int max, EventSeer see, void *arg)
{
	EventCursor *c = &r->cursor;
	EventMerge *merge = event_merge_begin(tables, snapshot);
	const EventRow *row;
	EventOrder order;
	int found = 0;

	add_ranges(merge, tables, snapshot, c);
	while (found < max && (row = event_merge_next(merge, &order)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (row->xid == 0 || !event_set_has(&c->now, row->xid) ||
			(order == BY_NUMBER && row->xid < c->later))
			continue;
		c->last = row->number;
		if (!may_view(r, row->queue))
			continue;
		if (see != NULL)
			see(row, arg);
		found++;
	}
	event_merge_end(merge);
	return found;
}

/* Reads what is left of the set of the cursor, and then the present one. */
static int
read_on(EventReader *r, EventTables *tables, int max, EventSeer see, void *arg)
{
	EventCursor *c = &r->cursor;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	EventSet present = event_set_of(snapshot, NULL);
	int found = 0;

	require_past(&present, c->reading ? &c->now : &c->seen);
	if (c->reading)
	{
		found = read_set(r, tables, snapshot, max, see, arg);
		if (found < max)
			pass(c);
	}
	UnregisterSnapshot(snapshot);
	if (found == max)
		return found;
	snapshot = take_present(c);
	found += read_set(r, tables, snapshot, max - found, see, arg);
	UnregisterSnapshot(snapshot);
	if (found < max)
		pass(c);
	return found;
}

int
events_read(EventReader *r, int max, EventSeer see, void *arg)
{
	EventTables tables;
	int found;

	event_tables_open(&tables);
	if (r->from_start)
		r->cursor = start_of(tables.gone);
	r->from_start = false;
	require_kept(tables.gone, &r->cursor);
	found = read_on(r, &tables, max, see, arg);
	event_tables_close(&tables);
	return found;
}

/* ---- SQL -------------------------------------------------------------------------------- */

enum ReturnedColumn
{
	RETURN_CURSOR,
	RETURN_AT,
	RETURN_TASK_ID,
	RETURN_QUEUE,
	RETURN_EVENT,
	RETURN_DATA,
	RETURN_NCOLUMNS
};

/* Where the rows go. */
typedef struct Returned
{
	ReturnSetInfo *rsinfo;
	const EventReader *reader;
	MemoryContext context; /* of one row */
} Returned;

static void
return_event(const EventRow *row, void *arg)
{
	Returned *r = arg;
	MemoryContext old = MemoryContextSwitchTo(r->context);
	Datum values[RETURN_NCOLUMNS];
	bool nulls[RETURN_NCOLUMNS] = {false};

	values[RETURN_CURSOR] = CStringGetTextDatum(event_cursor_text(&r->reader->cursor));
	values[RETURN_AT] = TimestampTzGetDatum(row->at);
	values[RETURN_TASK_ID] = Int64GetDatum(row->task_id);
	values[RETURN_QUEUE] = row->queue;
	values[RETURN_EVENT] = CStringGetTextDatum(event_kind_name(row->kind));
	values[RETURN_DATA] = row->n > 0 ? event_value_data(row->n, row->data) : row->data;
	nulls[RETURN_DATA] = values[RETURN_DATA] == 0;
	MemoryContextSwitchTo(old);
	tuplestore_putvalues(r->rsinfo->setResult, r->rsinfo->setDesc, values, nulls);
	MemoryContextReset(r->context);
}

static void
return_cursor(ReturnSetInfo *rsinfo, const EventCursor *cursor)
{
	Datum values[RETURN_NCOLUMNS] = {0};
	bool nulls[RETURN_NCOLUMNS];

	memset(nulls, true, sizeof(nulls));
	nulls[RETURN_CURSOR] = false;
	values[RETURN_CURSOR] = CStringGetTextDatum(event_cursor_text(cursor));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* The queue that argument n names, which the caller may view; NULL: none is named. */
static const char *
arg_queue(FunctionCallInfo fcinfo, int n)
{
	text *name = arg_name(fcinfo, n, "queue");

	if (name == NULL)
		return NULL;
	queue_require(queue_by_name(name), PRIVILEGE_VIEW);
	return text_to_cstring(name);
}

PG_FUNCTION_INFO_V1(taskq_events_after);
Datum
taskq_events_after(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int max = arg_int32(fcinfo, 1, "max_events", 100, 1, MAX_EVENTS);
	EventReader reader;
	Returned r = {.rsinfo = rsinfo, .reader = &reader};

	event_reader_init(&reader, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0));
	reader.queue = arg_queue(fcinfo, 2);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	r.context = AllocSetContextCreate(CurrentMemoryContext, "taskq event", ALLOCSET_DEFAULT_SIZES);
	if (PG_ARGISNULL(0) || events_read(&reader, max, return_event, &r) == 0)
		return_cursor(rsinfo, &reader.cursor);
	MemoryContextDelete(r.context);
	return (Datum) 0;
}

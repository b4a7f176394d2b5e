/*
 * event_merge.c
 *		Rows of events from all tables, in one order.
 *
 * Nearly all events of one table have smaller numbers than those of the next, and few transactions
 * were open at a time, so there are few sources that have a row at all.
 */
#include "postgres.h"

#include "nodes/pg_list.h"

#include "tables/event_merge.h"

/* A range of one table, and its next row. */
typedef struct Source
{
	EventOrder order;
	EventScan *scan;
	EventRow row;
} Source;

struct EventMerge
{
	EventTables *tables;
	Snapshot snapshot;
	MemoryContext context;
	List *sources;
	Source *returned; /* its row was returned last; or NULL */
};

EventMerge *
event_merge_begin(EventTables *tables, Snapshot snapshot)
{
	EventMerge *m = palloc0_object(EventMerge);

	m->tables = tables;
	m->snapshot = snapshot;
	m->context = CurrentMemoryContext;
	return m;
}

/* Reads the next row; without one the source is of no more use. */
static bool
advance(EventMerge *m, Source *source)
{
	MemoryContext old = MemoryContextSwitchTo(m->context);
	bool found = event_scan_next(source->scan, &source->row);

	if (!found)
	{
		event_scan_end(source->scan);
		m->sources = list_delete_ptr(m->sources, source);
		pfree(source);
	}
	MemoryContextSwitchTo(old);
	return found;
}

void
event_merge_add(EventMerge *m, const EventRange *range)
{
	for (int i = 0; i < EVENT_LEAVES; i++)
	{
		EventScan *scan = event_scan_begin(m->tables, i, range, m->snapshot);
		Source *source;

		if (scan == NULL)
			continue;
		source = palloc_object(Source);
		source->order = range->order;
		source->scan = scan;
		m->sources = lappend(m->sources, source);
		(void) advance(m, source);
	}
}

static int64
place(const Source *source)
{
	return source->order == BY_TASK ? source->row.n : source->row.number;
}

const EventRow *
event_merge_next(EventMerge *m, EventOrder *order)
{
	ListCell *cell;

	if (m->returned != NULL)
		(void) advance(m, m->returned);
	m->returned = NULL;
	foreach (cell, m->sources)
	{
		Source *source = lfirst(cell);

		if (m->returned == NULL || place(source) < place(m->returned))
			m->returned = source;
	}
	if (m->returned == NULL)
		return NULL;
	*order = m->returned->order;
	return &m->returned->row;
}

void
event_merge_end(EventMerge *m)
{
	ListCell *cell;

	foreach (cell, m->sources)
	{
		Source *source = lfirst(cell);

		event_scan_end(source->scan);
		pfree(source);
	}
	list_free(m->sources);
	pfree(m);
}

/*
 * event_merge.h
 *		Rows of events from all tables, in one order.
 */
#ifndef TASKQ_EVENT_MERGE_H
#define TASKQ_EVENT_MERGE_H

#include "tables/event_rows.h"

typedef struct EventMerge EventMerge;

/* The tables stay open, and the snapshot registered, until event_merge_end(). */
extern EventMerge *event_merge_begin(EventTables *tables, Snapshot snapshot);

/* Adds the rows of a range; all ranges together are read in the order of their last columns. */
extern void event_merge_add(EventMerge *merge, const EventRange *range);

/*
 * The next row, valid until the next call; NULL: there is none.  *order becomes that of the range
 * to which it belongs.
 */
extern const EventRow *event_merge_next(EventMerge *merge, EventOrder *order);

extern void event_merge_end(EventMerge *merge);

#endif

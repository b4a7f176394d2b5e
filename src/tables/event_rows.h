/*
 * event_rows.h
 *		The rows of events and values.
 */
#ifndef TASKQ_EVENT_ROWS_H
#define TASKQ_EVENT_ROWS_H

#include "executor/tuptable.h"
#include "utils/array.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"
#include "utils/timestamp.h"

#include "tables/event_set.h"

/* The changes of tasks that become events, if their queue wants them.  Stored as numbers. */
typedef enum EventKind
{
	EVENT_SUBMITTED,
	EVENT_STARTED,
	EVENT_PROGRESS,
	EVENT_VALUE,
	EVENT_FAILED,
	EVENT_RELEASED,
	EVENT_LOST,
	EVENT_FINISHED,
	EVENT_DEAD,
	EVENT_CANCELLED,
	EVENT_EXPIRED,
	EVENT_NKINDS
} EventKind;

/* Kinds of events as a set. */
#define EVENT_BIT(kind) (1u << (kind))

extern const char *event_kind_name(EventKind kind);

/* The kinds that an array of names has; unknown names do not count. */
extern uint32 event_kinds_of(Datum names);

/* A row to be written. */
typedef struct Event
{
	EventKind kind;
	int64 task_id;
	const char *queue;
	Datum data;    /* jsonb, or 0 */
	int n;         /* of a value; otherwise 0 */
	bool streamed; /* false: a value that is no event */
} Event;

/* Writes the row. */
extern void event_append(const Event *event);

/* What is known of the events that are gone. */
typedef struct EventsGone
{
	uint64 xid;    /* none of a transaction with a greater number is gone */
	int64 number;  /* nor one with a greater number */
	EventSet when; /* nor one of a transaction that was open then */
} EventsGone;

/* The tables of events, open for reading: nothing is removed from them meanwhile. */
#define EVENT_LEAVES 10
typedef struct EventTables
{
	Relation leaf[EVENT_LEAVES]; /* NULL: it is empty */
	const EventsGone *gone;      /* as of now */
} EventTables;

extern void event_tables_open(EventTables *t);
extern void event_tables_close(EventTables *t);

/* Closes them before the transaction ends: from now on rows may be removed. */
extern void event_tables_release(EventTables *t);

/* The greatest number of an event that any session has drawn so far, or a little more. */
extern int64 event_last_number(void);

/* Less than any number of an event that any session will draw, also on a standby. */
extern int64 event_number_behind(void);

/* A row that was read.  Its values are valid until the next one is read. */
typedef struct EventRow
{
	int64 number;
	TimestampTz at;
	int64 task_id;
	uint64 xid; /* 0: it is no event */
	EventKind kind;
	Datum queue; /* text */
	Datum data;  /* jsonb, or 0 */
	int n;       /* 0: it is no value */
} EventRow;

/* What an index is read for; the bounds "above" and "up_to" are for its last column. */
typedef enum EventOrder
{
	BY_NUMBER,
	BY_XID,  /* the events of one transaction, by number */
	BY_TASK, /* the values of one task, by n */
	BY_XIDS  /* the events of transactions from "of" on and before "up_to" */
} EventOrder;

typedef struct EventRange
{
	EventOrder order;
	int64 of; /* the transaction or task */
	int64 above;
	int64 up_to;
	bool backward; /* greatest first */
} EventRange;

/*
 * Reads rows of one table by one of its indexes.  event_scan_begin() returns NULL for an empty
 * one.
 */
typedef struct EventScan EventScan;
extern EventScan *event_scan_begin(EventTables *t, int leaf, const EventRange *range,
								   Snapshot snapshot);
extern bool event_scan_next(EventScan *scan, EventRow *row);
extern void event_scan_end(EventScan *scan);

#endif

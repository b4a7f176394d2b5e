/*
 * event_set.h
 *		Sets of ended transactions, and cursors of the stream of events.
 */
#ifndef TASKQ_EVENT_SET_H
#define TASKQ_EVENT_SET_H

#include "utils/snapshot.h"

/*
 * The transactions that had ended at a moment: all before xmax but those in open[].  Their numbers
 * have 64 bits, so they never wrap around.
 */
typedef struct EventSet
{
	uint64 xmin; /* the least number in open[], or xmax */
	uint64 xmax;
	int count;
	uint64 *open; /* ascending, palloc'd */
} EventSet;

/*
 * Where a reader stands: it has read the events of "seen", and of those that "now" has besides it
 * the ones up to number "last".  Without "now" it takes the present one when it reads on.
 *
 * An event has a greater number than any that was drawn before its transaction got its own.  So the
 * events of transactions from "later" on, which did not have one yet when "seen" was taken, have
 * numbers above "behind".  Those from seen.xmax on may have had one, and run at that time.
 */
typedef struct EventCursor
{
	EventSet seen;
	uint64 later;
	int64 behind;
	bool reading; /* the rest is valid */
	EventSet now;
	uint64 later_now; /* as for "seen" */
	int64 behind_now;
	int64 until; /* no event of "now" has a greater number */
	int64 last;
} EventCursor;

/*
 * The transactions that have ended for this snapshot, which was taken just now; never that of the
 * caller.  *later, if it is not NULL: transactions from this one on had no number yet.
 */
extern EventSet event_set_of(Snapshot snapshot, uint64 *later);

extern bool event_set_has(const EventSet *set, uint64 xid);

/* The text of a pg_snapshot; false: it is none. */
extern bool event_set_parse(const char *text, EventSet *set);

/* TQ004 if the text is no cursor. */
extern EventCursor event_cursor_parse(const char *text);

/* palloc'd. */
extern char *event_cursor_text(const EventCursor *cursor);

#endif

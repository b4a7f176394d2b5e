/*
 * stream.h
 *		Reads the stream of events.
 */
#ifndef TASKQ_STREAM_H
#define TASKQ_STREAM_H

#include "tables/event_rows.h"

typedef struct EventReader
{
	EventCursor cursor;
	bool from_start;   /* the cursor is still to be made */
	const char *queue; /* only the events of this queue; NULL: of all that the caller may view */
	text *looked_up;   /* private: the queue that was judged last */
	bool visible;      /* private: the caller may view it */
} EventReader;

/* cursor: NULL begins now, "start" with the oldest events that are kept. */
extern void event_reader_init(EventReader *reader, text *cursor);

/*
 * Calls see(), which may be NULL, with the next events, max at most, and moves the cursor behind
 * them.  Returns their number; 0: there are none now.  What the cursor refers to is palloc'd.
 * TQ011 if events that come next are no longer kept.
 */
typedef void (*EventSeer)(const EventRow *row, void *arg);
extern int events_read(EventReader *reader, int max, EventSeer see, void *arg);

#endif

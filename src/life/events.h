/*
 * events.h
 *		What happens to tasks, as events.
 */
#ifndef TASKQ_EVENTS_H
#define TASKQ_EVENTS_H

#include "life/history.h"
#include "tables/event_rows.h"
#include "tables/queue.h"
#include "tables/rows.h"

/*
 * Each writes an event in the transaction of the change, if the queue of the task wants events of
 * this kind; otherwise it costs nothing.  queue: NULL if it was dropped, and wants none then.
 */
extern void event_submitted(const Row *task, const Queue *queue);
extern void event_started(const Row *lease, const Queue *queue);
extern void event_progress(const Row *lease, const Queue *queue);

/* An attempt ends: EVENT_FAILED, EVENT_LOST, EVENT_RELEASED.  Texts may be NULL. */
extern void event_attempt(EventKind kind, const Row *lease, const char *class, text *error);

/* The task ends; lease: its last one, or NULL.  kinds: of events that its queue wants. */
extern void event_ended(const Row *task, const Row *lease, const Ending *ending,
						const Keeping *keeping);

/* A value: a row in any case, and an event if the queue wants it. */
extern void event_value(int64 task_id, const Queue *queue, int n, Datum value);

/* The data of a value as an event: its number and the value; palloc'd. */
extern Datum event_value_data(int n, Datum value);

#endif

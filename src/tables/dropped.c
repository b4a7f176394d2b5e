/*
 * dropped.c
 *		Queues that were dropped, as long as something is left of them.
 *
 * drop_queue() moves the row of the queue to another table.  To every other call the queue does
 * not exist from then on: no claim, submit or lease knows it.  Its tasks are ended afterwards by
 * life/empty.c, and they are many, so the last queue that was looked up is remembered.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/arg.h"
#include "base/sql.h"
#include "tables/dropped.h"
#include "tables/event_rows.h"
#include "tables/queue.h"

static Statement select_dropped = {
	"select d.name::text, d.mode = 'push', d.keep_finished, d.keep_dead, d.events "
	"from taskq_private.dropped_queue d where d.id = $1",
	1,
	{INT4OID},
	NULL,
};

/* The queue that was looked up last, and the state of queues as of which that is right. */
static struct
{
	int32 id;
	uint64 as_of;
	bool exists;
	DroppedQueue queue;
} last = {0};

static void
keep_row(const Datum *row)
{
	DroppedQueue *q = &last.queue;
	char *former = q->name;

	/* Allocated first: if that fails, the former name stands. */
	q->name = MemoryContextStrdup(TopMemoryContext, TextDatumGetCString(row[0]));
	if (former != NULL)
		pfree(former);
	q->push = DatumGetBool(row[1]);
	q->keep_finished_us = interval_us(DatumGetIntervalP(row[2]));
	q->keep_dead_us = interval_us(DatumGetIntervalP(row[3]));
	q->events = event_kinds_of(row[4]);
}

const DroppedQueue *
dropped_queue(int32 id)
{
	Datum argument = Int32GetDatum(id);
	uint64 as_of = queue_changes();
	Datum row[5];
	bool isnull[5];

	if (last.id != id || last.as_of != as_of)
	{
		last.id = 0; /* until all of it is known */
		last.exists = sql_as_owner(&select_dropped, &argument, NULL, row, isnull, 5);
		if (last.exists)
			keep_row(row);
		last.id = id;
		last.as_of = as_of;
	}
	return last.exists ? &last.queue : NULL;
}

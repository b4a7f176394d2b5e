/*
 * idle.c
 *		Queues of which this session knows that no task is due: a look at a few bytes.
 *
 * Each offer of a task (slot_offer() in lanes.c) counts up its queue's counter, after the
 * task has become visible.  A session reads the counter before it looks at a queue.
 * While the counter has not moved, what the look has shown still holds: a task that
 * the look could not see is offered after it.  Tasks that no session offers are found by
 * a sweep, which counts up for each that it finds and, as it begins, for all queues:
 * of a queue without a lane slot it looks at nothing, but the next look at that queue
 * reads its index from the beginning.
 *
 * Counters are shared by queues whose numbers differ by a multiple of IDLE_COUNTERS, and
 * by those of other databases.  That costs a look now and then, and nothing else.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/database.h"
#include "hints/idle.h"
#include "tables/queue.h"

/* What the session remembers of a queue; ids are given in turn, so that few share a place. */
typedef struct Idle
{
	int32 queue_id; /* 0: nothing */
	uint32 begun;   /* the counter before the look */
	TimestampTz until;
} Idle;

static Idle *places = NULL; /* IDLE_COUNTERS of them */
static Oid extension = InvalidOid;

static Idle *
place_of_queue(int32 queue_id)
{
	return &places[(uint32) queue_id % IDLE_COUNTERS];
}

static pg_atomic_uint32 *
counter_of(int32 queue_id)
{
	static uint32 database = 0;

	if (database == 0)
		database = murmurhash32(MyDatabaseId);
	return &registry->idle_counters[(database + (uint32) queue_id) % IDLE_COUNTERS];
}

bool
idle_is_possible(void)
{
	return registry != NULL;
}

/* A few nanoseconds for each queue: there may be thousands. */
void
idle_read(const int32 *queue_ids, int count, TimestampTz *until)
{
	bool any = places != NULL && extension == queue_generation();

	for (int i = 0; i < count; i++)
	{
		const Idle *idle = any ? place_of_queue(queue_ids[i]) : NULL;

		if (any && idle->queue_id == queue_ids[i] &&
			idle->begun == pg_atomic_read_u32(counter_of(queue_ids[i])))
			until[i] = idle->until;
		else
			until[i] = DT_NOBEGIN;
	}
}

uint32
idle_begin(int32 queue_id)
{
	uint32 begun;

	if (registry == NULL)
		return 0;
	begun = pg_atomic_read_u32(counter_of(queue_id));
	pg_memory_barrier(); /* the look comes after it */
	return begun;
}

void
idle_remember(int32 queue_id, uint32 begun, TimestampTz until)
{
	if (registry == NULL)
		return;
	if (places == NULL)
		places = MemoryContextAllocZero(TopMemoryContext, IDLE_COUNTERS * sizeof(Idle));
	/* The ids of queues begin anew with the extension. */
	if (extension != queue_generation())
		memset(places, 0, IDLE_COUNTERS * sizeof(Idle));
	extension = queue_generation();
	*place_of_queue(queue_id) = (Idle){queue_id, begun, until};
}

void
idle_end(int32 queue_id)
{
	if (registry != NULL)
		(void) pg_atomic_fetch_add_u32(counter_of(queue_id), 1);
}

void
idle_end_all(void)
{
	for (int i = 0; registry != NULL && i < IDLE_COUNTERS; i++)
		(void) pg_atomic_fetch_add_u32(&registry->idle_counters[i], 1);
}

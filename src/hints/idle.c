/*
 * idle.c
 *		Remembers queues in which no task is due.
 *
 * Each offer of a task (slot_offer() in lanes.c) increments its queue's counter, after the
 * task has become visible.  A session reads the counter before it looks at a queue.
 * While the counter stays the same, the result of the look is still valid: a task that
 * the look could not see is offered after it.
 *
 * A sweep finds the tasks that no session offers.  It increments the counter for each task that
 * it finds, and the counters of all queues when it begins.  The latter is for queues without a
 * lane slot, at which a sweep does not look: the next claim reads their index from the beginning.
 *
 * Queues whose ids differ by a multiple of IDLE_COUNTERS share a counter, and so do queues
 * of different databases.  That costs an unnecessary look now and then, and nothing else.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/database.h"
#include "hints/idle.h"
#include "tables/queue.h"

/* The last look at a queue.  Ids are given in sequence, so few queues share a place. */
typedef struct Idle
{
	int32 queue_id; /* 0: nothing */
	uint32 begun;   /* the counter before the look */
	TimestampTz until;
} Idle;

static Idle *places = NULL; /* an array of IDLE_COUNTERS */
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
	pg_memory_barrier(); /* the look must come after the read */
	return begun;
}

void
idle_remember(int32 queue_id, uint32 begun, TimestampTz until)
{
	if (registry == NULL)
		return;
	if (places == NULL)
		places = MemoryContextAllocZero(TopMemoryContext, IDLE_COUNTERS * sizeof(Idle));
	/* If the extension was created again, the ids are those of other queues. */
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

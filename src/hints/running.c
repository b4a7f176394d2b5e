/*
 * running.c
 *		Counts the leases of a queue in their table.
 *
 * The numbers in shared memory begin at 0, and leases may be older than that: so they are counted
 * once after a start of the server, before a limit counts on them.  A count is accepted only if
 * no open transaction has a note when it begins and when it ends, and the word is the same:
 * between a commit and its hook the rows and the word differ, and a count made then would be too
 * low for ever.
 *
 * Only rows that come past the code make the numbers too low: those of logical replication and of
 * statements.  A prepared transaction makes them too high, for it ends without a hook.  A sweep
 * follows in each case, and then the leases are counted again.  They are also counted every ten
 * minutes.
 *
 * A snapshot does not show the rows of prepared transactions, so these are read besides, and
 * before: a row that is committed between the two looks is seen at least once.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "hints/groups.h"
#include "hints/running.h"
#include "tables/rows.h"

#define COUNT_AGAIN (600 * USECS_PER_SEC)

/* The leases that were seen. */
typedef struct Seen
{
	int32 queue_id;
	int32 running;
	HTAB *ids; /* those of open transactions */
	HTAB *groups;
} Seen;

static HTAB *
make_table(const char *name, Size size)
{
	HASHCTL how = {.keysize = sizeof(int64), .entrysize = size, .hcxt = CurrentMemoryContext};

	return hash_create(name, 64, &how, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
count_lease(Seen *seen, const Row *lease)
{
	int64 group_id;
	GroupCount *group;
	bool found;

	seen->running++;
	if (lease->nulls[LEASE_GROUP_ID])
		return;
	group_id = ROW_INT64(lease, LEASE_GROUP_ID);
	group = hash_search(seen->groups, &group_id, HASH_ENTER, &found);
	group->running = found ? group->running + 1 : 1;
}

static void
see_open(const Row *lease, void *arg)
{
	Seen *seen = arg;
	int64 id = ROW_INT64(lease, LEASE_ID);
	bool found;

	if (ROW_INT32(lease, LEASE_QUEUE_ID) != seen->queue_id)
		return;
	(void) hash_search(seen->ids, &id, HASH_ENTER, &found);
	if (!found)
		count_lease(seen, lease);
}

static void
see_committed(const Row *lease, void *arg)
{
	Seen *seen = arg;
	int64 id = ROW_INT64(lease, LEASE_ID);

	if (ROW_INT32(lease, LEASE_QUEUE_ID) == seen->queue_id &&
		hash_search(seen->ids, &id, HASH_FIND, NULL) == NULL)
		count_lease(seen, lease);
}

static GroupCount *
as_array(HTAB *table)
{
	GroupCount *groups = palloc_array(GroupCount, Max(hash_get_num_entries(table), 1));
	HASH_SEQ_STATUS status;
	GroupCount *group;
	int n = 0;

	hash_seq_init(&status, table);
	while ((group = hash_seq_search(&status)) != NULL)
		groups[n++] = *group;
	return groups;
}

static void
log_correction(const FlowQueue *q, int32 from, int32 to)
{
	ereport(LOG,
			(errmsg("number of running tasks of queue %d is %d, not %d", q->queue_id, to, from),
			 errdetail("It was corrected by counting the leases."),
			 errhint("That is normal after prepared transactions, and after rows were changed by "
					 "hand or by replication.")));
}

static bool
count(FlowQueue *q)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "taskq leases",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	uint64 word = flow_word(q);
	int32 before = flow_running(q);
	bool was_counted = q->counted;
	bool done = false;

	if (flow_inflight_of(word) == 0)
	{
		Seen seen = {
			.queue_id = q->queue_id,
			.ids = make_table("taskq open leases", sizeof(int64)),
			.groups = make_table("taskq groups", sizeof(GroupCount)),
		};

		row_for_each_open(HOT_LEASE, see_open, &seen);
		row_for_each(HOT_LEASE, see_committed, &seen);
		done = groups_set_running(q, word, seen.running, as_array(seen.groups),
								  hash_get_num_entries(seen.groups));
		if (done && was_counted && before != seen.running)
			log_correction(q, before, seen.running);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return done;
}

bool
running_is_known(FlowQueue *q)
{
	TimestampTz now = GetCurrentTimestamp();

	if (q->sweeps != flow_sweeps())
		groups_begin_anew(q);
	if (q->counted && now >= q->counted_at && now - q->counted_at < COUNT_AGAIN)
		return true;
	/* A number that may be too high can be used if it cannot be counted now. */
	return count(q) || q->counted;
}

/*
 * expiry.c
 *		When the running tasks' leases run out.
 *
 * Looking through taskq_private.lease for those that have run out costs as much as the
 * table is long, dead rows included, and these pile up while somebody holds an
 * old snapshot.  So shared memory has a table of all leases, kept by the
 * commits that make, extend and end them, and the look costs as much as tasks
 * are running.  It is a hint: what has run out is decided on the row.
 *
 * Where the table may not be complete it is not used: until the executor has
 * filled it after the start of the server, after prepared or replicated
 * transactions, and when a lease found no room.  Then, and every ten minutes,
 * taskq_private.lease is read once and the table filled from it.
 */
#include "task.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/spin.h"
#include "utils/array.h"
#include "utils/memutils.h"

#define NBUCKETS     2048
#define WAYS         16 /* leases in a bucket */
#define REFILL_EVERY (600 * USECS_PER_SEC)

typedef struct Known
{
	Oid database; /* InvalidOid: free */
	int32 queue_id;
	int64 id;
	TimestampTz until;
} Known;

typedef struct Bucket
{
	slock_t lock;
	Known lease[WAYS];
} Bucket;

static Bucket *buckets = NULL;

Size
expiry_shared_size(void)
{
	return mul_size(NBUCKETS, sizeof(Bucket));
}

void
expiry_init_shared(void *memory, bool found)
{
	buckets = memory;
	for (int i = 0; !found && i < NBUCKETS; i++)
	{
		memset(&buckets[i], 0, sizeof(Bucket));
		SpinLockInit(&buckets[i].lock);
	}
}

static Bucket *
bucket_of(int64 id)
{
	return &buckets[hash_combine(murmurhash32(MyDatabaseId), murmurhash32((uint32) id)) % NBUCKETS];
}

void
expiry_unknown(void)
{
	TaskqDatabase *db = taskq_my_database();

	if (db != NULL)
		pg_atomic_write_u32(&db->leases_known, 0);
}

/* Never fails. */
static void
set_until(int32 queue_id, int64 id, TimestampTz until)
{
	Bucket *b = bucket_of(id);
	Known *place = NULL;

	SpinLockAcquire(&b->lock);
	for (int i = 0; i < WAYS; i++)
	{
		Known *k = &b->lease[i];

		if (k->database == MyDatabaseId && k->id == id)
		{
			place = k;
			break;
		}
		if (k->database == InvalidOid && place == NULL)
			place = k;
	}
	if (place != NULL)
	{
		place->database = MyDatabaseId;
		place->queue_id = queue_id;
		place->id = id;
		place->until = until;
	}
	SpinLockRelease(&b->lock);
	if (place == NULL)
		expiry_unknown();
}

/*
 * A lease that ran until some time between the two.  There may be another one
 * by now, of the same task, whose commit has come here before this one's.
 */
static void
forget(int64 id, TimestampTz from, TimestampTz to)
{
	Bucket *b = bucket_of(id);

	SpinLockAcquire(&b->lock);
	for (int i = 0; i < WAYS; i++)
	{
		Known *k = &b->lease[i];

		if (k->database == MyDatabaseId && k->id == id && k->until >= from && k->until <= to)
			*k = (Known){0};
	}
	SpinLockRelease(&b->lock);
}

void
expiry_forget(Oid database)
{
	for (int i = 0; i < NBUCKETS; i++)
	{
		SpinLockAcquire(&buckets[i].lock);
		for (int j = 0; j < WAYS; j++)
		{
			if (buckets[i].lease[j].database == database)
				buckets[i].lease[j] = (Known){0};
		}
		SpinLockRelease(&buckets[i].lock);
	}
}

/* ---- what this transaction changes --------------------------------------------- */

typedef struct Change
{
	int32 queue_id;
	int64 id;
	TimestampTz until;
	bool gone;
	SubTransactionId subxact;
} Change;

static Change *changes = NULL;
static int nchanges = 0;
static int max_changes = 0;

static void
transaction_ended(XactEvent event, void *arg)
{
	for (int i = 0; event == XACT_EVENT_COMMIT && i < nchanges; i++)
	{
		if (changes[i].gone)
			forget(changes[i].id, changes[i].until, changes[i].until);
		else
			set_until(changes[i].queue_id, changes[i].id, changes[i].until);
	}
	if (event == XACT_EVENT_COMMIT && nchanges > 0)
		taskq_hints_changed();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		nchanges = 0;
}

static void
subtransaction_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int first = nchanges;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	/* Its own are the last ones. */
	while (first > 0 && changes[first - 1].subxact == mine)
		changes[--first].subxact = parent;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		nchanges = first;
}

void
expiry_note(const Row *lease, bool gone)
{
	if (buckets == NULL)
		return;
	if (changes == NULL)
	{
		max_changes = 16;
		changes = MemoryContextAlloc(TopMemoryContext, max_changes * sizeof(Change));
		RegisterXactCallback(transaction_ended, NULL);
		RegisterSubXactCallback(subtransaction_ended, NULL);
		(void) taskq_my_database();
	}
	if (nchanges == max_changes)
	{
		changes = repalloc_huge(changes, mul_size(2 * max_changes, sizeof(Change)));
		max_changes *= 2;
	}
	changes[nchanges++] = (Change){
		.queue_id = ROW_INT32(lease, LEASE_QUEUE_ID),
		.id = ROW_INT64(lease, LEASE_ID),
		.until = ROW_TIME(lease, LEASE_UNTIL),
		.gone = gone,
		.subxact = GetCurrentSubTransactionId(),
	};
}

/* ---- looks ----------------------------------------------------------------------- */

/* Calls see() with a copy of each lease of this database. */
typedef void (*See)(const Known *k, void *arg);

static void
for_each(See see, void *arg)
{
	for (int i = 0; i < NBUCKETS; i++)
	{
		Bucket *b = &buckets[i];
		Known copy[WAYS];

		SpinLockAcquire(&b->lock);
		memcpy(copy, b->lease, sizeof(copy));
		SpinLockRelease(&b->lock);
		for (int j = 0; j < WAYS; j++)
		{
			if (copy[j].database == MyDatabaseId)
				see(&copy[j], arg);
		}
	}
}

static bool
is_known(TaskqDatabase *db)
{
	return db != NULL && pg_atomic_read_u32(&db->leases_known) != 0 &&
		   GetCurrentTimestamp() - db->leases_filled_at < REFILL_EVERY;
}

/* The leases of a queue. */
typedef struct Running
{
	int32 queue_id;
	int count;
	Known *seen; /* NULL: only counted */
	int max;
} Running;

static void
see_running(const Known *k, void *arg)
{
	Running *running = arg;

	if (k->queue_id != running->queue_id)
		return;
	if (running->seen != NULL && running->count == running->max)
	{
		running->max *= 2;
		running->seen = repalloc(running->seen, running->max * sizeof(Known));
	}
	if (running->seen != NULL)
		running->seen[running->count] = *k;
	running->count++;
}

static void
count_lease(const Row *lease, void *arg)
{
	Running *running = arg;

	running->count += ROW_INT32(lease, LEASE_QUEUE_ID) == running->queue_id;
}

/* Whether this transaction has ended it, which may still be undone. */
static bool
is_ended_here(int64 id)
{
	for (int i = 0; i < nchanges; i++)
	{
		if (changes[i].gone && changes[i].id == id)
			return true;
	}
	return false;
}

/*
 * Forgets those of which there is no row: an end that came by a way which tells
 * nobody.  What has come in their place meanwhile has another time.
 */
static void
forget_without_row(int32 queue_id)
{
	Running running = {.queue_id = queue_id, .max = 64};
	HotRelation r;

	running.seen = palloc_array(Known, running.max);
	for_each(see_running, &running);
	hot_open(&r, HOT_LEASE);
	hot_begin_looks(&r);
	for (int i = 0; i < running.count; i++)
	{
		const Known *k = &running.seen[i];
		Row lease;

		if (!row_fetch(&r, k->id, &lease) && !is_ended_here(k->id))
			forget(k->id, k->until, k->until);
	}
	hot_end_looks(&r);
	hot_close(&r);
	pfree(running.seen);
}

/* What this transaction has claimed, less what it has ended. */
static int
count_own(int32 queue_id)
{
	int own = 0;

	for (int i = 0; i < nchanges; i++)
	{
		if (changes[i].queue_id == queue_id)
			own += changes[i].gone ? -1 : 1;
	}
	return own;
}

int
expiry_count_running(int32 queue_id, bool exactly)
{
	Running running = {.queue_id = queue_id};

	if (!is_known(taskq_my_database()))
	{
		row_for_each(HOT_LEASE, count_lease, &running);
		return running.count;
	}
	if (exactly)
		forget_without_row(queue_id);
	for_each(see_running, &running);
	return running.count + count_own(queue_id);
}

/* ---- SQL ------------------------------------------------------------------------- */

/* What is looked for. */
typedef struct Lapsed
{
	TimestampTz now; /* or since when */
	TimestampTz next;
	ArrayBuildState *ids;
} Lapsed;

static void
see_lapsed(const Known *k, void *arg)
{
	Lapsed *lapsed = arg;

	if (k->until <= lapsed->now)
		lapsed->ids = accumArrayResult(lapsed->ids, Int64GetDatum(k->id), false, INT8OID,
									   CurrentMemoryContext);
}

/* Ids of the leases that have run out; NULL: the table has to be looked through. */
PG_FUNCTION_INFO_V1(taskq_lapsed);
Datum
taskq_lapsed(PG_FUNCTION_ARGS)
{
	Lapsed lapsed = {.now = GetCurrentTimestamp()};

	if (!is_known(taskq_my_database()))
		PG_RETURN_NULL();
	for_each(see_lapsed, &lapsed);
	if (lapsed.ids == NULL)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(INT8OID));
	PG_RETURN_DATUM(makeArrayResult(lapsed.ids, CurrentMemoryContext));
}

static void
see_next(const Known *k, void *arg)
{
	Lapsed *next = arg;

	if (k->until > next->now)
		next->next = Min(next->next, k->until);
}

/* When the next lease runs out, after the given time, as far as is known; NULL: never. */
PG_FUNCTION_INFO_V1(taskq_next_lapse);
Datum
taskq_next_lapse(PG_FUNCTION_ARGS)
{
	Lapsed next = {.now = PG_GETARG_TIMESTAMPTZ(0), .next = DT_NOEND};

	if (buckets != NULL)
		for_each(see_next, &next);
	if (next.next == DT_NOEND)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(next.next);
}

static void
fill(const Row *lease, void *arg)
{
	set_until(ROW_INT32(lease, LEASE_QUEUE_ID), ROW_INT64(lease, LEASE_ID),
			  ROW_TIME(lease, LEASE_UNTIL));
}

/* Marked as known first: what finds no room from then on makes it unknown again. */
PG_FUNCTION_INFO_V1(taskq_fill_leases);
Datum
taskq_fill_leases(PG_FUNCTION_ARGS)
{
	TaskqDatabase *db = taskq_my_database();

	if (db == NULL)
		PG_RETURN_VOID();
	db->leases_filled_at = GetCurrentTimestamp();
	pg_atomic_write_u32(&db->leases_known, 1);
	pg_memory_barrier();
	row_for_each(HOT_LEASE, fill, NULL);
	PG_RETURN_VOID();
}

/* A lease that is said to have run out: loses it, or learns better; true: it is lost. */
PG_FUNCTION_INFO_V1(taskq_lose_lapsed);
Datum
taskq_lose_lapsed(PG_FUNCTION_ARGS)
{
	int64 id = PG_GETARG_INT64(0);
	TimestampTz now = GetCurrentTimestamp();
	Row lease;

	if (!row_read(HOT_LEASE, id, &lease))
		forget(id, DT_NOBEGIN, now);
	else if (ROW_TIME(&lease, LEASE_UNTIL) > now)
		set_until(ROW_INT32(&lease, LEASE_QUEUE_ID), id, ROW_TIME(&lease, LEASE_UNTIL));
	else
		PG_RETURN_BOOL(lease_lose(&lease));
	PG_RETURN_BOOL(false);
}

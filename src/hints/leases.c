/*
 * leases.c
 *		The leases of running tasks in shared memory.
 *
 * The cost of a search for expired leases in the table of leases grows with the size of the
 * table, including its dead rows, which pile up while a session holds an old snapshot.  So
 * shared memory has a copy of all leases, which is maintained by the commits that give,
 * extend and end them, and the cost of a search there grows only with the number of running
 * tasks.  The copy is a hint: the row decides whether a lease has run out.
 *
 * The copy is not used while it may be incomplete: until the executor has filled it
 * after a start of the server, after prepared or replicated transactions, and after a lease
 * has found no room.  In these cases, and every ten minutes, the table of leases is read
 * once and the copy is filled from it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/database.h"
#include "base/shmem.h"
#include "base/xact.h"
#include "hints/counts.h"
#include "hints/leases.h"
#include "tables/rows.h"

#define REFILL_EVERY (600 * USECS_PER_SEC)
#define CLOCK_STEP   USECS_PER_SEC /* a clock that was set back by less does no harm */

/* A lease; the key of its entry is the task's id. */
typedef struct Known
{
	HintEntry entry;
	int32 queue_id;
	TimestampTz last_set; /* see last_set_of() */
	TimestampTz until;
} Known;

HintTable leases_table = {
	.name = "taskq leases",
	.entry_size = sizeof(Known),
	.ways = 16,
	.entries = 32768,
	.never_evict = true,
};

void
leases_unknown(void)
{
	TaskqDatabase *db = database_mine();

	if (db != NULL)
		database_want(db, WANT_LEASES);
}

/* Never fails. */
static void
set_until(int32 queue_id, int64 id, TimestampTz last_set, TimestampTz until)
{
	Known *k = (Known *) hint_make(&leases_table, id, NULL);

	if (k == NULL)
	{
		leases_unknown();
		return;
	}
	k->queue_id = queue_id;
	k->last_set = last_set;
	k->until = until;
	hint_unlock(&leases_table, &k->entry);
}

/*
 * Forgets the lease if its end lies between the two times.  The task may have another lease
 * by now, if the commit of that one was told before.
 */
static void
forget(int64 id, TimestampTz from, TimestampTz to)
{
	Known *k = (Known *) hint_find(&leases_table, id);

	if (k == NULL)
		return;
	if (k->until >= from && k->until <= to)
		hint_free(&k->entry);
	hint_unlock(&leases_table, &k->entry);
}

/* ---- the changes of this transaction ------------------------------------------- */

typedef struct Change
{
	XactNote note;
	int32 queue_id;
	int64 id;
	TimestampTz last_set;
	TimestampTz until;
	int running; /* the change of the number of running tasks */
} Change;

static void
tell_change(const void *note)
{
	const Change *c = note;

	if (c->running < 0)
		forget(c->id, c->until, c->until);
	else
		set_until(c->queue_id, c->id, c->last_set, c->until);
}

static XactKind changes = {.note_size = sizeof(Change), .committed = tell_change};

/* The latest time that the clock has shown to this lease: its start, or its last extension. */
static TimestampTz
last_set_of(const Row *lease)
{
	TimestampTz started_at = ROW_TIME(lease, LEASE_STARTED_AT);

	return lease->nulls[LEASE_EXTENDED_AT] ? started_at
										   : Max(started_at, ROW_TIME(lease, LEASE_EXTENDED_AT));
}

static void
note_change(const Row *lease, int running)
{
	Change *c;

	if (!hint_is_shared(&leases_table))
		return;
	c = xact_note(&changes);
	c->queue_id = ROW_INT32(lease, LEASE_QUEUE_ID);
	c->id = ROW_INT64(lease, LEASE_ID);
	c->last_set = last_set_of(lease);
	c->until = ROW_TIME(lease, LEASE_UNTIL);
	c->running = running;
}

void
leases_given(const Row *lease)
{
	note_change(lease, 1);
}

void
leases_changed(const Row *lease)
{
	note_change(lease, 0);
}

void
leases_ended(const Row *lease)
{
	note_change(lease, -1);
}

/* ---- looks ----------------------------------------------------------------------- */

static bool
is_known(TaskqDatabase *db)
{
	return db != NULL && !database_wants(db, WANT_LEASES) &&
		   GetCurrentTimestamp() - db->leases_filled_at < REFILL_EVERY;
}

/* The leases of a queue, as a search collects or counts them. */
typedef struct Running
{
	int32 queue_id;
	int count;
	Known *seen;
	int max;
} Running;

static void
see_running(const void *entry, void *arg)
{
	const Known *k = entry;
	Running *running = arg;

	if (k->queue_id != running->queue_id)
		return;
	if (running->count == running->max)
	{
		running->max *= 2;
		running->seen = repalloc(running->seen, running->max * sizeof(Known));
	}
	running->seen[running->count++] = *k;
}

/* Whether this transaction has ended the lease; it may still roll back. */
static bool
is_ended_here(int64 id)
{
	for (int i = 0; i < xact_count(&changes); i++)
	{
		const Change *c = xact_note_at(&changes, i);

		if (c->running < 0 && c->id == id)
			return true;
	}
	return false;
}

/* Never fails. */
static void
know_lease(const Row *lease)
{
	set_until(ROW_INT32(lease, LEASE_QUEUE_ID), ROW_INT64(lease, LEASE_ID),
			  last_set_of(lease), ROW_TIME(lease, LEASE_UNTIL));
}

void
leases_correct(int64 id, const Row *lease)
{
	if (lease != NULL)
		know_lease(lease);
	else if (!is_ended_here(id))
		forget(id, DT_NOBEGIN, GetCurrentTimestamp());
}

/*
 * Forgets the leases of the queue that have no row: they ended in a way that updates no hints.
 * A new lease of the same task is not forgotten, because it ends at another time.
 */
static void
forget_without_row(int32 queue_id)
{
	Running running = {.queue_id = queue_id, .max = 64};
	HotRelation r;

	running.seen = palloc_array(Known, running.max);
	hint_for_each(&leases_table, see_running, &running);
	hot_open(&r, HOT_LEASE);
	hot_begin_looks(&r);
	for (int i = 0; i < running.count; i++)
	{
		const Known *k = &running.seen[i];
		Row lease;

		if (!row_fetch(&r, k->entry.number, &lease) && !is_ended_here(k->entry.number))
			forget(k->entry.number, k->until, k->until);
	}
	hot_end_looks(&r);
	hot_close(&r);
	pfree(running.seen);
}

/*
 * Calls count() such that the changes of a queue add up to the number of its running tasks,
 * including those that this transaction has claimed.  Reads the table of leases only if shared
 * memory does not know all leases.
 */
typedef void (*LeaseCounter)(int32 queue_id, int change, void *arg);

/* A LeaseCounter and its argument. */
typedef struct Counting
{
	LeaseCounter count;
	void *arg;
} Counting;

static void
count_known(const void *entry, void *arg)
{
	const Counting *counting = arg;

	counting->count(((const Known *) entry)->queue_id, 1, counting->arg);
}

static void
count_row(const Row *lease, void *arg)
{
	const Counting *counting = arg;

	counting->count(ROW_INT32(lease, LEASE_QUEUE_ID), 1, counting->arg);
}

static void
count_leases(LeaseCounter count, void *arg)
{
	Counting counting = {count, arg};

	if (!is_known(database_mine()))
	{
		row_for_each(HOT_LEASE, count_row, &counting);
		return;
	}
	hint_for_each(&leases_table, count_known, &counting);
	for (int i = 0; i < xact_count(&changes); i++)
	{
		const Change *c = xact_note_at(&changes, i);

		count(c->queue_id, c->running, arg);
	}
}

static void
count_of_queue(int32 queue_id, int change, void *arg)
{
	Running *running = arg;

	if (queue_id == running->queue_id)
		running->count += change;
}

int
leases_count_running(int32 queue_id, bool exactly)
{
	Running running = {.queue_id = queue_id};

	if (exactly && is_known(database_mine()))
		forget_without_row(queue_id);
	count_leases(count_of_queue, &running);
	return running.count;
}

/* ---- expired leases ---------------------------------------------------------------- */

static bool
is_ahead(TimestampTz last_set, TimestampTz now)
{
	return last_set > now + CLOCK_STEP;
}

bool
lease_is_ahead(const Row *lease, TimestampTz now)
{
	return is_ahead(last_set_of(lease), now);
}

bool
leases_are_known(void)
{
	return is_known(database_mine());
}

int
leases_lapsed(int *at, TimestampTz now, int64 *ids, int max, TimestampTz *next)
{
	int count = 0;

	for (; *at < hint_count(&leases_table) && count < max; (*at)++)
	{
		Known *k = (Known *) hint_lock_if_ours(&leases_table, *at);

		if (k == NULL)
			continue;
		if (k->until <= now || is_ahead(k->last_set, now))
			ids[count++] = k->entry.number;
		else
			*next = Min(*next, k->until);
		hint_unlock(&leases_table, &k->entry);
	}
	return count;
}

/* ---- filling ------------------------------------------------------------------------- */

/*
 * While a process reads the table of leases, leases_filled_at holds its pid as a negative
 * number, which is a time long ago.  If another process begins to read, or a lease finds no
 * room, the copy does not count as complete when the reading ends.
 */
static TimestampTz
filling_by_me(void)
{
	return -(TimestampTz) MyProcPid;
}

void
leases_begin_fill(void)
{
	TaskqDatabase *db = database_mine();

	if (db == NULL)
		return;
	db->leases_filled_at = filling_by_me();
	(void) database_take_want(db, WANT_LEASES);
}

void
leases_fill(const Row *lease)
{
	if (hint_is_shared(&leases_table))
		know_lease(lease);
}

void
leases_end_fill(TimestampTz began)
{
	TaskqDatabase *db = database_mine();

	if (db != NULL && db->leases_filled_at == filling_by_me())
		db->leases_filled_at = began;
}

PG_FUNCTION_INFO_V1(taskq_leases_changed);
Datum
taskq_leases_changed(PG_FUNCTION_ARGS)
{
	leases_unknown();
	counts_anew();
	database_hints_changed();
	PG_RETURN_VOID();
}

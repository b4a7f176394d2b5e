/*
 * leases.c
 *		When the running tasks' leases run out, as shared memory knows it.
 *
 * To look through the table of leases for those that have run out costs as much as the
 * table is long, dead rows included, and these pile up while some session holds an
 * old snapshot.  So shared memory has a table of all leases, kept by the
 * commits that give, extend and end them, and a look costs as much as tasks
 * are running.  It is a hint: whether a lease has run out is decided on its row.
 *
 * While the table may not be complete it is not used: until the executor has
 * filled it after the start of the server, after prepared or replicated
 * transactions, and when a lease has found no room.  Then, and every ten minutes,
 * the table of leases is read once, and this one is filled from it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/spin.h"
#include "utils/memutils.h"

#include "base/database.h"
#include "base/shmem.h"
#include "base/xact.h"
#include "hints/leases.h"
#include "tables/rows.h"

#define REFILL_EVERY (600 * USECS_PER_SEC)

/* A lease: its number is the task's id. */
typedef struct Known
{
	HintEntry entry;
	int32 queue_id;
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
set_until(int32 queue_id, int64 id, TimestampTz until)
{
	Known *k = (Known *) hint_make(&leases_table, id, NULL);

	if (k == NULL)
	{
		leases_unknown();
		return;
	}
	k->queue_id = queue_id;
	k->until = until;
	hint_unlock(&leases_table, &k->entry);
}

/*
 * Forgets the lease if it ran until some time between the two.  The task may have another
 * lease by now, whose commit has come here before this one's.
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

/* ---- what this transaction changes --------------------------------------------- */

typedef struct Change
{
	XactNote note;
	int32 queue_id;
	int64 id;
	TimestampTz until;
	int running; /* by how much it changes the number of running tasks */
} Change;

static void
tell_change(const void *note)
{
	const Change *c = note;

	if (c->running < 0)
		forget(c->id, c->until, c->until);
	else
		set_until(c->queue_id, c->id, c->until);
}

static XactKind changes = {.note_size = sizeof(Change), .committed = tell_change};

static void
note_change(const Row *lease, int running)
{
	Change *c;

	if (!hint_is_shared(&leases_table))
		return;
	c = xact_note(&changes);
	c->queue_id = ROW_INT32(lease, LEASE_QUEUE_ID);
	c->id = ROW_INT64(lease, LEASE_ID);
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

/* What is looked for: the leases of a queue. */
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

/* Whether this transaction has ended the lease, which may still be undone. */
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

void
leases_correct(int64 id, const Row *lease)
{
	if (lease != NULL)
		set_until(ROW_INT32(lease, LEASE_QUEUE_ID), id, ROW_TIME(lease, LEASE_UNTIL));
	else if (!is_ended_here(id))
		forget(id, DT_NOBEGIN, GetCurrentTimestamp());
}

/*
 * Forgets the leases of the queue that have no row: they ended by a way that tells no
 * process.  A lease that has come in the place of one meanwhile runs until another time.
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

void
leases_count(LeaseCounter count, void *arg)
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
	leases_count(count_of_queue, &running);
	return running.count;
}

/* ---- which have run out ------------------------------------------------------------ */

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
		if (k->until <= now)
			ids[count++] = k->entry.number;
		else
			*next = Min(*next, k->until);
		hint_unlock(&leases_table, &k->entry);
	}
	return count;
}

/* ---- filling ------------------------------------------------------------------------- */

/*
 * While a process reads the table of leases, leases_filled_at names it, as a time long ago.
 * If another process begins to read, or a lease finds no room, then the end of the reading
 * does not make the leases known.
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
		set_until(ROW_INT32(lease, LEASE_QUEUE_ID), ROW_INT64(lease, LEASE_ID),
				  ROW_TIME(lease, LEASE_UNTIL));
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
	database_hints_changed();
	PG_RETURN_VOID();
}

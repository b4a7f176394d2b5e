/*
 * looks.c
 *		Looks at tasks that wait for others: which are wanted, and whether any task waits at all.
 *
 * The tasks at which a look is wanted stand in a table in shared memory.  If their set is full, a
 * look at all tasks is wanted instead; so it is when the server starts, when rows have come past
 * the functions that write them, and when a transaction rolls back that has taken wanted looks.
 *
 * Each end of a task asks whether there are prerequisites at all.  The answer is two numbers: how
 * often some were added, and that number when a check found none.  A session counts what it adds
 * twice.  It counts before its commit, because it may end a task itself for which it has made
 * another one wait.  It counts after its commit, because a check that began before has not seen
 * its rows.  A session that ends a task between that commit and that count may get a wrong
 * answer; the look for which the commit asks comes later, and finds that the task has gone.
 *
 * Without shared memory the answer is always yes, and all tasks that wait are looked at.
 */
#include "postgres.h"

#include "base/database.h"
#include "base/xact.h"
#include "hints/looks.h"

HintTable looks_table = {
	.name = "taskq looks",
	.entry_size = sizeof(HintEntry),
	.ways = 16,
	.entries = 256,
	.never_evict = true,
};

/* So many tasks are noted one by one; if there are more, all are looked at. */
#define MAX_ASKED 256

/* The notes of the current transaction. */
static int64 asked[MAX_ASKED];
static int nasked = 0; /* may be greater than MAX_ASKED */
static bool added_any = false;
static bool took_any = false;

/* ---- at the end of a transaction ------------------------------------------------- */

static void
want(TaskqDatabase *db)
{
	database_want(db, WANT_LOOKS);
}

void
looks_at_all(void)
{
	TaskqDatabase *db = database_mine();

	if (db == NULL)
		return;
	(void) pg_atomic_fetch_add_u32(&db->prerequisites, 1);
	pg_atomic_write_u32(&db->look_at_all, 1);
	want(db);
}

static void
ask_for_looks(TaskqDatabase *db)
{
	for (int i = 0; i < Min(nasked, MAX_ASKED); i++)
	{
		HintEntry *entry = hint_make(&looks_table, asked[i], NULL);

		if (entry == NULL)
			nasked = MAX_ASKED + 1;
		else
			hint_unlock(&looks_table, entry);
	}
	if (nasked > MAX_ASKED)
		pg_atomic_write_u32(&db->look_at_all, 1);
	want(db);
}

static void
forget_notes(void)
{
	nasked = 0;
	added_any = took_any = false;
}

static void
looks_ended(XactEnd end)
{
	if (end == XACT_ROLLED_BACK && took_any)
		looks_at_all();
	if (end != XACT_COMMITTED)
		forget_notes();
}

static void
tell_executor(bool committed)
{
	TaskqDatabase *db = nasked > 0 ? database_mine() : NULL;

	if (committed && db != NULL)
	{
		(void) pg_atomic_fetch_add_u32(&db->prerequisites, added_any ? 1 : 0);
		ask_for_looks(db);
	}
	forget_notes();
}

static XactKind told_at_commit = {.ended = looks_ended, .released = tell_executor};

/* ---- notes ------------------------------------------------------------------------- */

void
look_at_commit(int64 dependent, bool added)
{
	TaskqDatabase *db = database_mine();

	if (db == NULL)
		return;
	xact_register(&told_at_commit);
	if (nasked > 0 && nasked <= MAX_ASKED && asked[nasked - 1] == dependent && added_any >= added)
		return;
	if (nasked < MAX_ASKED)
		asked[nasked] = dependent;
	nasked = Min(nasked + 1, MAX_ASKED + 1);
	if (added && !added_any)
		(void) pg_atomic_fetch_add_u32(&db->prerequisites, 1);
	added_any |= added;
}

/* ---- what is wanted ------------------------------------------------------------------ */

int
looks_take(int64 *ids, int max)
{
	int count = 0;

	if (database_mine() == NULL)
		return 0;
	xact_register(&told_at_commit);
	for (int i = 0; i < hint_count(&looks_table) && count < max; i++)
	{
		HintEntry *entry = hint_lock_if_ours(&looks_table, i);

		if (entry == NULL)
			continue;
		ids[count++] = entry->number;
		hint_free(entry);
		hint_unlock(&looks_table, entry);
	}
	took_any |= count > 0;
	return count;
}

bool
looks_take_all(void)
{
	TaskqDatabase *db = database_mine();
	bool wanted = db == NULL || pg_atomic_exchange_u32(&db->look_at_all, 0) != 0;

	if (wanted)
		xact_register(&told_at_commit);
	took_any |= wanted;
	return wanted;
}

/* ---- in use -------------------------------------------------------------------------- */

/* The barrier orders the caller's deletion and the read. */
bool
looks_in_use(void)
{
	TaskqDatabase *db = database_mine();

	if (db == NULL)
		return true;
	pg_memory_barrier();
	return pg_atomic_read_u32(&db->prerequisites) != pg_atomic_read_u32(&db->none_at);
}

uint32
looks_begin_check(void)
{
	TaskqDatabase *db = database_mine();
	uint32 begun = db == NULL ? 0 : pg_atomic_read_u32(&db->prerequisites);

	pg_memory_barrier(); /* the check must come after the read */
	return begun;
}

void
looks_not_in_use(uint32 begun)
{
	TaskqDatabase *db = database_mine();

	if (db != NULL)
		pg_atomic_write_u32(&db->none_at, begun);
}

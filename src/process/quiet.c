/*
 * quiet.c
 *		Looks that would find nothing again, and how long the executor may sleep.
 *
 * The executor polls: at each poll it would look for due tasks, leases that have run out, and so
 * on.  A look is a transaction, so it is skipped as long as nothing can have changed since the last
 * one that found nothing.
 *
 * When nothing has changed for some time, the executor does not even wake up for its polls.  It
 * sleeps until the earliest time that a look has reported.  What may give it something to do wakes
 * it meanwhile: a transaction that has changed the hints in shared memory (rows of tasks and
 * leases, by our functions) or set a want (all else; among them the end of a prepared transaction,
 * of a replicated one, and of a statement that has written tasks or leases).
 *
 * The flag "asleep" says that such a transaction must wake the executor.  Both sides first write
 * and then read, so that one of them sees the other: the executor sets the flag and then looks
 * whether something has changed; a transaction changes the number and then looks at the flag.
 *
 * While it sleeps it compares the numbers of changes now and then (executor.c).  So it notices what
 * does not wake it: rows of other tables that were written by hand, and the end of a transaction
 * that has locked a row by hand.
 *
 * Without preload no session can wake the executor, and it always polls.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/arg.h"
#include "base/compat.h"
#include "base/database.h"
#include "base/settings.h"
#include "core/clock.h"
#include "process/quiet.h"

/* So many polls find nothing changed before the executor sleeps. */
#define CALM_POLLS 20


/* A look is repeated after that time at the latest. */
#define REPEAT_MS (15 * 60 * 1000)

/* The clock was set if it has moved by so much against the monotonic one. */
#define CLOCK_STEP_MS 100

/* Wants that do not call for a poll: the launcher sees to the first. */
#define WANTS_OF_OTHERS WANT_PROBE

static int64 calm_since = 0; /* since then quiet_changes() has been... */
static uint64 calm_at = 0;   /* ...this number */
static uint64 asleep_at = 0; /* this number when a sleep began */

/* ---- changes ---------------------------------------------------------------------- */

/* How often the system clock was set. */
static uint64
clock_steps(void)
{
	static uint64 steps = 0;
	static int64 offset = 0;
	int64 now = GetCurrentTimestamp() / US_PER_MS - tq_clock_ms();

	if (llabs(now - offset) > CLOCK_STEP_MS)
	{
		offset = now;
		steps++;
	}
	return steps;
}

/* Such a look sees the rows of a transaction as soon as the transaction counts as ended. */
uint64
quiet_row_changes(void)
{
	return compat_completed_transactions();
}

/*
 * Grows with the end of each transaction, and again a little later, when that transaction has
 * updated the hints in shared memory.  It must grow twice: a look between the two moments finds
 * nothing of the transaction.
 */
uint64
quiet_changes(void)
{
	TaskqDatabase *db = database_mine();

	return clock_steps() + compat_completed_transactions() +
		   (db == NULL ? 0 : pg_atomic_read_u64(&db->hints));
}

/* ---- looks ------------------------------------------------------------------------- */

bool
still_quiet(const Quiet *quiet, uint64 changes, int64 *next_ms)
{
	int64 now = tq_clock_ms();

	if (now >= quiet->until || quiet->changes != changes)
		return false;
	*next_ms = quiet->due_at < 0 ? -1 : quiet->due_at - now;
	return true;
}

Quiet
quiet_after(uint64 changes, int64 next_ms)
{
	int64 now = tq_clock_ms();
	Quiet quiet = {changes, now + REPEAT_MS, -1};

	if (next_ms >= 0)
	{
		quiet.due_at = now + next_ms;
		quiet.until = Min(quiet.until, quiet.due_at);
	}
	return quiet;
}

/* ---- sleep ------------------------------------------------------------------------- */

int64
quiet_for_ms(void)
{
	uint64 changes = quiet_changes();
	int64 now = tq_clock_ms();

	if (calm_since == 0 || changes != calm_at)
		calm_since = now;
	calm_at = changes;
	return now - calm_since;
}

int64
quiet_sleep_ms(void)
{
	TaskqDatabase *db = database_mine();
	bool calm = quiet_for_ms() >= (int64) setting_poll_interval * CALM_POLLS;

	if (db == NULL || !calm || database_wants(db, ~WANTS_OF_OTHERS))
		return 0;
	return REPEAT_MS;
}

/* The exchange is a memory barrier. */
bool
quiet_begin_sleep(void)
{
	TaskqDatabase *db = database_mine();

	if (db == NULL)
		return false;
	(void) pg_atomic_exchange_u32(&db->asleep, 1);
	asleep_at = calm_at;
	if (quiet_sleep_ms() > 0)
		return true;
	(void) quiet_end_sleep();
	return false;
}

bool
quiet_has_changed(void)
{
	return quiet_changes() != asleep_at;
}

bool
quiet_end_sleep(void)
{
	pg_atomic_write_u32(&database_mine()->asleep, 0);
	return quiet_has_changed();
}

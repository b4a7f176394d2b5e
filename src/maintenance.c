/*
 * maintenance.c
 *		When expired leases are taken back, history is looked after, and a sweep
 *		looks for tasks that nobody was told of.
 *
 * A lease is taken back when it runs out, as far as we know of it; of leases
 * given since, we learn at the next poll.  The poll goes along with the
 * engine's own, which wakes the process anyway, and wakes it only when the
 * engine has not done so for a quarter more than the interval.
 *
 * A sweep goes in short steps, for between two of them the engine has its turn.
 * One begins when a commit asks for it, which is when the tasks of prepared or
 * replicated transactions have come, and once a minute in any case.  Where it
 * takes long, because dead rows pile up, it takes a tenth of the time at most.
 */
#include "taskq.h"

#include "pgstat.h"

#define HISTORY_EVERY_MS INT64CONST(60000)
#define SWEEP_EVERY_MS   INT64CONST(60000)
#define SWEEP_STEP_MS    INT64CONST(20)
#define SWEEP_REST       9 /* times the length of the last sweep */

/* On the executor's clock; all zero: due at once. */
static int64 polled_at = 0;
static int64 lease_ends_at = 0;
static int64 history_at = 0;

static bool sweeping = false;
static int64 sweep_began_at = 0;
static int64 sweep_step_at = 0; /* the next step, of this sweep or the next one */
static int64 sweep_at = 0;      /* when one begins that nobody has asked for */

static void
take_back_leases(int64 now)
{
	int64 next_ms = -1;

	polled_at = now;
	lease_ends_at = PG_INT64_MAX;
	if (store_expire_leases(&next_ms) && next_ms >= 0)
		lease_ends_at = now + next_ms;
	/* Statistics that were held back so far. */
	pgstat_report_stat(true);
}

static bool
sweep_is_wanted(void)
{
	TaskqDatabase *db = taskq_my_database();

	return db != NULL && pg_atomic_read_u32(&db->sweep) != 0;
}

static void
sweep(int64 now)
{
	bool done = false;

	if (!sweeping)
	{
		pg_atomic_exchange_u32(&taskq_my_database()->sweep, 0);
		sweeping = true;
		sweep_began_at = now;
	}
	sweep_step_at = now + SWEEP_STEP_MS;
	if (!store_sweep(&done) || !done)
		return;
	sweeping = false;
	now = executor_now_ms();
	sweep_step_at = now + SWEEP_REST * (now - sweep_began_at);
	sweep_at = now + SWEEP_EVERY_MS;
}

static int64
sweep_due_at(void)
{
	if (taskq_shared == NULL)
		return PG_INT64_MAX;
	return sweeping || sweep_is_wanted() ? sweep_step_at : Max(sweep_at, sweep_step_at);
}

void
maintenance_hurry(void)
{
	history_at = 0;
}

void
maintenance_run(void)
{
	int64 now = executor_now_ms();

	if (now >= lease_ends_at || now >= polled_at + taskq_poll_interval * 3 / 4)
		take_back_leases(now);
	if (now >= history_at)
	{
		history_at = now + HISTORY_EVERY_MS;
		store_clean_up();
	}
	if (now >= sweep_due_at())
		sweep(now);
}

int64
maintenance_due_in(void)
{
	int64 at = polled_at + taskq_poll_interval * 5 / 4;

	at = Min(at, lease_ends_at);
	at = Min(at, history_at);
	at = Min(at, sweep_due_at());
	return Max(at - executor_now_ms(), 0);
}

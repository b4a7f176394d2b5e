/*
 * maintenance.c
 *		When expired leases are taken back and history is looked after.
 *
 * A lease is taken back when it runs out, as far as we know of it; of leases
 * given since, we learn at the next poll.  The poll goes along with the
 * engine's own, which wakes the process anyway, and wakes it only when the
 * engine has not done so for a quarter more than the interval.
 */
#include "taskq.h"

#include "pgstat.h"

#define HISTORY_EVERY_MS INT64CONST(60000)

/* On the executor's clock; all zero: due at once. */
static int64 polled_at = 0;
static int64 lease_ends_at = 0;
static int64 history_at = 0;

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
}

int64
maintenance_due_in(void)
{
	int64 at = polled_at + taskq_poll_interval * 5 / 4;

	at = Min(at, lease_ends_at);
	at = Min(at, history_at);
	return Max(at - executor_now_ms(), 0);
}

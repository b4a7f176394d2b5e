/*
 * duties.c
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
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "base/database.h"
#include "base/settings.h"
#include "base/sql.h"
#include "core/clock.h"
#include "process/duties.h"
#include "process/transaction.h"

static Operation op_recover = {.name = "recover an executor's tasks", .failure_level = WARNING};
static Operation op_leases = {.name = "take back expired leases", .failure_level = WARNING};
static Operation op_sweep = {.name = "look for tasks", .failure_level = WARNING};
static Operation op_make_history = {.name = "make tables of history", .failure_level = DEBUG1};
static Operation op_drop_history = {.name = "drop tables of history", .failure_level = DEBUG1};
static Operation op_drop_keys = {.name = "forget keys", .failure_level = WARNING};

static Statement call_recover = {.sql = "select taskq_private.push_recover()"};
static Statement call_expire = {.sql = "select taskq_private.expire_leases()"};
static Statement call_sweep = {.sql = "select taskq_private.sweep()"};
static Statement call_make_history = {.sql = "select taskq_private.make_history()"};
static Statement call_drop_history = {.sql = "select taskq_private.drop_history()"};
static Statement call_drop_keys = {.sql = "select taskq_private.drop_keys()"};

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
work_call(void *arg)
{
	sql_call(arg, NULL, NULL);
}

static void
work_expire(void *arg)
{
	*(int64 *) arg = sql_call_for_int64(&call_expire);
}

bool
duties_recover(void)
{
	return transact(&op_recover, work_call, &call_recover);
}

static void
clean_up(void)
{
	(void) transact(&op_make_history, work_call, &call_make_history);
	(void) transact(&op_drop_history, work_call, &call_drop_history);
	(void) transact(&op_drop_keys, work_call, &call_drop_keys);
}

static bool
expire_leases(int64 *next_ms)
{
	static Quiet quiet = {0};
	uint64 before = quiet_endings();

	if (still_quiet(&quiet, next_ms))
		return true;
	if (!transact(&op_leases, work_expire, next_ms))
		return false;
	quiet = quiet_after(before, *next_ms);
	return true;
}

static void
work_sweep(void *arg)
{
	*(bool *) arg = sql_call_for_int64(&call_sweep) != 0;
}

static bool
sweep_step(bool *done)
{
	return transact(&op_sweep, work_sweep, done);
}

static void
take_back_leases(int64 now)
{
	int64 next_ms = -1;

	polled_at = now;
	lease_ends_at = PG_INT64_MAX;
	if (expire_leases(&next_ms) && next_ms >= 0)
		lease_ends_at = now + next_ms;
	/* Statistics that were held back so far. */
	pgstat_report_stat(true);
}

static bool
sweep_is_wanted(void)
{
	TaskqDatabase *db = database_mine();

	return db != NULL && database_wants(db, WANT_SWEEP);
}

static void
sweep(int64 now)
{
	bool done = false;

	if (!sweeping)
	{
		(void) database_take_want(database_mine(), WANT_SWEEP);
		sweeping = true;
		sweep_began_at = now;
	}
	sweep_step_at = now + SWEEP_STEP_MS;
	if (!sweep_step(&done) || !done)
		return;
	sweeping = false;
	now = tq_clock_ms();
	sweep_step_at = now + SWEEP_REST * (now - sweep_began_at);
	sweep_at = now + SWEEP_EVERY_MS;
}

static int64
sweep_due_at(void)
{
	if (registry == NULL)
		return PG_INT64_MAX;
	return sweeping || sweep_is_wanted() ? sweep_step_at : Max(sweep_at, sweep_step_at);
}

void
duties_hurry(void)
{
	history_at = 0;
}

void
duties_run(void)
{
	int64 now = tq_clock_ms();

	if (now >= lease_ends_at || now >= polled_at + setting_poll_interval * 3 / 4)
		take_back_leases(now);
	if (now >= history_at)
	{
		history_at = now + HISTORY_EVERY_MS;
		clean_up();
	}
	if (now >= sweep_due_at())
		sweep(now);
}

int64
duties_due_in(void)
{
	int64 at = polled_at + setting_poll_interval * 5 / 4;

	at = Min(at, lease_ends_at);
	at = Min(at, history_at);
	at = Min(at, sweep_due_at());
	return Max(at - tq_clock_ms(), 0);
}

/*
 * duties.c
 *		What the executor does beside delivering, as a table.
 *
 * A duty is an SQL function that does a bounded part of its work and says when it is due again.
 * Transfers wait while it runs, so a turn of the engine comes after each few milliseconds of
 * duties.
 *
 * A duty that recurs goes along with the engine's own polls, which wake the process anyway: it
 * is called when the process is awake, from three quarters of its period on, and wakes the
 * process itself only a quarter after its period.
 */
#include "postgres.h"

#include "pgstat.h"

#include "base/database.h"
#include "base/settings.h"
#include "base/sql.h"
#include "core/clock.h"
#include "process/duties.h"
#include "process/transaction.h"

#define TURN_MS     5 /* for the duties of one turn; the last one may exceed it */
#define MINUTE_MS   INT64CONST(60000)
#define PERIOD_POLL 0

/* What a duty is, and below the line when it is due.  Times are on the monotonic clock. */
typedef struct Duty
{
	Operation operation;

	/*
	 * Returns the milliseconds until the duty is due again: 0 at once, and then more of the
	 * same work follows; NULL after its period.
	 */
	Statement call;
	int64 period_ms;   /* PERIOD_POLL: taskq.poll_interval */
	bool when_changed; /* not called while nothing has changed in the cluster */
	uint32 wants;      /* of DatabaseWant: due at once if one of these is set */
	int rest;          /* when its work is done it rests so many times as long as that took */

	/* -------- */

	bool working;         /* the call has announced more work */
	bool asked;           /* one of the wants was taken, and the work is not done */
	int64 began_at;       /* this work */
	int64 may_at;         /* called from then on, if the process is awake */
	int64 due_at;         /* the process wakes up for it */
	int64 rests_until_at; /* neither before */
	Quiet quiet;
} Duty;

static Duty duties[] = {
	{.operation = {.name = "take back expired leases", .failure_level = WARNING},
	 .call = {.sql = "select taskq_private.take_back_leases(5)"},
	 .period_ms = PERIOD_POLL,
	 .when_changed = true},
	{.operation = {.name = "expire tasks", .failure_level = WARNING},
	 .call = {.sql = "select taskq_private.expire_starts(5)"},
	 .period_ms = PERIOD_POLL,
	 .when_changed = true},
	{.operation = {.name = "make tables of history", .failure_level = DEBUG1},
	 .call = {.sql = "select taskq_private.make_history()"},
	 .period_ms = MINUTE_MS,
	 .wants = WANT_HISTORY},
	{.operation = {.name = "drop tables of history", .failure_level = DEBUG1},
	 .call = {.sql = "select taskq_private.drop_history()"},
	 .period_ms = MINUTE_MS},
	{.operation = {.name = "forget keys", .failure_level = WARNING},
	 .call = {.sql = "select taskq_private.drop_keys()"},
	 .period_ms = MINUTE_MS},
	/* Where a sweep takes long, because dead rows pile up, it takes a tenth of the time at most. */
	{.operation = {.name = "look for tasks", .failure_level = WARNING},
	 .call = {.sql = "select case when not taskq_private.sweep() then 20::bigint end"},
	 .period_ms = MINUTE_MS,
	 .wants = WANT_SWEEP,
	 .rest = 9}};

/* ---- one duty ------------------------------------------------------------------------ */

static bool
is_asked_for(const Duty *duty)
{
	TaskqDatabase *db = database_mine();

	return duty->asked || (duty->wants != 0 && db != NULL && database_wants(db, duty->wants));
}

/* at: as planned, may_at or due_at. */
static int64
when_due(const Duty *duty, int64 at)
{
	if (!duty->working && is_asked_for(duty))
		return duty->rests_until_at;
	return Max(at, duty->rests_until_at);
}

/* next_ms: what the call has returned; -1: NULL. */
static void
plan(Duty *duty, int64 now, int64 next_ms)
{
	int64 period = duty->period_ms == PERIOD_POLL ? setting_poll_interval : duty->period_ms;

	duty->may_at = now + period * 3 / 4;
	duty->due_at = now + period * 5 / 4;
	if (next_ms < 0)
		return;
	duty->may_at = Min(duty->may_at, now + next_ms);
	duty->due_at = Min(duty->due_at, now + next_ms);
}

/* What work_call() does. */
typedef struct Call
{
	Statement *statement;
	int64 result; /* -1: NULL */
} Call;

static void
work_call(void *arg)
{
	Call *call = arg;

	call->result = sql_call_for_int64(call->statement);
}

/* False: it failed.  Not called where a call is known to find what the last one has found. */
static bool
call_duty(Duty *duty, int64 *next_ms)
{
	Call call = {.statement = &duty->call};
	uint64 before = quiet_endings();

	if (duty->when_changed && still_quiet(&duty->quiet, next_ms))
		return true;
	if (!transact(&duty->operation, work_call, &call))
		return false;
	*next_ms = call.result;
	duty->quiet = quiet_after(before, *next_ms);
	return true;
}

static void
begin_work(Duty *duty)
{
	duty->working = true;
	duty->began_at = tq_clock_ms();
	if (is_asked_for(duty))
		duty->asked = duty->asked || database_take_want(database_mine(), duty->wants);
}

/* A duty that has failed is called again after its period, or, if asked for, at the next poll. */
static void
perform_duty(Duty *duty)
{
	int64 next_ms = -1;
	bool done;
	int64 now;

	if (!duty->working)
		begin_work(duty);
	done = call_duty(duty, &next_ms);
	now = tq_clock_ms();
	plan(duty, now, next_ms);
	duty->working = next_ms >= 0;
	if (!done)
		duty->rests_until_at = now + setting_poll_interval;
	else if (!duty->working)
	{
		duty->asked = false;
		duty->rests_until_at = now + duty->rest * (now - duty->began_at);
	}
	/* Statistics that were held back so far. */
	if (duty->period_ms == PERIOD_POLL && next_ms != 0)
		pgstat_report_stat(true);
}

/* ---- all of them ----------------------------------------------------------------------- */

void
duties_run(void)
{
	static int first = 0;
	int64 until = tq_clock_ms() + TURN_MS;

	for (int i = 0; i < (int) lengthof(duties); i++)
	{
		Duty *duty = &duties[(first + i) % lengthof(duties)];

		if (tq_clock_ms() < when_due(duty, duty->may_at))
			continue;
		perform_duty(duty);
		if (tq_clock_ms() < until)
			continue;
		/* The next turn begins with the next duty. */
		first = (first + i + 1) % lengthof(duties);
		return;
	}
}

int64
duties_due_in(void)
{
	int64 at = PG_INT64_MAX;

	for (int i = 0; i < (int) lengthof(duties); i++)
		at = Min(at, when_due(&duties[i], duties[i].due_at));
	return Max(at - tq_clock_ms(), 0);
}

/* ---- at the start ------------------------------------------------------------------------ */

static Operation op_recover = {
	.name = "recover an executor's tasks",
	.failure_level = WARNING};
static Statement call_look_ahead = {.sql = "select taskq_private.look_ahead_all()"};
static Statement call_recover = {.sql = "select taskq_private.recover_leases()"};

bool
duties_recover(void)
{
	Call call = {.statement = &call_look_ahead};

	if (!transact(&op_recover, work_call, &call))
		return false;
	call.statement = &call_recover;
	do
	{
		if (!transact(&op_recover, work_call, &call))
			return false;
	} while (call.result > 0);
	return true;
}

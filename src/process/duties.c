/*
 * duties.c
 *		The executor's work besides deliveries, as a table.
 *
 * A duty is an SQL function that does a bounded part of its work and says when it is due again.
 * Transfers wait while it runs, so a turn of the engine comes after each few milliseconds of
 * duties.
 *
 * The engine's own polls wake the process anyway, and a recurring duty uses these moments: after
 * three quarters of its period it is called as soon as the process is awake.  It wakes the
 * process itself only a quarter of a period late.
 */
#include "postgres.h"

#include "pgstat.h"

#include "base/database.h"
#include "base/settings.h"
#include "base/sql.h"
#include "core/clock.h"
#include "process/duties.h"
#include "process/quiet.h"
#include "process/transaction.h"

#define TURN_MS     5 /* for the duties of one turn; the last one may exceed it */
#define MINUTE_MS   INT64CONST(60000)
#define DAY_MS      (24 * 60 * MINUTE_MS)
#define PERIOD_POLL 0
#define MORE_MS     20

/* A duty, and below the line its current state.  Times are on the monotonic clock. */
typedef struct Duty
{
	Operation operation;

	/*
	 * Returns the milliseconds until the duty is due again.  Up to MORE_MS: there is more of the
	 * same work.  NULL: after its period.
	 */
	Statement call;
	int64 period_ms; /* PERIOD_POLL: taskq.poll_interval */
	bool always;     /* also called if nothing has changed since the last call */
	uint32 wants;    /* of DatabaseWant: due at once if one of these is set */
	int rest;        /* after its work, pause so many times the duration of the work */
	int rest_ms;     /* and at least so long */

	/* -------- */

	bool working;         /* the next call continues this round of calls */
	bool asked;           /* one of the wants was taken, and the work is not done */
	int64 began_at;       /* when this work began */
	int64 may_at;         /* from then on it is called if the process is awake */
	int64 due_at;         /* the process wakes up then to call it */
	int64 rests_until_at; /* not called before */
	uint64 changes;       /* their number before this round */
	Quiet quiet;          /* after the last round */
} Duty;

static Duty duties[] = {
	{.operation = {.name = "take back expired leases"},
	 .call = {.sql = "select taskq_private.take_back_leases(5)"},
	 .period_ms = PERIOD_POLL},
	{.operation = {.name = "expire tasks"},
	 .call = {.sql = "select taskq_private.expire_starts(5)"},
	 .period_ms = PERIOD_POLL},
	/* Of a batch each end asks for a look, so one look has to serve for many of them. */
	{.operation = {.name = "look at tasks that wait for others"},
	 .call = {.sql = "select taskq_private.look_at_waiting(5)"},
	 .period_ms = PERIOD_POLL,
	 .wants = WANT_LOOKS,
	 .rest = 9,
	 .rest_ms = 5},
	{.operation = {.name = "empty dropped queues"},
	 .call = {.sql = "select taskq_private.empty_queues(5)"},
	 .period_ms = MINUTE_MS,
	 .wants = WANT_EMPTY},
	{.operation = {.name = "make tables of history"},
	 .call = {.sql = "select taskq_private.make_history()"},
	 .period_ms = MINUTE_MS,
	 .wants = WANT_HISTORY},
	{.operation = {.name = "drop tables of history"},
	 .call = {.sql = "select taskq_private.drop_history()"},
	 .period_ms = MINUTE_MS},
	/* Also at the start, as every duty. */
	{.operation = {.name = "compute times of schedules"},
	 .call = {.sql = "select taskq_private.compute_times()"},
	 .period_ms = DAY_MS,
	 .always = true},
	{.operation = {.name = "fire schedules"},
	 .call = {.sql = "select taskq_private.fire_schedules(10)"},
	 .period_ms = PERIOD_POLL,
	 .wants = WANT_FIRING},
	{.operation = {.name = "trim events"},
	 .call = {.sql = "select taskq_private.trim_events()"},
	 .period_ms = PERIOD_POLL},
	{.operation = {.name = "forget wants"},
	 .call = {.sql = "select taskq_private.drop_demand()"},
	 .period_ms = MINUTE_MS},
	{.operation = {.name = "forget keys"},
	 .call = {.sql = "select taskq_private.drop_keys(5)"},
	 .period_ms = MINUTE_MS},
	/* A sweep may take long when there are many dead rows; it gets a tenth of the time at most. */
	{.operation = {.name = "look for tasks"},
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

/* at: the planned time, may_at or due_at. */
static int64
when_due(const Duty *duty, int64 at)
{
	if (!duty->working && is_asked_for(duty))
		return duty->rests_until_at;
	return Max(at, duty->rests_until_at);
}

/* next_ms: the result of the call; -1: NULL. */
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

/* The argument of work_call(). */
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

/* Only the rows matter to those that look at them once a minute. */
static uint64
changes_for(const Duty *duty)
{
	return duty->period_ms == PERIOD_POLL ? quiet_changes() : quiet_row_changes();
}

/* Whether a call would find the same as the last one; *next_ms is as of that call. */
static bool
would_find_nothing(const Duty *duty, int64 *next_ms)
{
	return !duty->always && !is_asked_for(duty) &&
		   still_quiet(&duty->quiet, changes_for(duty), next_ms);
}

/* False: it failed. */
static bool
call_duty(Duty *duty, int64 *next_ms)
{
	Call call = {.statement = &duty->call};
	bool done;

	done = transact(&duty->operation, work_call, &call);
	*next_ms = done ? call.result : -1;
	duty->quiet = done ? quiet_after(duty->changes, *next_ms) : (Quiet){0};
	return done;
}

static void
begin_work(Duty *duty)
{
	duty->working = true;
	duty->began_at = tq_clock_ms();
	duty->changes = changes_for(duty);
	if (is_asked_for(duty))
		duty->asked = duty->asked || database_take_want(database_mine(), duty->wants);
}

/* A failed duty is called again after its period; if it was asked for, at the next poll. */
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
	duty->working = next_ms >= 0 && next_ms <= MORE_MS;
	if (!done)
		duty->rests_until_at = now + setting_poll_interval;
	else if (!duty->working)
	{
		duty->asked = false;
		duty->rests_until_at = now + Max(duty->rest * (now - duty->began_at), duty->rest_ms);
	}
	/* Sends statistics that the server has held back so far. */
	if (duty->period_ms == PERIOD_POLL && next_ms != 0)
		pgstat_report_stat(true);
}

/* ---- all duties ------------------------------------------------------------------------ */

void
duties_run(void)
{
	static int first = 0;
	int64 until = tq_clock_ms() + TURN_MS;

	for (int i = 0; i < (int) lengthof(duties); i++)
	{
		Duty *duty = &duties[(first + i) % lengthof(duties)];
		int64 next_ms;

		if (tq_clock_ms() < when_due(duty, duty->may_at))
			continue;
		if (would_find_nothing(duty, &next_ms))
		{
			plan(duty, tq_clock_ms(), next_ms);
			continue;
		}
		perform_duty(duty);
		if (tq_clock_ms() < until)
			continue;
		/* The next turn begins with the next duty. */
		first = (first + i + 1) % lengthof(duties);
		return;
	}
}

int64
duties_due_in(bool asleep)
{
	int64 at = PG_INT64_MAX;

	for (int i = 0; i < (int) lengthof(duties); i++)
	{
		const Duty *duty = &duties[i];
		int64 next_ms;

		if (asleep && would_find_nothing(duty, &next_ms))
			at = Min(at, duty->quiet.until);
		else
			at = Min(at, when_due(duty, duty->due_at));
	}
	return Max(at - tq_clock_ms(), 0);
}

/* ---- at the start ------------------------------------------------------------------------ */

static Operation op_recover = {
	.name = "recover an executor's tasks"};
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

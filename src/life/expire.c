/*
 * expire.c
 *		Ends leases that have run out, and tasks that were not started in time; forgets keys.
 *
 * The work is done in passes (pass.c).  A round of passes looks at every row that had run out when
 * the round began.
 *
 * A pass skips a row that another transaction is changing.  If that transaction rolls back, the
 * next round finds the row.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/arg.h"
#include "hints/leases.h"
#include "life/end.h"
#include "life/expire.h"
#include "life/finish.h"
#include "life/lease.h"
#include "life/pass.h"
#include "life/pending.h"
#include "tables/arming.h"
#include "tables/backlog.h"
#include "tables/queue.h"
#include "tables/rows.h"
#include "tables/state.h"

bool
task_start_expired(const Row *task, TimestampTz now)
{
	return !task->nulls[TASK_START_BY] && ROW_TIME(task, TASK_START_BY) <= now;
}

/* ---- leases ------------------------------------------------------------------------ */

static bool
is_ahead(const Row *lease)
{
	return lease_is_ahead(lease, GetCurrentTimestamp());
}

/*
 * Ends the attempts of these leases.  Skips a lease that was extended or ended after it was
 * read.  A lease that is ahead of the clock is set back, because its worker may be alive.
 */
static int
lose_leases(Row *leases, int count)
{
	int lost = 0;

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_ahead(&leases[i]))
		{
			(void) lease_set_back(ROW_INT64(&leases[i], LEASE_ID),
								  ROW_INT64(&leases[i], LEASE_TOKEN));
			continue;
		}
		if (!lease_take_as_read(&leases[i]))
			continue;
		(void) task_lost(&leases[i]);
		lost++;
	}
	return lost;
}

static void
put_off_lease(Row *lease, int64 by_us)
{
	(void) lease_put_off(ROW_INT64(lease, LEASE_ID), ROW_INT64(lease, LEASE_TOKEN), by_us);
}

/* Adds the lease to the batch if it has run out. */
static void
add_if_lapsed(Pass *pass, const Row *lease)
{
	if (ROW_TIME(lease, LEASE_UNTIL) <= pass->now || is_ahead(lease))
		pass->rows[pass->count++] = *lease;
	else
		pass->round->next = Min(pass->round->next, ROW_TIME(lease, LEASE_UNTIL));
}

static void
see_lease(const Row *lease, void *arg)
{
	leases_fill(lease);
	add_if_lapsed(arg, lease);
}

/* Reads one page of the table, and enters its leases into shared memory. */
static bool
gather_by_table(Pass *pass)
{
	Round *round = pass->round;

	if (round->at == 0)
	{
		leases_begin_fill();
		round->began = pass->now;
	}
	if (row_for_each_in_block(HOT_LEASE, round->at++, see_lease, pass))
		return true;
	leases_end_fill(round->began);
	return false;
}

/* Reads the leases that have run out by shared memory, and corrects shared memory by their rows. */
static bool
gather_known(Pass *pass)
{
	int64 ids[BATCH];
	int found = leases_lapsed(&pass->round->at, pass->now, ids, BATCH, &pass->round->next);
	HotRelation r;

	hot_open(&r, HOT_LEASE);
	hot_begin_looks(&r);
	for (int i = 0; i < found; i++)
	{
		Row lease;
		bool exists = row_fetch(&r, ids[i], &lease);

		if (!exists || ROW_TIME(&lease, LEASE_UNTIL) > pass->now)
			leases_correct(ids[i], exists ? &lease : NULL);
		if (exists)
			add_if_lapsed(pass, &lease);
	}
	hot_end_looks(&r);
	hot_close(&r);
	return found == BATCH;
}

static bool
gather_leases(Pass *pass)
{
	if (pass->round->at == 0)
		pass->round->by_table = !leases_are_known();
	return pass->round->by_table ? gather_by_table(pass) : gather_known(pass);
}

static const Kind lapsed_leases = {
	.purpose = "take back the lease of",
	.id_column = LEASE_ID,
	.gather = gather_leases,
	.end = lose_leases,
	.put_off = put_off_lease};

static Round lease_round = {0};

PG_FUNCTION_INFO_V1(taskq_take_back_leases);
Datum
taskq_take_back_leases(PG_FUNCTION_ARGS)
{
	return pass_call(fcinfo, "taskq_private.take_back_leases()", &lapsed_leases, &lease_round);
}

/* ---- leases of an executor that died -------------------------------------------------- */

static bool
is_of_executor(const Row *lease)
{
	const Queue *queue = queue_by_id(ROW_INT32(lease, LEASE_QUEUE_ID));

	return queue != NULL && (queue->push || queue->call) && !lease->nulls[LEASE_WORKER] &&
		   strcmp(TextDatumGetCString(lease->values[LEASE_WORKER]), EXECUTOR_WORKER) == 0;
}

static void
see_lease_of_executor(const Row *lease, void *arg)
{
	Pass *pass = arg;

	if (is_of_executor(lease))
		pass->rows[pass->count++] = *lease;
}

static bool
gather_of_executor(Pass *pass)
{
	return row_for_each_in_block(HOT_LEASE, pass->round->at++, see_lease_of_executor, pass);
}

static const Kind leases_of_executor = {
	.purpose = "take back the lease of",
	.id_column = LEASE_ID,
	.gather = gather_of_executor,
	.end = lose_leases,
	.put_off = put_off_lease};

/*
 * Takes back some of the leases that an executor holds, and returns their number.  To be called
 * while no executor runs, until it returns 0.
 */
PG_FUNCTION_INFO_V1(taskq_recover_leases);
Datum
taskq_recover_leases(PG_FUNCTION_ARGS)
{
	Round round = {0};
	Pass *pass = pass_begin(&leases_of_executor, &round, -1);

	executor_call("taskq_private.recover_leases()");
	pass_run(pass);
	PG_RETURN_INT64(pass->ended);
}

/* ---- tasks that were not started in time ------------------------------------------------ */

/* Leaves the rows of an incomplete copy: its original may change them.  False: it is one. */
static bool
leave_copy(Pass *pass)
{
	if (pass->count == 0 || !arming_is_copy())
		return true;
	pass->count = 0;
	return false;
}

static bool
gather_starts(Pass *pass)
{
	Round *round = pass->round;
	bool more;

	pass->count = rows_due(HOT_START, &round->place, pass->now, pass->rows, BATCH, &more,
						   &round->next);
	return leave_copy(pass) && more;
}

/*
 * Ends a pending task whose time to start has passed.  ROW_GONE: there is no such task, because it
 * runs, has ended or was replaced.  ROW_BUSY, ROW_CHANGED: another transaction is changing it.
 */
static RowResult
expire_task(Backlog *b, int64 id)
{
	Ending ending = {.state = STATE_EXPIRED, .error = cstring_to_text("not started in time")};
	Row task;
	RowResult result = pending_hold_by_id(b, id, false, &task);

	if (result != ROW_DONE)
		return result;
	if (!task_start_expired(&task, GetCurrentTimestamp()))
	{
		pending_let_go(b, id);
		return ROW_GONE;
	}
	result = pending_delete(b, &task, false);
	if (result != ROW_DONE)
		return result;
	CommandCounterIncrement();
	task_end(&task, NULL, &ending);
	return result;
}

/* Returns how many tasks have ended.  Keeps a start limit while its task is being changed. */
static int
expire_tasks(Row *starts, int count)
{
	Backlog b;
	HotRelation r;
	int expired = 0;

	backlog_open(&b);
	hot_open(&r, HOT_START);
	for (int i = 0; i < count; i++)
	{
		RowResult result;

		CHECK_FOR_INTERRUPTS();
		result = expire_task(&b, ROW_INT64(&starts[i], START_ID));
		expired += result == ROW_DONE;
		if (result == ROW_DONE || result == ROW_GONE)
			(void) row_delete(&r, &starts[i], false);
	}
	hot_close(&r);
	backlog_close(&b);
	CommandCounterIncrement();
	return expired;
}

static void
put_off_start(Row *start, int64 by_us)
{
	HotRelation r;

	row_set(start, START_BY, TimestampTzGetDatum(GetCurrentTimestamp() + by_us));
	hot_open(&r, HOT_START);
	(void) row_update(&r, start, false);
	hot_close(&r);
	CommandCounterIncrement();
}

static const Kind late_starts = {
	.purpose = "expire",
	.id_column = START_ID,
	.gather = gather_starts,
	.end = expire_tasks,
	.put_off = put_off_start};

static Round start_round = {0};

PG_FUNCTION_INFO_V1(taskq_expire_starts);
Datum
taskq_expire_starts(PG_FUNCTION_ARGS)
{
	return pass_call(fcinfo, "taskq_private.expire_starts()", &late_starts, &start_round);
}

/* ---- keys whose time is over -------------------------------------------------------------- */

/* Keys are forgotten once a minute, so it does not matter when the next ones are due. */
static bool
gather_keys(Pass *pass)
{
	TimestampTz next = DT_NOEND;
	bool more;

	pass->count = rows_due(HOT_KEY, &pass->round->place, pass->now, pass->rows, BATCH, &more,
						   &next);
	return leave_copy(pass) && more;
}

/* Keeps a key that another transaction is taking. */
static int
drop_keys(Row *keys, int count)
{
	HotRelation r;
	int dropped = 0;

	hot_open(&r, HOT_KEY);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		dropped += row_delete(&r, &keys[i], false) == ROW_DONE;
	}
	hot_close(&r);
	CommandCounterIncrement();
	return dropped;
}

static const Kind old_keys = {
	.purpose = "forget the key of",
	.id_column = KEY_ID,
	.gather = gather_keys,
	.end = drop_keys};

PG_FUNCTION_INFO_V1(taskq_drop_keys);
Datum
taskq_drop_keys(PG_FUNCTION_ARGS)
{
	static Round round = {0};

	return pass_call(fcinfo, "taskq_private.drop_keys()", &old_keys, &round);
}

/* ---- the same, met by a claim ------------------------------------------------------------ */

static int
expire_met(Row *tasks, int count)
{
	Backlog b;
	int expired = 0;

	backlog_open(&b);
	for (int i = 0; i < count; i++)
		expired += expire_task(&b, ROW_INT64(&tasks[i], TASK_ID)) == ROW_DONE;
	backlog_close(&b);
	return expired;
}

void
expire_late(Row *tasks, int count)
{
	static const Kind met = {.purpose = "expire", .id_column = TASK_ID, .end = expire_met};

	pass_try_rows(&met, tasks, count);
}

/* ---- without an executor ------------------------------------------------------------------ */

bool
expire_some(void)
{
	Pass *leases = pass_begin(&lapsed_leases, &lease_round, -1);
	Pass *starts = pass_begin(&late_starts, &start_round, -1);

	pass_run(leases);
	pass_run(starts);
	return pass_due_in_ms(leases) == 0 || pass_due_in_ms(starts) == 0;
}

/*
 * expire.c
 *		What time ends: leases that have run out, tasks that were not started in time.
 *
 * This goes in passes.  A pass is bounded by number and, in the executor, by time: deliveries
 * wait while it runs, and a stop undoes what it has done.  The process remembers where the next
 * pass goes on.  A round of passes looks at everything that had run out when it began.
 *
 * One row that cannot be ended must not keep the others from their end.  So a batch of rows is
 * ended in one subtransaction, and if that fails, each row in its own.  A row whose end fails is
 * put off.  If the error may pass by itself, as one that comes from a lock does, the row is put
 * off for a second only, and the pass ends, because the next row could meet the same lock.
 *
 * A row that another transaction is changing at this moment is left to it.  If that transaction
 * rolls back, the next round finds the row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/arg.h"
#include "base/durability.h"
#include "base/sql.h"
#include "core/clock.h"
#include "core/protocol.h"
#include "hints/leases.h"
#include "life/expire.h"
#include "life/finish.h"
#include "life/history.h"
#include "life/lease.h"
#include "life/pending.h"
#include "tables/backlog.h"
#include "tables/queue.h"
#include "tables/rows.h"
#include "tables/state.h"

#define BATCH_ROWS MaxHeapTuplesPerPage /* room in a batch; a page of leases fits */
#define BATCH      64                   /* rows of a batch that does not come from a page */
#define PASS_ROWS  256                  /* the last batch of a pass may exceed it */

#define LOCK_TIMEOUT "20ms" /* for each lock that ending a row waits for */

#define PUT_OFF_US        (60 * USECS_PER_SEC)
#define PUT_OFF_LOCKED_US USECS_PER_SEC

/* Where the next pass goes on. */
typedef struct Round
{
	bool under_way;
	TimestampTz next; /* when the first row will run out of those that have not; DT_NOEND: never */

	/* Leases. */
	bool by_table; /* else by what shared memory knows */
	int at;        /* block of the table, or place in shared memory */
	TimestampTz began;

	/* Start limits: behind this row in the order of their index. */
	TimestampTz start_by;
	ItemPointerData tid;
} Round;

typedef struct Pass
{
	const struct Kind *kind;
	Round *round;
	int64 until_ms; /* on the monotonic clock; PG_INT64_MAX: not limited by time */
	int seen;       /* rows that have run out */
	int ended;      /* those of them that this pass has ended */
	bool broken_off;

	/* The batch: rows that have run out. */
	TimestampTz now; /* when it was gathered */
	int count;
	Row rows[BATCH_ROWS];
} Pass;

/* A kind of rows that run out. */
typedef struct Kind
{
	const char *purpose; /* completes "could not ... task N" */
	int id_column;

	/* Gathers the next rows that have run out, perhaps none.  False: the round is over. */
	bool (*gather)(Pass *pass);

	/* Ends what the rows stand for.  Returns how many it has ended. */
	int (*end)(Row *rows, int count);

	/* The row runs out so much later. */
	void (*put_off)(Row *row, int64 by_us);
} Kind;

bool
task_start_expired(const Row *task, TimestampTz now)
{
	return !task->nulls[TASK_START_BY] && ROW_TIME(task, TASK_START_BY) <= now;
}

text *
task_expired_error(void)
{
	return cstring_to_text("not started in time");
}

/* ---- a pass ---------------------------------------------------------------------- */

/* What try() does. */
typedef struct Step
{
	const Kind *kind;
	Row *rows;
	int count;
	int64 put_off_us; /* 0: the rows are ended */
	int ended;
} Step;

static void
perform(Step *step)
{
	/* The setting ends with the subtransaction. */
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (step->put_off_us == 0)
		step->ended = step->kind->end(step->rows, step->count);
	else
		step->kind->put_off(step->rows, step->put_off_us);
}

/*
 * Performs the step in a subtransaction.  Returns 0, or the SQLSTATE of the error that has
 * undone it.  A cancel is not caught: it ends the transaction.
 */
static int
try(Step *step)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile failure = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		perform(step);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		failure = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (failure == NULL)
		return 0;
	if (failure->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(failure);
	return failure->sqlerrcode;
}

/* Says it once for each task, as far as the process remembers; never what the task carries. */
static void
log_failure(const Kind *kind, int64 id, int sqlstate)
{
	static int64 told[64] = {0};
	int64 *last = &told[(uint64) id % lengthof(told)];

	if (*last == id)
		return;
	*last = id;
	ereport(LOG,
			(errmsg("could not %s task " INT64_FORMAT ": SQLSTATE %s", kind->purpose, id,
					unpack_sql_state(sqlstate)),
			 errhidestmt(true),
			 errhidecontext(true)));
}

/* Ends one row, or puts it off. */
static void
end_row(Pass *pass, Row *row)
{
	Step step = {.kind = pass->kind, .rows = row, .count = 1};
	int sqlstate = try(&step);

	if (sqlstate == 0)
	{
		pass->ended += step.ended;
		return;
	}
	log_failure(pass->kind, ROW_INT64(row, pass->kind->id_column), sqlstate);
	pass->broken_off = tq_sqlstate_may_pass(unpack_sql_state(sqlstate));
	step.put_off_us = pass->broken_off ? PUT_OFF_LOCKED_US : PUT_OFF_US;
	(void) try(&step);
	pass->round->next = Min(pass->round->next, pass->now + step.put_off_us);
}

static void
end_rows(Pass *pass)
{
	Step step = {.kind = pass->kind, .rows = pass->rows, .count = pass->count};

	if (pass->count > 1 && try(&step) == 0)
	{
		pass->ended += step.ended;
		return;
	}
	for (int i = 0; i < pass->count && !pass->broken_off; i++)
		end_row(pass, &pass->rows[i]);
}

/* max_ms: as long as the pass may take; -1: not limited.  The result is palloc'd. */
static Pass *
begin_pass(const Kind *kind, Round *round, int64 max_ms)
{
	Pass *pass = palloc_object(Pass);

	pass->kind = kind;
	pass->round = round;
	pass->until_ms = max_ms < 0 ? PG_INT64_MAX : tq_clock_ms() + max_ms;
	pass->seen = pass->ended = 0;
	pass->broken_off = false;
	return pass;
}

static bool
pass_is_over(const Pass *pass)
{
	return pass->broken_off || pass->seen >= PASS_ROWS ||
		   (pass->until_ms != PG_INT64_MAX && tq_clock_ms() >= pass->until_ms);
}

/* Gathers one batch and ends it. */
static void
run_batch(Pass *pass)
{
	Round before = *pass->round;

	pass->count = 0;
	pass->now = GetCurrentTimestamp();
	pass->round->under_way = pass->kind->gather(pass);
	pass->seen += pass->count;
	if (pass->count > 0)
		end_rows(pass);
	/* The next pass begins with the rest of this batch. */
	if (pass->broken_off)
	{
		before.next = pass->round->next;
		*pass->round = before;
	}
}

/*
 * Runs a pass.  A crash may undo it: what has run out is found again, so the commit need not be
 * durable.
 */
static void
run_pass(Pass *pass)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "taskq pass",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	if (!pass->round->under_way)
		*pass->round = (Round){.under_way = true, .next = DT_NOEND, .start_by = DT_NOBEGIN};
	durability_begin_weak();
	do
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		run_batch(pass);
	} while (pass->round->under_way && !pass_is_over(pass));
	durability_end_weak();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* The milliseconds until there is more to end: 0 at once, -1 if nothing is known. */
static int64
due_in_ms(const Pass *pass)
{
	if (pass->broken_off)
		return PUT_OFF_LOCKED_US / US_PER_MS;
	if (pass->round->under_way)
		return 0;
	if (pass->round->next == DT_NOEND)
		return -1;
	return Max(pass->round->next - GetCurrentTimestamp() + 999, 0) / 1000;
}

/*
 * A pass as an SQL function.  Its argument limits the pass to so many milliseconds; NULL: only
 * the number of rows limits it.  Returns when it is due again, NULL where nothing is known.
 */
static Datum
call_pass(FunctionCallInfo fcinfo, const char *function, const Kind *kind, Round *round)
{
	Pass *pass = begin_pass(kind, round, PG_ARGISNULL(0) ? -1 : PG_GETARG_INT32(0));
	int64 due_in;

	executor_call(function);
	run_pass(pass);
	due_in = due_in_ms(pass);
	if (due_in < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(due_in);
}

/* ---- leases ------------------------------------------------------------------------ */

/*
 * An attempt whose lease was read so ends.  A lease that has been extended or ended since it was
 * read is left alone.
 */
static int
lose_leases(Row *leases, int count)
{
	int lost = 0;

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
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
	if (ROW_TIME(lease, LEASE_UNTIL) <= pass->now)
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

/* Reads a page of the table, and makes known what is there. */
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

/* Looks for leases that shared memory says have run out; what it says is corrected by the row. */
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
	return call_pass(fcinfo, "taskq_private.take_back_leases()", &lapsed_leases, &lease_round);
}

/* ---- leases of an executor that died -------------------------------------------------- */

static bool
is_of_executor(const Row *lease)
{
	const Queue *queue = queue_by_id(ROW_INT32(lease, LEASE_QUEUE_ID));

	return queue != NULL && queue->push && !lease->nulls[LEASE_WORKER] &&
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
 * To be called while no executor runs, until it returns 0: takes back some of the leases that an
 * executor holds, and returns how many.
 */
PG_FUNCTION_INFO_V1(taskq_recover_leases);
Datum
taskq_recover_leases(PG_FUNCTION_ARGS)
{
	Round round = {0};
	Pass *pass = begin_pass(&leases_of_executor, &round, -1);

	executor_call("taskq_private.recover_leases()");
	run_pass(pass);
	PG_RETURN_INT64(pass->ended);
}

/* ---- tasks that were not started in time ------------------------------------------------ */

static Statement select_copied = {"select taskq_private.copied()", 0, {0}, NULL};

/* Then this database may be a dump that is not yet complete. */
static bool
is_copy(void)
{
	Datum copied;
	bool isnull;

	return sql_as_owner(&select_copied, NULL, NULL, &copied, &isnull, 1) && DatumGetBool(copied);
}

static bool
see_start(const Row *start, void *arg)
{
	Pass *pass = arg;
	Round *round = pass->round;
	TimestampTz start_by = ROW_TIME(start, START_BY);
	ItemPointerData tid = start->tid;

	if (start_by > pass->now)
	{
		round->next = Min(round->next, start_by);
		return false;
	}
	if (start_by == round->start_by && ItemPointerCompare(&tid, &round->tid) <= 0)
		return true;
	pass->rows[pass->count++] = *start;
	return pass->count < BATCH;
}

static bool
gather_starts(Pass *pass)
{
	row_for_each_start(pass->round->start_by, see_start, pass);
	if (pass->count == 0)
		return false;
	if (is_copy())
	{
		pass->count = 0;
		return false;
	}
	pass->round->start_by = ROW_TIME(&pass->rows[pass->count - 1], START_BY);
	pass->round->tid = pass->rows[pass->count - 1].tid;
	return pass->count == BATCH;
}

/*
 * Ends a pending task whose time to start has passed.  ROW_GONE: it is not one, because it runs,
 * has ended or was replaced.  ROW_BUSY, ROW_CHANGED: other transactions have it in hand.
 */
static RowResult
expire_task(Backlog *b, int64 id)
{
	Ending ending = {.state = STATE_EXPIRED, .error = task_expired_error()};
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

/* A start limit stays while its task is in other transactions' hands. */
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
	return call_pass(fcinfo, "taskq_private.expire_starts()", &late_starts, &start_round);
}

/* ---- without an executor ------------------------------------------------------------------ */

bool
expire_some(void)
{
	Pass *leases = begin_pass(&lapsed_leases, &lease_round, -1);
	Pass *starts = begin_pass(&late_starts, &start_round, -1);

	run_pass(leases);
	run_pass(starts);
	return due_in_ms(leases) == 0 || due_in_ms(starts) == 0;
}

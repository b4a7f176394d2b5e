/*
 * pass.c
 *		Work on many rows that goes in passes, each bounded.
 *
 * A pass is bounded by number and, in the executor, by time: deliveries wait while it runs, and a
 * stop undoes what it has done.  The process remembers where the next pass goes on.
 *
 * One row that cannot be ended must not keep the others from their end.  So a batch of rows is
 * ended in one subtransaction, and if that fails, each row in its own.  A row whose end fails is
 * put off.  If the error may pass by itself, as one that comes from a lock does, the row is put
 * off for a second only, and the pass ends, because the next row could meet the same lock.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "base/arg.h"
#include "base/durability.h"
#include "base/subxact.h"
#include "core/clock.h"
#include "core/protocol.h"
#include "life/pass.h"
#include "tables/queue.h"
#include "tables/rows.h"

#define PASS_ROWS 256 /* the last batch of a pass may exceed it */

#define LOCK_TIMEOUT "20ms" /* for each lock that ending a row waits for */

#define PUT_OFF_US        (60 * USECS_PER_SEC)
#define PUT_OFF_LOCKED_US USECS_PER_SEC

/* What perform() does. */
typedef struct Step
{
	const Kind *kind;
	Row *rows;
	int count;
	int64 put_off_us; /* 0: the rows are ended */
	int ended;
} Step;

static void
perform(void *arg)
{
	Step *step = arg;

	/* The setting ends with the subtransaction. */
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (step->put_off_us == 0)
		step->ended = step->kind->end(step->rows, step->count);
	else
		step->kind->put_off(step->rows, step->put_off_us);
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
	int sqlstate = subxact_try(perform, &step);

	if (sqlstate == 0)
	{
		pass->ended += step.ended;
		return;
	}
	log_failure(pass->kind, ROW_INT64(row, pass->kind->id_column), sqlstate);
	pass->broken_off = tq_sqlstate_may_pass(unpack_sql_state(sqlstate));
	step.put_off_us = pass->broken_off ? PUT_OFF_LOCKED_US : PUT_OFF_US;
	if (pass->kind->put_off != NULL)
		(void) subxact_try(perform, &step);
	pass->round->next = Min(pass->round->next, pass->now + step.put_off_us);
	pass->round->failed = true;
}

static void
end_rows(Pass *pass)
{
	Step step = {.kind = pass->kind, .rows = pass->rows, .count = pass->count};

	if (pass->count > 1 && subxact_try(perform, &step) == 0)
	{
		pass->ended += step.ended;
		return;
	}
	for (int i = 0; i < pass->count && !pass->broken_off; i++)
		end_row(pass, &pass->rows[i]);
}

void
pass_try_rows(const Kind *kind, Row *rows, int count)
{
	Step step = {.kind = kind, .rows = rows, .count = count};

	if (count > 1 && subxact_try(perform, &step) == 0)
		return;
	step.count = 1;
	for (int i = 0; i < count; i++)
	{
		int sqlstate;

		step.rows = &rows[i];
		sqlstate = subxact_try(perform, &step);
		if (sqlstate != 0)
			log_failure(kind, ROW_INT64(&rows[i], kind->id_column), sqlstate);
	}
}

Pass *
pass_begin(const Kind *kind, Round *round, int64 max_ms)
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

void
pass_run(Pass *pass)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "taskq pass",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	if (!pass->round->under_way)
		*pass->round = (Round){.under_way = true, .next = DT_NOEND, .place = {.time = DT_NOBEGIN}};
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

int64
pass_due_in_ms(const Pass *pass)
{
	if (pass->broken_off)
		return PUT_OFF_LOCKED_US / US_PER_MS;
	if (pass->round->under_way)
		return 0;
	if (pass->round->next == DT_NOEND)
		return -1;
	return Max(pass->round->next - GetCurrentTimestamp() + 999, 0) / 1000;
}

Datum
pass_call(FunctionCallInfo fcinfo, const char *function, const Kind *kind, Round *round)
{
	Pass *pass = pass_begin(kind, round, PG_ARGISNULL(0) ? -1 : PG_GETARG_INT32(0));
	int64 due_in;

	executor_call(function);
	pass_run(pass);
	due_in = pass_due_in_ms(pass);
	if (due_in < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(due_in);
}

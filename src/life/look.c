/*
 * look.c
 *		Looks at tasks that wait for others: are they to be due now, or to be cancelled?
 *
 * A look walks through the rows that say for what a task waits.  It ends at the first one whose
 * task lives, because the end of that one asks for another look.  A row whose task has gone
 * belongs to one that ended while the row was being added; the history says how.  Where the row
 * or its task is in the hands of an open transaction, the look is repeated soon: that transaction
 * may have ended the task without seeing the row.  test/model/after.pml looks at all of that.
 *
 * Of a large batch each look would meet all the dead entries of the rows that have gone.  So the
 * process remembers up to which row it has looked; no row before that one is there any more.
 *
 * No look waits for another transaction.  The session that ends the wait holds the task
 * (pending.c) and deletes its row of waiting as it was read before the rows were walked through;
 * so no session has added a prerequisite meanwhile, and no other one has ended the wait.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/arg.h"
#include "base/xact.h"
#include "core/clock.h"
#include "hints/looks.h"
#include "life/end.h"
#include "life/look.h"
#include "life/pass.h"
#include "life/pending.h"
#include "life/prerequisites.h"
#include "tables/arming.h"
#include "tables/backlog.h"
#include "tables/prerequisite.h"
#include "tables/queue.h"
#include "tables/state.h"

#define AGAIN_MS     50   /* the first repetition of a look */
#define AGAIN_MAX_MS 1000 /* each pause is twice as long as the one before, up to this */
#define MAX_AGAIN    256
#define MAX_SEEN     10000
#define CHECK_US     (60 * USECS_PER_SEC)

typedef enum Verdict
{
	LOOK_READY, /* it need not wait any more */
	LOOK_OPEN,  /* it waits */
	LOOK_AGAIN, /* something is in the hands of an open transaction */
	LOOK_FAILED /* it is to be cancelled */
} Verdict;

/* A look at one task. */
typedef struct Look
{
	HotRelation tasks;
	HotRelation rows;
	Row waiting;
	AfterFailure failure;

	/* Of LOOK_FAILED. */
	int64 cause;
	Datum state; /* 0: not known */
} Look;

/* ---- what the process remembers ----------------------------------------------------------- */

/* Up to which row it has looked. */
typedef struct Seen
{
	int64 id;
	TimestampTz changed_at; /* of the row of waiting then */
	int64 from;
} Seen;

static HTAB *seen = NULL;
static bool is_stale = false; /* rows may be there again that had gone */

/* A look that is to be repeated; times are on the monotonic clock. */
typedef struct Again
{
	int64 id;
	int64 at_ms;
	int64 pause_ms; /* before the next repetition */
} Again;

static Again agains[MAX_AGAIN];
static int nagains = 0;

/* This session may have seen rows as gone that the transaction, or a part of it, had deleted. */
static void
note_end(XactEnd end)
{
	is_stale |= end != XACT_COMMITTED;
}

static void
part_rolled_back(void)
{
	is_stale = true;
}

static XactKind stale_at_rollback = {.ended = note_end,
									 .part_rolled_back = part_rolled_back};

static void
begin_to_remember(void)
{
	HASHCTL control = {.keysize = sizeof(int64), .entrysize = sizeof(Seen)};

	xact_register(&stale_at_rollback);
	if (seen != NULL && (is_stale || hash_get_num_entries(seen) >= MAX_SEEN))
	{
		hash_destroy(seen);
		seen = NULL;
	}
	is_stale = false;
	if (seen == NULL)
		seen = hash_create("taskq looks", 256, &control, HASH_ELEM | HASH_BLOBS);
}

static Seen *
seen_of(const Row *waiting)
{
	int64 id = ROW_INT64(waiting, WAITING_ID);
	TimestampTz changed_at = ROW_TIME(waiting, WAITING_CHANGED_AT);
	bool found;
	Seen *s;

	begin_to_remember();
	s = hash_search(seen, &id, HASH_ENTER, &found);
	if (!found || s->changed_at != changed_at)
		s->from = PG_INT64_MIN;
	s->changed_at = changed_at;
	return s;
}

static void
look_again(int64 id, int64 pause_ms)
{
	int n = 0;

	while (n < nagains && agains[n].id != id)
		n++;
	if (n == MAX_AGAIN)
	{
		looks_at_all();
		return;
	}
	if (n == nagains)
		agains[nagains++] = (Again){.id = id};
	agains[n].pause_ms = Max(agains[n].pause_ms, pause_ms);
	agains[n].at_ms = tq_clock_ms() + agains[n].pause_ms;
	agains[n].pause_ms = Min(2 * agains[n].pause_ms, Max(pause_ms, AGAIN_MAX_MS));
}

static void
no_more_again(int64 id)
{
	for (int i = 0; i < nagains; i++)
	{
		if (agains[i].id == id)
			agains[i--] = agains[--nagains];
	}
}

static void
forget_dependent(int64 id)
{
	if (seen != NULL)
		(void) hash_search(seen, &id, HASH_REMOVE, NULL);
	no_more_again(id);
}

/* Up to max of those whose time has come; they are put off until the look has been. */
static int
take_again(int64 *ids, int max)
{
	int64 now = tq_clock_ms();
	int count = 0;

	for (int i = 0; i < nagains && count < max; i++)
	{
		if (agains[i].at_ms > now)
			continue;
		agains[i].at_ms = now + AGAIN_MAX_MS;
		ids[count++] = agains[i].id;
	}
	return count;
}

/* When the next repetition is due; -1: there is none. */
static int64
again_in_ms(void)
{
	int64 at = PG_INT64_MAX;

	for (int i = 0; i < nagains; i++)
		at = Min(at, agains[i].at_ms);
	return nagains == 0 ? -1 : Max(at - tq_clock_ms(), 0);
}

/* ---- the verdict ---------------------------------------------------------------------------- */

/* The task has gone, and its end has not seen the row. */
static Verdict
judge_gone(Look *l, const Prerequisite *p)
{
	Datum state = prerequisites_ended_state(p->task_id);

	if (l->failure == FAILURE_COUNTS || state == state_datum(STATE_FINISHED))
		return prerequisite_delete(&l->rows, p) == ROW_DONE ? LOOK_READY : LOOK_AGAIN;
	if (l->failure == FAILURE_CANCELS)
	{
		l->cause = p->task_id;
		l->state = state;
		return LOOK_FAILED;
	}
	if (state == 0)
		state = state_datum(STATE_DEAD);
	return prerequisite_set_state(&l->rows, p, state) == ROW_DONE ? LOOK_OPEN : LOOK_AGAIN;
}

static Verdict
judge_row(Look *l, const Prerequisite *p, const Hands *hands)
{
	Hands of_task;

	if (TransactionIdIsValid(hands->inserter) || TransactionIdIsValid(hands->deleter))
		return LOOK_AGAIN;
	if (row_look(&l->tasks, p->task_id, NULL, &of_task))
		return TransactionIdIsValid(of_task.inserter) || TransactionIdIsValid(of_task.deleter)
				   ? LOOK_AGAIN
				   : LOOK_OPEN;
	return judge_gone(l, p);
}

static Verdict
walk(Look *l)
{
	Seen *s = seen_of(&l->waiting);
	Verdict verdict = LOOK_READY;
	PrerequisiteWalk w;
	Prerequisite p;
	Hands hands;

	prerequisite_walk_begin(&w, &l->rows, s->id, s->from);
	while (verdict == LOOK_READY && prerequisite_walk_next(&w, &p, &hands))
	{
		s->from = p.task_id;
		verdict = judge_row(l, &p, &hands);
	}
	prerequisite_walk_end(&w);
	return verdict;
}

/* Rows of tasks that have ended otherwise are read last: a row becomes one of these meanwhile. */
static Verdict
judge_dependent(Look *l)
{
	Verdict verdict = walk(l);
	Prerequisite p;

	if (l->failure == FAILURE_COUNTS || verdict == LOOK_FAILED ||
		!prerequisite_first_ended(&l->rows, ROW_INT64(&l->waiting, WAITING_ID), &p))
		return verdict;
	if (l->failure == FAILURE_WAITS)
		return verdict == LOOK_READY ? LOOK_OPEN : verdict;
	l->cause = p.task_id;
	l->state = p.state;
	return LOOK_FAILED;
}

/* ---- what follows ---------------------------------------------------------------------------- */

/* ROW_DONE, or what keeps it from being done now. */
static RowResult
end_wait(Backlog *b, HotRelation *waits, Look *l)
{
	int64 id = ROW_INT64(&l->waiting, WAITING_ID);
	RowResult result;
	Row task;

	result = pending_hold_by_id(b, id, false, &task);
	if (result != ROW_DONE)
		return result;
	result = task_waits(&task) ? row_delete(waits, &l->waiting, false) : ROW_GONE;
	if (result != ROW_DONE)
	{
		pending_let_go(b, id);
		return result;
	}
	if (pending_delete(b, &task, false) != ROW_DONE)
		elog(ERROR, "task " INT64_FORMAT " is being changed", id);
	prerequisites_drop_of(&l->rows, id);
	prerequisites_end_wait(&task, &l->waiting);
	CommandCounterIncrement();
	pending_insert_again(&task);
	return ROW_DONE;
}

static text *
reason_of(const Look *l)
{
	const char *how = "is not known any more";

	if (l->state == state_datum(STATE_DEAD))
		how = "is dead";
	else if (l->state == state_datum(STATE_CANCELLED))
		how = "is cancelled";
	else if (l->state == state_datum(STATE_EXPIRED))
		how = "has expired";
	return cstring_to_text(psprintf("task " INT64_FORMAT " %s", l->cause, how));
}

static RowResult
cancel_dependent(Backlog *b, const Look *l)
{
	Ending ending = {.state = STATE_CANCELLED, .error = reason_of(l)};
	Row task;
	RowResult result =
		pending_take_in(b, ROW_INT64(&l->waiting, WAITING_ID), false, &task);

	if (result == ROW_DONE)
		task_end(&task, NULL, &ending);
	return result;
}

/*
 * Rows that a session has left because another one was changing them: if the task does not wait, no
 * row is about it.  That it does not is looked at after the rows were read.
 */
static void
drop_remains(Look *l, HotRelation *waits, int64 id)
{
	Row waiting;

	if (prerequisite_any_of(&l->rows, id) && !row_fetch(waits, id, &waiting))
		prerequisites_drop_of(&l->rows, id);
}

/* Returns whether the task has been let become due, or cancelled. */
static bool
look_at(Backlog *b, HotRelation *waits, Look *l, int64 id)
{
	Verdict verdict;
	RowResult result = ROW_BUSY;

	if (!row_fetch(waits, id, &l->waiting))
	{
		drop_remains(l, waits, id);
		forget_dependent(id);
		return false;
	}
	l->failure = prerequisites_failure(&l->waiting);
	verdict = judge_dependent(l);
	if (verdict == LOOK_READY)
		result = end_wait(b, waits, l);
	else if (verdict == LOOK_FAILED)
		result = cancel_dependent(b, l);
	if (result == ROW_DONE || result == ROW_GONE)
		forget_dependent(id);
	else if (verdict == LOOK_OPEN)
		no_more_again(id);
	else
		look_again(id, AGAIN_MS);
	return result == ROW_DONE;
}

/* ---- passes ---------------------------------------------------------------------------------- */

static int
look_at_each(Row *waits, int count)
{
	HotRelation waiting;
	Backlog b;
	Look l;
	int done = 0;

	backlog_open(&b);
	hot_open(&waiting, HOT_WAITING);
	hot_open(&l.tasks, HOT_TASK);
	hot_open(&l.rows, HOT_PREREQUISITE);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		done += look_at(&b, &waiting, &l, ROW_INT64(&waits[i], WAITING_ID));
	}
	hot_close(&l.rows);
	hot_close(&l.tasks);
	hot_close(&waiting);
	backlog_close(&b);
	CommandCounterIncrement();
	return done;
}

static void
see_waiting(const Row *waiting, void *arg)
{
	Pass *pass = arg;

	pass->rows[pass->count++] = *waiting;
}

static void
gather_wanted(Pass *pass)
{
	int64 ids[BATCH];
	int count = take_again(ids, BATCH);

	count += looks_take(ids + count, BATCH - count);
	for (int i = 0; i < count; i++)
	{
		row_init(&pass->rows[i]);
		row_set(&pass->rows[i], WAITING_ID, Int64GetDatum(ids[i]));
	}
	pass->count = count;
}

/* An incomplete copy is left until it is armed: prerequisites may be missing yet. */
static bool
gather_looks(Pass *pass)
{
	Round *round = pass->round;
	bool more;

	if (round->at == 0)
		round->by_table = looks_take_all();
	if (round->by_table)
		more = row_for_each_in_block(HOT_WAITING, round->at++, see_waiting, pass);
	else
	{
		gather_wanted(pass);
		more = pass->count == BATCH;
	}
	if (pass->count > 0 && arming_is_copy())
	{
		pass->count = 0;
		return false;
	}
	return more;
}

static void
put_off_look(Row *waiting, int64 by_us)
{
	look_again(ROW_INT64(waiting, WAITING_ID), by_us / US_PER_MS);
}

static const Kind looks = {
	.purpose = "look at",
	.id_column = WAITING_ID,
	.gather = gather_looks,
	.end = look_at_each,
	.put_off = put_off_look};

static Round look_round = {0};

/* From time to time: without prerequisites, the ends of tasks need not look for any. */
static void
check_use(void)
{
	static TimestampTz checked_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	uint32 begun;
	HotRelation r;

	if (!looks_in_use() || (now >= checked_at && now - checked_at < CHECK_US))
		return;
	checked_at = now;
	begun = looks_begin_check();
	hot_open(&r, HOT_PREREQUISITE);
	if (!prerequisite_any(&r))
		looks_not_in_use(begun);
	hot_close(&r);
}

/* Returns in how many milliseconds there is more to look at; -1: that is not known. */
static int64
run_pass(int64 max_ms)
{
	Pass *pass = pass_begin(&looks, &look_round, max_ms);
	int64 due_in;
	int64 again_in;

	pass_run(pass);
	if (pass->broken_off)
		looks_at_all(); /* the rest of the batch */
	check_use();
	due_in = pass_due_in_ms(pass);
	again_in = again_in_ms();
	if (due_in < 0 || (again_in >= 0 && again_in < due_in))
		return again_in;
	return due_in;
}

PG_FUNCTION_INFO_V1(taskq_look_at_waiting);
Datum
taskq_look_at_waiting(PG_FUNCTION_ARGS)
{
	int64 due_in;

	executor_call("taskq_private.look_at_waiting()");
	due_in = run_pass(PG_ARGISNULL(0) ? -1 : PG_GETARG_INT32(0));
	if (due_in < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(due_in);
}

bool
look_some(void)
{
	return run_pass(-1) == 0;
}

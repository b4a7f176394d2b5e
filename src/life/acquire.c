/*
 * acquire.c
 *		How an attempt begins: one claim for pull and push tasks.
 *
 * dispatch.c knows which tasks to try, and pending.c whether one can be had.  A
 * claim holds the task and inserts its lease, which is all.  Another claimer of the
 * same task meets the lock or the lease, and goes on to the next task.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/database.h"
#include "base/durability.h"
#include "base/errors.h"
#include "base/settings.h"
#include "base/sql.h"
#include "hints/counts.h"
#include "hints/dispatch.h"
#include "hints/idle.h"
#include "hints/sweep.h"
#include "life/acquire.h"
#include "life/expire.h"
#include "life/history.h"
#include "life/lease.h"
#include "life/pending.h"
#include "tables/backlog.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/rows.h"
#include "tables/state.h"
#include "tables/token.h"

#define HELD_AT_ONCE 16

/* A claim under way. */
typedef struct Claiming
{
	TimestampTz now;
	int64 lease_us;
	text *worker;
	bool push; /* the sender of the request minds the timeout */
	Claim *claims;
	int count;
	int max;
} Claiming;

/* Until when heartbeats may extend the lease: started + timeout, if the task has one. */
static TimestampTz
deadline_of(const Claiming *c, const Row *task)
{
	int64 timeout_us;

	if (c->push || task->nulls[TASK_TIMEOUT])
		return DT_NOEND;
	timeout_us = interval_us(DatumGetIntervalP(task->values[TASK_TIMEOUT]));
	return c->now + timeout_us;
}

static void
fill_lease(Row *lease, const Claiming *c, const Row *task)
{
	TimestampTz deadline = deadline_of(c, task);

	row_init(lease);
	row_set(lease, LEASE_ID, task->values[TASK_ID]);
	row_set(lease, LEASE_TOKEN, Int64GetDatum(token_next()));
	row_set(lease, LEASE_STARTED_AT, TimestampTzGetDatum(c->now));
	row_set(lease, LEASE_UNTIL, TimestampTzGetDatum(Min(c->now + c->lease_us, deadline)));
	row_set(lease, LEASE_QUEUE_ID, task->values[TASK_QUEUE_ID]);
	row_set(lease, LEASE_ATTEMPT, Int32GetDatum(ROW_INT32(task, TASK_ATTEMPT) + 1));
	row_set(lease, LEASE_CANCEL_REQUESTED, BoolGetDatum(false));
	if (deadline != DT_NOEND)
		row_set(lease, LEASE_DEADLINE, TimestampTzGetDatum(deadline));
	row_set_text(lease, LEASE_WORKER, c->worker);
}

/* A task that is too late to start, whose row an administrator is changing: it is tried again. */
static void
offer_later(Backlog *b, const Row *task)
{
	Candidate c = candidate_of(task);

	dispatch_inserted(b->task.heap, ROW_INT32(task, TASK_QUEUE_ID), &c);
}

/* Claims the held tasks, which are in claims[] behind those claimed so far, and releases them. */
static void
claim_held(Backlog *b, Claiming *c, int held)
{
	Row *leases[HELD_AT_ONCE];
	Row expired[HELD_AT_ONCE];
	Ending ending = {.state = STATE_EXPIRED};
	int nexpired = 0;
	int n = 0;

	for (int i = 0; i < held; i++)
	{
		Claim *claim = &c->claims[c->count + n];
		Row task = c->claims[c->count + i].task;

		if (!task_start_expired(&task, c->now))
		{
			claim->task = task;
			fill_lease(&claim->lease, c, &task);
			leases[n++] = &claim->lease;
		}
		else if (pending_delete(b, &task, false) == ROW_DONE)
			expired[nexpired++] = task;
		else
			offer_later(b, &task);
	}
	lease_give(&b->lease, leases, n);
	for (int i = 0; i < n; i++)
		pending_let_go(b, ROW_INT64(leases[i], LEASE_ID));
	if (n > 0)
		counts_pending(ROW_INT32(leases[0], LEASE_QUEUE_ID), -n);
	c->count += n;
	for (int i = 0; i < nexpired; i++)
	{
		ending.error = task_expired_error();
		task_end(&expired[i], NULL, &ending);
	}
}

static bool
claim_seen(Backlog *b, const Candidate *candidate, void *arg)
{
	Claiming *c = arg;
	Row *task = &c->claims[c->count].task;

	if (pending_hold(b, candidate, true, task) == ROW_DONE)
	{
		dispatch_taken(b->task.heap, ROW_INT32(task, TASK_QUEUE_ID), candidate);
		claim_held(b, c, 1);
	}
	return c->count < c->max;
}

/* Whether the task is held already: a candidate may have been given twice. */
static bool
is_held(const Claiming *c, int held, int64 id)
{
	for (int i = 0; i < held; i++)
	{
		if (ROW_INT64(&c->claims[c->count + i].task, TASK_ID) == id)
			return true;
	}
	return false;
}

/*
 * Holds the candidates and claims them together.  If another session holds one of them, this
 * session waits for it, but only after it has claimed, and so released, those that it holds.
 */
static void
claim_taken(Backlog *b, Claiming *c, const Candidate *taken, int n)
{
	int held = 0;

	for (int i = 0; i < n; i++)
	{
		RowResult result = ROW_GONE;

		if (!is_held(c, held, taken[i].id))
			result = pending_hold(b, &taken[i], held == 0, &c->claims[c->count + held].task);
		if (result == ROW_BUSY)
		{
			claim_held(b, c, held);
			held = 0;
			result = pending_hold(b, &taken[i], true, &c->claims[c->count].task);
		}
		if (result == ROW_DONE)
			held++;
	}
	claim_held(b, c, held);
}

static void
claim_candidates(Backlog *b, int32 queue_id, Claiming *c, TimestampTz *next_due)
{
	Candidate taken[HELD_AT_ONCE];
	int n = 1;

	while (c->count < c->max && n > 0)
	{
		n = dispatch_take(b, queue_id, c->now, taken, Min(c->max - c->count, HELD_AT_ONCE),
						  next_due);
		claim_taken(b, c, taken, n);
	}
}

int
task_claim(const Queue *queue, int max, int64 lease_us, text *worker, Claim *claims,
		   TimestampTz *next_due)
{
	Claiming c = {
		.now = GetCurrentTimestamp(),
		.lease_us = lease_us,
		.worker = worker,
		.push = queue->push,
		.claims = claims,
		.max = max,
	};
	uint32 begun = idle_begin(queue->id);
	Backlog b;

	*next_due = DT_NOEND;
	if (queue->paused)
		return 0;
	backlog_open(&b);
	/*
	 * A task that is not yet visible to other sessions is no candidate; the session that
	 * submitted it looks for it itself.
	 */
	if (dispatch_has_own(queue->id))
		*next_due = backlog_walk(&b, queue->id, c.now, claim_seen, &c);
	else
		claim_candidates(&b, queue->id, &c, next_due);
	backlog_close(&b);
	if (c.count < max && queue->push)
		idle_remember(queue->id, begun, *next_due);
	if (c.count > 0)
		CommandCounterIncrement();
	return c.count;
}

static Statement expire_leases = {"select taskq_private.expire_leases()", 0, {0}, NULL};

/* Whether an executor takes expired leases back. */
static bool
executor_runs(void)
{
	TaskqDatabase *db = database_mine();

	return db != NULL && pg_atomic_read_u32(&db->procno) != TASKQ_NO_PROC;
}

/*
 * The executor takes expired leases back, and looks for tasks that no session has
 * offered.  Where no executor is known to run, acquire() does both, at most once a second
 * in a session.
 */
static void
expire_if_time(void)
{
	static TimestampTz last = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (now >= last && now - last < USECS_PER_SEC)
		return;
	last = now;
	(void) sql_as_owner(&expire_leases, NULL, NULL, NULL, NULL, 0);
	sweep_if_wanted();
}

static void
return_claim(ReturnSetInfo *rsinfo, const Claim *claim)
{
	enum
	{
		ID,
		TOKEN,
		KIND,
		PAYLOAD,
		ATTEMPT,
		MAX_ATTEMPTS,
		UNTIL,
		SUBMITTED_AT,
		KEY,
		PRIORITY,
		NCOLUMNS,
	};
	const Row *task = &claim->task;
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS] = {false};

	values[ID] = task->values[TASK_ID];
	values[TOKEN] = claim->lease.values[LEASE_TOKEN];
	values[KIND] = task->values[TASK_KIND];
	nulls[KIND] = task->nulls[TASK_KIND];
	values[PAYLOAD] = task->values[TASK_PAYLOAD];
	nulls[PAYLOAD] = task->nulls[TASK_PAYLOAD];
	values[ATTEMPT] = claim->lease.values[LEASE_ATTEMPT];
	values[MAX_ATTEMPTS] = task->values[TASK_MAX_ATTEMPTS];
	values[UNTIL] = claim->lease.values[LEASE_UNTIL];
	values[SUBMITTED_AT] = task->values[TASK_SUBMITTED_AT];
	values[KEY] = task->values[TASK_KEY];
	nulls[KEY] = task->nulls[TASK_KEY];
	values[PRIORITY] = Int32GetDatum(ROW_INT16(task, TASK_PRIORITY));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

void
acquire_into(FunctionCallInfo fcinfo, const Queue *queue, int n)
{
	int max = arg_int32(fcinfo, n, "max_tasks", 1, 1, TASKQ_MAX_BATCH);
	int64 lease_us = arg_interval_us(fcinfo, n + 1, "lease_for", queue->lease_us, MIN_LEASE_US,
									 MAX_LEASE_US);
	text *worker = arg_name(fcinfo, n + 2, "worker");
	Claim *claims = palloc_array(Claim, max);
	TimestampTz next_due;
	int count;

	if (!executor_runs())
		expire_if_time();
	if (!setting_acquire_sync)
		durability_begin_weak();
	count = task_claim(queue, max, lease_us, worker, claims, &next_due);
	if (!setting_acquire_sync)
		durability_end_weak();
	for (int i = 0; i < count; i++)
		return_claim((ReturnSetInfo *) fcinfo->resultinfo, &claims[i]);
}

const Queue *
queue_to_acquire(FunctionCallInfo fcinfo)
{
	const Queue *queue = queue_by_name(arg_name(fcinfo, 0, "queue"));

	queue_require(queue, PRIVILEGE_WORK);
	if (queue->push)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_WRONG_MODE),
				 errmsg("queue \"%s\" is a push queue", queue->name),
				 errdetail("The executor sends its tasks."),
				 errhint("Acquire from a pull queue.")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
				 errmsg("tasks cannot be acquired at this isolation level"),
				 errdetail("A transaction that keeps its snapshot does not see what is taken."),
				 errhint("Call it in a READ COMMITTED transaction.")));
	return queue;
}

PG_FUNCTION_INFO_V1(taskq_acquire);
Datum
taskq_acquire(PG_FUNCTION_ARGS)
{
	const Queue *queue;

	client_call("taskq.acquire()");
	queue = queue_to_acquire(fcinfo);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	acquire_into(fcinfo, queue, 1);
	return (Datum) 0;
}

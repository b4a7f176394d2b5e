/*
 * acquire.c
 *		Claims tasks: the same way for pull and for push tasks.
 *
 * dispatch.c, and groups.c for tasks with a group, know which tasks to try.  claim.c claims them.
 *
 * A claim also ends the tasks that it finds too late to start, and those that no worker can be
 * given.  If that fails, it goes on with the others all the same.
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
#include "base/jsontext.h"
#include "base/settings.h"
#include "core/outcome.h"
#include "core/protocol.h"
#include "hints/counts.h"
#include "hints/dispatch.h"
#include "hints/idle.h"
#include "hints/sweep.h"
#include "life/acquire.h"
#include "life/claim.h"
#include "life/due.h"
#include "life/empty.h"
#include "life/expire.h"
#include "life/finish.h"
#include "life/lease.h"
#include "life/look.h"
#include "life/turns.h"
#include "tables/attached.h"
#include "tables/backlog.h"
#include "tables/grant.h"
#include "tables/group_id.h"
#include "tables/queue.h"
#include "tables/rows.h"
#include "tables/token.h"

int
task_claim(const Queue *queue, int64 group_id, int max, int64 lease_us, text *worker,
		   Claim *claims, TimestampTz *next_due)
{
	Claiming c = {
		.now = GetCurrentTimestamp(),
		.lease_us = lease_us,
		.worker = worker,
		.push = queue->push || queue->call,
		.claims = claims,
		.max = max,
	};
	uint32 begun = idle_begin(queue->id);
	OwnTasks *own;
	Backlog b;

	*next_due = DT_NOEND;
	if (queue->paused)
		return 0;
	tables_require();
	backlog_open(&b);
	own = dispatch_own(queue->id);
	if (group_id != 0 || turns_matter(queue))
		claim_in_turns(&b, queue, group_id, &c, next_due);
	else if (own != NULL)
		claim_with_own(&b, own, &c, next_due);
	else
		claim_candidates(&b, queue->id, &c, next_due);
	backlog_close(&b);
	if (c.count < max && c.push)
		remember_idle(queue, begun, c.now, *next_due);
	if (c.count > 0)
		CommandCounterIncrement();
	if (c.nlate > 0)
		expire_late(c.late, c.nlate);
	return c.count;
}

/* Whether an executor takes expired leases back. */
static bool
executor_runs(void)
{
	TaskqDatabase *db = database_mine();

	return db != NULL && pg_atomic_read_u32(&db->procno) != TASKQ_NO_PROC;
}

/*
 * An executor takes back leases that have run out, ends tasks that were not started in time or
 * whose queue was dropped, and looks at tasks that wait for others, and for tasks that no session
 * has offered.  If no executor is
 * known to run, the sessions that acquire tasks do this work: once a second, or with each call
 * while a pass leaves work to do.
 */
static void
expire_if_time(void)
{
	static TimestampTz last = 0;
	TimestampTz now = GetCurrentTimestamp();
	bool more;

	if (now >= last && now - last < USECS_PER_SEC)
		return;
	more = expire_some();
	more = empty_some() || more;
	more = look_some() || more;
	last = more ? 0 : now;
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
		GROUP_KEY,
		TRACE,
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
	values[GROUP_KEY] = task->values[TASK_GROUP_KEY];
	nulls[GROUP_KEY] = task->nulls[TASK_GROUP_KEY];
	values[TRACE] = task->values[TASK_TRACE];
	nulls[TRACE] = task->nulls[TASK_TRACE];
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

void
claim_set_aside(const Claim *claim, const char *class, const char *error, bool permanent)
{
	Failure failure = {
		.class = class,
		.error = cstring_to_text(error),
		.permanent = permanent,
		.retry_in_us = -1,
	};
	Row lease;

	if (lease_take(ROW_INT64(&claim->lease, LEASE_ID), ROW_INT64(&claim->lease, LEASE_TOKEN),
				   &lease, false) == ROW_DONE)
		(void) task_fail(&lease, &failure);
}

void
claim_set_aside_failed(const Claim *claim, const char *what, const char *done, int sqlstate)
{
	const char *code = unpack_sql_state(sqlstate);

	if (tq_sqlstate_may_pass(code))
		claim_set_aside(claim, tq_class_name(TQ_CLASS_INTERNAL),
						psprintf("%s could not be %s: SQLSTATE %s", what, done, code), false);
	else
		claim_set_aside(claim, tq_class_name(TQ_CLASS_INVALID),
						psprintf("%s cannot be %s: SQLSTATE %s", what, done, code), true);
}

/* What a client gets of a task and may be stored out of line. */
static const int handed_out[] = {TASK_KIND, TASK_PAYLOAD, TASK_KEY, TASK_GROUP_KEY, TASK_TRACE};

/* The text of the payload in bytes. */
static Size
payload_size(const Row *task)
{
	Size size = 0;

	if (!task->nulls[TASK_PAYLOAD])
		(void) jsonb_text_exceeds(task->values[TASK_PAYLOAD], 0, &size);
	return size;
}

/*
 * Returns a claimed task; false: it cannot be given to any client, and was set aside.  The server
 * reads what is stored out of line after this call, and a failure then would undo the claim.
 */
static bool
hand_out(ReturnSetInfo *rsinfo, const Claim *claim)
{
	const Row *task = &claim->task;
	int sqlstate = row_try_read(task, handed_out, lengthof(handed_out));
	Size size;

	if (sqlstate != 0)
	{
		claim_set_aside_failed(claim, "the task", "read", sqlstate);
		return false;
	}
	if (!task->nulls[TASK_PAYLOAD] &&
		jsonb_text_exceeds(task->values[TASK_PAYLOAD], TASKQ_MAX_TEXT, &size))
	{
		claim_set_aside(claim, tq_class_name(TQ_CLASS_TOO_LARGE),
						psprintf("payload has %zu bytes as text", size), true);
		return false;
	}
	return_claim(rsinfo, claim);
	return true;
}

/*
 * How many tasks to claim at once, at most max: all, unless there is a bound for their payloads,
 * which one payload may exceed.
 */
static int
claim_at_once(int max, Size bytes, Size max_bytes)
{
	if (max_bytes == 0)
		return max;
	return Max((int) Min((Size) max, (max_bytes - bytes) / setting_max_payload), 1);
}

void
acquire_into(FunctionCallInfo fcinfo, const Queue *queue, int64 group_id, int n, Size max_bytes)
{
	int max = arg_int32(fcinfo, n, "max_tasks", 1, 1, TASKQ_MAX_BATCH);
	int64 lease_us = arg_interval_us(fcinfo, n + 1, "lease_for", queue->lease_us, RANGE_LEASE);
	text *worker = arg_name(fcinfo, n + 2, "worker");
	Claim *claims = palloc_array(Claim, max);
	TimestampTz next_due;
	Size bytes = 0;
	int asked;
	int count;
	int kept;

	if (!executor_runs())
		expire_if_time();
	if (!setting_acquire_sync)
		durability_begin_weak();
	do
	{
		CHECK_FOR_INTERRUPTS();
		kept = 0;
		asked = claim_at_once(max, bytes, max_bytes);
		count = task_claim(queue, group_id, asked, lease_us, worker, claims, &next_due);
		for (int i = 0; i < count; i++)
		{
			if (!hand_out((ReturnSetInfo *) fcinfo->resultinfo, &claims[i]))
				continue;
			kept++;
			if (max_bytes > 0)
				bytes += payload_size(&claims[i].task);
		}
		max -= kept;
	} while ((kept < count || count == asked) && max > 0 && (max_bytes == 0 || bytes < max_bytes));
	if (!setting_acquire_sync)
		durability_end_weak();
}

const Queue *
queue_to_acquire(text *name)
{
	const Queue *queue = queue_by_name(name);

	queue_require(queue, PRIVILEGE_WORK);
	queue_refuse_topic(queue);
	if (queue->push || queue->call)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_WRONG_MODE),
				 errmsg("queue \"%s\" is a %s", queue->name, queue_mode_name(queue)),
				 queue->push ? errdetail("The executor sends its tasks.")
							 : errdetail("Processes of the server call its functions."),
				 errhint("Acquire from a pull queue.")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
				 errmsg("tasks cannot be acquired at this isolation level"),
				 errdetail("A transaction that keeps its snapshot does not see its leases."),
				 errhint("Call it in a READ COMMITTED transaction.")));
	return queue;
}

static void
acquire_queue(FunctionCallInfo fcinfo, Size max_bytes)
{
	const Queue *queue = queue_to_acquire(arg_name(fcinfo, 0, "queue"));
	text *group_key = arg_group_key(fcinfo, 4);

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	acquire_into(fcinfo, queue, group_key != NULL ? group_id_of(group_key) : 0, 1, max_bytes);
}

PG_FUNCTION_INFO_V1(taskq_acquire);
Datum
taskq_acquire(PG_FUNCTION_ARGS)
{
	client_call("taskq.acquire()");
	acquire_queue(fcinfo, 0);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(taskq_acquire_bytes);
Datum
taskq_acquire_bytes(PG_FUNCTION_ARGS)
{
	client_call("taskq._acquire_bytes()");
	require_argument(fcinfo, 5, "max_bytes");
	acquire_queue(fcinfo, arg_int32(fcinfo, 5, "max_bytes", 0, 1, PG_INT32_MAX));
	return (Datum) 0;
}

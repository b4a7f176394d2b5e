/*
 * empty.c
 *		Queues that were dropped: what is left of them is ended.
 *
 * drop_queue() ends some tasks and no more, so that no session waits long for it, however many
 * there are.
 * It notes that the queue is dropped (tables/dropped.c).  From its commit on the queue does not
 * exist, and its live tasks are shown as cancelled.  The rest of their rows end here, in passes
 * (pass.c).  A round goes through each dropped queue in the order of acquisition.
 *
 * A transaction that began before may still submit to the queue.  So the note goes only after a
 * round of the queue that found no task, and that began when all such transactions had ended.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"

#include "base/sql.h"
#include "hints/flow.h"
#include "hints/lanes.h"
#include "life/empty.h"
#include "life/end.h"
#include "life/finish.h"
#include "life/lease.h"
#include "life/pass.h"
#include "life/pending.h"
#include "tables/arming.h"
#include "tables/backlog.h"
#include "tables/group_scan.h"
#include "tables/queue.h"
#include "tables/rows.h"

#define LOOK_AGAIN_US USECS_PER_SEC
#define AT_ONCE_MS    20 /* drop_queue() itself ends tasks for so long */

static Statement select_next = {
	"select d.id, taskq_private.is_forgotten(d.id) from taskq_private.dropped_queue d "
	"where d.id > $1 order by d.id limit 1",
	1,
	{INT4OID},
	NULL,
};

static Statement call_forget = {"select taskq_private.forget_queue($1)", 1, {INT4OID}, NULL};

static const Position lane_start = {DT_NOBEGIN, PG_INT64_MIN};

static void
enter(Round *round, int32 queue_id, bool forgotten)
{
	round->queue_id = queue_id;
	round->forgotten = forgotten;
	round->any = round->failed = false;
	round->lane = 0;
	round->position = lane_start;
	round->group = GROUP_PLACE_START;
	round->within = true;
}

/* False: there is no further queue. */
static bool
enter_next(Round *round)
{
	Datum id = Int32GetDatum(round->queue_id);
	Datum row[2];
	bool isnull[2];

	if (!sql_as_owner(&select_next, &id, NULL, row, isnull, 2))
		return false;
	enter(round, DatumGetInt32(row[0]), DatumGetBool(row[1]));
	return true;
}

/* Reads entries of one lane; how many, less than max behind its last one. */
static int
read_lane(Pass *pass, Backlog *b, LaneScan *scan, int max)
{
	Round *round = pass->round;
	Candidate c;
	int n = 0;

	lane_scan_begin(scan, round->queue_id, round->lane, &round->position);
	while (n < max && lane_scan_next(scan, round->lane, &c))
	{
		n++;
		round->position = (Position){c.run_at, c.id};
		if (row_fetch(&b->task, c.id, &pass->rows[pass->count]))
			pass->count++;
	}
	return n;
}

/* The same of the entries of tasks that have a group. */
static int
read_groups(Pass *pass, Backlog *b, int max)
{
	Round *round = pass->round;
	GroupScan scan;
	Candidate c;
	int n = 0;

	group_scan_open(&scan, b);
	group_scan_begin(&scan, round->queue_id, &round->group);
	while (n < max && group_scan_next(&scan, &round->group, &c))
	{
		n++;
		if (row_fetch(&b->task, c.id, &pass->rows[pass->count]))
			pass->count++;
	}
	group_scan_close(&scan);
	return n;
}

/* Gathers tasks of the queue; false: there are no more. */
static bool
read_queue(Pass *pass)
{
	Round *round = pass->round;
	LaneScan scan;
	Backlog b;
	int n = 0;

	backlog_open(&b);
	lane_scan_open(&scan, &b);
	while (n < BATCH && round->lane < NLANES)
	{
		n += read_lane(pass, &b, &scan, BATCH - n);
		if (n == BATCH)
			break;
		round->lane++;
		round->position = lane_start;
	}
	index_endscan(scan.scan);
	if (n < BATCH)
		n += read_groups(pass, &b, BATCH - n);
	backlog_close(&b);
	pass->seen += n - pass->count;
	round->any |= pass->count > 0;
	return n > 0;
}

/* Removes the keys of the queue, some in each call, and at last the note.  False: not now. */
static bool
forget(Round *round)
{
	Datum id = Int32GetDatum(round->queue_id);
	Datum gone;
	bool isnull = true;

	if (!sql_as_owner(&call_forget, &id, NULL, &gone, &isnull, 1) || isnull)
		return false;
	round->within = !DatumGetBool(gone);
	if (!round->within)
		flow_forget(round->queue_id);
	return true;
}

/* Behind the last task of the queue. */
static void
leave(Pass *pass)
{
	Round *round = pass->round;

	if (!round->any && round->forgotten && forget(round))
		return;
	/* A task whose end has failed is tried again later. */
	if (!round->failed)
		round->next = Min(round->next, pass->now + LOOK_AGAIN_US);
	round->within = false;
}

static bool
gather_dropped(Pass *pass)
{
	Round *round = pass->round;

	if (round->queue_id == 0 && arming_is_copy())
		return false;
	if (!round->within && !enter_next(round))
		return false;
	if (!read_queue(pass))
		leave(pass);
	return true;
}

/* Ends the attempt of a task that runs.  False: other transactions have it in hand. */
static bool
end_running(Backlog *b, int64 id)
{
	Row lease;

	if (!row_fetch(&b->lease, id, &lease) || !lease_take_as_read(&lease))
		return false;
	(void) task_lost(&lease);
	return true;
}

static bool
end_dropped_task(Backlog *b, int64 id, bool wait)
{
	Ending ending = {.state = STATE_CANCELLED};
	Row task;
	RowResult result = pending_hold_by_id(b, id, wait, &task);

	if (result == ROW_GONE)
		return end_running(b, id);
	if (result != ROW_DONE || pending_delete(b, &task, false) != ROW_DONE)
		return false;
	CommandCounterIncrement();
	task_end(&task, NULL, &ending);
	return true;
}

static int
end_dropped(Row *tasks, int count)
{
	Backlog b;
	int ended = 0;

	backlog_open(&b);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ended += end_dropped_task(&b, ROW_INT64(&tasks[i], TASK_ID), false);
	}
	backlog_close(&b);
	return ended;
}

bool
empty_task(int64 id)
{
	Backlog b;
	Row task;
	bool ended;

	if (!row_read(HOT_TASK, id, &task) || queue_by_id(ROW_INT32(&task, TASK_QUEUE_ID)) != NULL)
		return false;
	backlog_open(&b);
	ended = end_dropped_task(&b, id, true);
	backlog_close(&b);
	return ended;
}

static const Kind dropped_tasks = {
	.purpose = "cancel",
	.id_column = TASK_ID,
	.gather = gather_dropped,
	.end = end_dropped};

static Round dropped_round = {0};

PG_FUNCTION_INFO_V1(taskq_empty_queues);
Datum
taskq_empty_queues(PG_FUNCTION_ARGS)
{
	return pass_call(fcinfo, "taskq_private.empty_queues()", &dropped_tasks, &dropped_round);
}

/* The first tasks of a queue that this transaction drops. */
static const Kind first_tasks = {
	.purpose = "cancel",
	.id_column = TASK_ID,
	.gather = read_queue,
	.end = end_dropped};

PG_FUNCTION_INFO_V1(taskq_empty_queue);
Datum
taskq_empty_queue(PG_FUNCTION_ARGS)
{
	Round round = {.under_way = true, .next = DT_NOEND};

	enter(&round, PG_GETARG_INT32(0), false);
	pass_run(pass_begin(&first_tasks, &round, AT_ONCE_MS));
	PG_RETURN_VOID();
}

bool
empty_some(void)
{
	Pass *pass = pass_begin(&dropped_tasks, &dropped_round, -1);

	pass_run(pass);
	return pass_due_in_ms(pass) == 0;
}

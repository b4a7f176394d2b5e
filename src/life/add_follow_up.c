/*
 * add_follow_up.c
 *		add_follow_up(): gives follow-ups to a task that was submitted before.
 *
 * A pending task is taken and inserted anew, as by reschedule().  The row of a running task is left
 * to its worker: the follow-ups go into its lease, and the end of the attempt, which deletes the
 * lease, finds them there.  The follow-ups of a task that has ended are submitted at once.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/arg.h"
#include "base/errors.h"
#include "base/sql.h"
#include "life/follow_up.h"
#include "life/lease.h"
#include "life/outcome.h"
#include "life/pending.h"
#include "life/template.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/rows.h"

#define MAX_LOOKS 1000

enum EndedColumn
{
	ENDED_QUEUE,
	ENDED_STATE,
	ENDED_KIND,
	ENDED_KEY,
	ENDED_ATTEMPT,
	ENDED_SUBMITTED_AT,
	ENDED_ENDED_AT,
	ENDED_RESULT,
	ENDED_ERROR,
	ENDED_STATUS,
	ENDED_PAYLOAD,
	ENDED_LOST,
	ENDED_GROUP_KEY,
	ENDED_TRACE,
	ENDED_NCOLUMNS
};

static Statement select_ended = {
	"select h.queue, h.state::text, h.kind, h.key, h.attempt, h.submitted_at, h.ended_at, "
	"h.result, h.error, h.status, h.payload, h.content_lost, h.group_key, h.trace "
	"from taskq_private.all_history h where h.id = $1",
	1,
	{INT8OID},
	NULL,
};

/* A call: its arguments as lists, or 0. */
typedef struct Addition
{
	int64 id;
	Datum on_finish;
	Datum on_dead;
} Addition;

static bool
may_add(const Queue *queue)
{
	return queue != NULL && queue_may(queue, PRIVILEGE_SUBMIT | PRIVILEGE_CONTROL);
}

static void
add_to(Row *task, int column, Datum more, const char *name)
{
	if (more == 0)
		return;
	if (!task->nulls[column])
		more = templates_join(task->values[column], more, name);
	row_set(task, column, more);
}

static bool
add_to_pending(const Addition *a)
{
	Row task;

	if (pending_take(a->id, true, &task) != ROW_DONE)
		return false;
	add_to(&task, TASK_ON_FINISH, a->on_finish, "on_finish");
	add_to(&task, TASK_ON_DEAD, a->on_dead, "on_dead");
	pending_insert_again(&task);
	return true;
}

static void
read_outcome(Outcome *o, int64 id, const Datum *row, const bool *isnull)
{
	memset(o, 0, sizeof(*o));
	o->id = id;
	o->queue = TextDatumGetCString(row[ENDED_QUEUE]);
	o->state = TextDatumGetCString(row[ENDED_STATE]);
	o->finished = strcmp(o->state, "finished") == 0;
	o->kind = row[ENDED_KIND];
	o->key = row[ENDED_KEY];
	o->group_key = row[ENDED_GROUP_KEY];
	o->trace = row[ENDED_TRACE];
	o->attempt = DatumGetInt32(row[ENDED_ATTEMPT]);
	o->submitted_at = DatumGetTimestampTz(row[ENDED_SUBMITTED_AT]);
	o->ended_at = DatumGetTimestampTz(row[ENDED_ENDED_AT]);
	o->result = row[ENDED_RESULT];
	o->error = row[ENDED_ERROR];
	o->status = isnull[ENDED_STATUS] ? 0 : DatumGetInt32(row[ENDED_STATUS]);
	o->payload = row[ENDED_PAYLOAD];
	o->truncated = !o->finished && !isnull[ENDED_LOST];
}

static bool
add_to_ended(const Addition *a)
{
	Datum id = Int64GetDatum(a->id);
	Datum row[ENDED_NCOLUMNS];
	bool isnull[ENDED_NCOLUMNS];
	Datum list;
	Outcome outcome;

	if (!sql_as_owner(&select_ended, &id, NULL, row, isnull, ENDED_NCOLUMNS) ||
		!may_add(queue_of_row(DatumGetTextPP(row[ENDED_QUEUE]))))
		return false;
	read_outcome(&outcome, a->id, row, isnull);
	list = outcome.finished ? a->on_finish : a->on_dead;
	if (list == 0 || strcmp(outcome.state, "cancelled") == 0)
		return false;
	follow_ups_submit_now(DatumGetJsonbP(list), &outcome);
	return true;
}

/* The task may be claimed, given back or ended between two looks at it. */
static bool
add(const Addition *a)
{
	for (int looks = 0; looks < MAX_LOOKS; looks++)
	{
		Row task;

		CHECK_FOR_INTERRUPTS();
		if (!row_read(HOT_TASK, a->id, &task))
			return add_to_ended(a);
		if (!may_add(queue_by_id(ROW_INT32(&task, TASK_QUEUE_ID))))
			return false;
		if (add_to_pending(a) ||
			lease_add_follow_ups(a->id, &task, a->on_finish, a->on_dead) == ROW_DONE)
			return true;
	}
	elog(ERROR, "task " INT64_FORMAT " is neither pending nor running", a->id);
	return false; /* not reached */
}

PG_FUNCTION_INFO_V1(taskq_add_follow_up);
Datum
taskq_add_follow_up(PG_FUNCTION_ARGS)
{
	Addition a = {.id = arg_id(fcinfo, 0, "id")};

	client_call("taskq.add_follow_up()");
	a.on_finish = arg_templates(fcinfo, 1, "on_finish");
	a.on_dead = arg_templates(fcinfo, 2, "on_dead");
	if (a.on_finish == 0 && a.on_dead == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("on_finish and on_dead are both missing"),
				 errdetail("The call has nothing to add."),
				 errhint("Pass a template for one of them.")));
	PG_RETURN_BOOL(add(&a));
}

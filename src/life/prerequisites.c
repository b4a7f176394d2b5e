/*
 * prerequisites.c
 *		Tasks that wait until others have ended, and add_prerequisites().
 *
 * A task that waits is pending and has infinity as its run_at, so no claim meets it.  It has a
 * row in waiting, and one in prerequisite for each task that it waits for.  A session that ends
 * such a task deletes or changes the committed rows about it, in the same transaction, and its
 * commit asks for a look at the dependents.  A look (look.c) decides; so sessions that end tasks
 * do not see each other, wait for nobody, and need not know which of them is the last.
 *
 * A task may end while another session adds it as a prerequisite, which the session that ends it
 * cannot see.  So the commit of the latter asks for a look, too, and a look that finds no task
 * reads the history.  If the queue keeps no finished tasks, the history will not know.  So a task
 * of such a queue cannot end until the transaction that adds it has: its row is locked.
 *
 * No circle can come about with a new task, which no other one can wait for yet.  Where a task
 * that exists already begins to wait, its rows are inserted first, and then it is looked, also at
 * what is not committed, whether any task waits for it and one of its prerequisites waits itself.
 * A circle would need both, and of two sessions that add its parts at the same time, one sees the
 * other's.
 *
 * Locks: the row of the task, if at all, then that of waiting.  Rows of prerequisite are changed
 * only if no other transaction is changing them.  A row that is left so belongs to a task that
 * ends or to a dependent that does; in either case a look is asked for, which sees to it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/arg.h"
#include "base/errors.h"
#include "base/sql.h"
#include "hints/looks.h"
#include "life/prerequisites.h"
#include "tables/backlog.h"
#include "tables/grant.h"
#include "tables/prerequisite.h"
#include "tables/queue.h"
#include "tables/start_limit.h"

#define IDS_AT_ONCE  1000 /* in one statement */
#define ROWS_AT_ONCE 500  /* inserted together */

static Statement select_ended = {
	"select h.id, h.queue, h.state from taskq_private.all_history h where h.id = any ($1)",
	1,
	{INT8ARRAYOID},
	NULL,
};

static Statement select_ended_state = {
	"select h.state from taskq_private.all_history h where h.id = $1", 1, {INT8OID}, NULL};

static const char *const failures[] = {
	[FAILURE_CANCELS] = "cancel",
	[FAILURE_COUNTS] = "run",
	[FAILURE_WAITS] = "wait",
};

/* ---- arguments ------------------------------------------------------------------------ */

static int
failure_of(const char *word)
{
	for (int i = 0; i < (int) lengthof(failures); i++)
	{
		if (strcmp(failures[i], word) == 0)
			return i;
	}
	return -1;
}

static AfterFailure
arg_failure(FunctionCallInfo fcinfo, int n)
{
	int failure = PG_ARGISNULL(n) ? FAILURE_CANCELS
								  : failure_of(text_to_cstring(PG_GETARG_TEXT_PP(n)));

	if (failure < 0)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("after_failure must be cancel, run or wait"),
				 errdetail("It decides what happens if a task of after does not finish."),
				 errhint("cancel is the default.")));
	return (AfterFailure) failure;
}

AfterFailure
prerequisites_failure(const Row *waiting)
{
	int failure = failure_of(TextDatumGetCString(waiting->values[WAITING_AFTER_FAILURE]));

	/* A word that somebody has written by hand. */
	return failure < 0 ? FAILURE_WAITS : (AfterFailure) failure;
}

static int
ascending(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

/* Sorted, each id once, without states. */
static void
read_ids(FunctionCallInfo fcinfo, int n, Prerequisites *p)
{
	int64 *given;
	int count = arg_ids(fcinfo, n, "after", &given);

	if (count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("after is empty"),
				 errdetail("It names the tasks that have to end first, 1 to %d.",
						   TASKQ_MAX_SUBMIT),
				 errhint("Pass NULL for a task that does not wait.")));
	p->ids = palloc_array(int64, count);
	p->states = palloc0_array(Datum, count);
	memcpy(p->ids, given, count * sizeof(int64));
	qsort(p->ids, count, sizeof(int64), ascending);
	p->count = 0;
	for (int i = 0; i < count; i++)
	{
		if (p->count == 0 || p->ids[i] != p->ids[p->count - 1])
			p->ids[p->count++] = p->ids[i];
	}
}

/* ---- how the tasks of an argument fare ---------------------------------------------------- */

/* A look at the tasks of an argument. */
typedef struct Survey
{
	const Prerequisites *p;
	bool *known;
	bool all_queues; /* the caller's privileges do not matter */
	int32 queue_id;  /* the last one that was asked about */
	bool may;
} Survey;

static bool
may_wait_for(Survey *s, const Queue *queue)
{
	return s->all_queues || queue_may(queue, PRIVILEGE_SUBMIT | PRIVILEGE_VIEW);
}

/* Whether the live task can be waited for; keeps it from ending if nobody would know how. */
static bool
judge_live(Survey *s, HotRelation *tasks, Row *task)
{
	int64 id = ROW_INT64(task, TASK_ID);
	const Queue *queue;

	do
	{
		queue = queue_by_id(ROW_INT32(task, TASK_QUEUE_ID));
		if (queue == NULL)
			return false;
		if (queue->id != s->queue_id)
			s->may = may_wait_for(s, queue);
		s->queue_id = queue->id;
		if (!s->may || queue->keep_finished_us > 0 || s->all_queues ||
			row_lock(tasks, task, LockTupleKeyShare, true) == ROW_DONE)
			return s->may;
		CHECK_FOR_INTERRUPTS();
	} while (row_read(HOT_TASK, id, task)); /* in a later snapshot than that of "tasks" */
	return false;
}

static void
survey_live(Survey *s)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "taskq task",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;
	HotRelation tasks;

	hot_open(&tasks, HOT_TASK);
	hot_begin_looks(&tasks);
	MemoryContextSwitchTo(context);
	for (int i = 0; i < s->p->count; i++)
	{
		Row task;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		s->known[i] = row_fetch(&tasks, s->p->ids[i], &task) && judge_live(s, &tasks, &task);
	}
	MemoryContextSwitchTo(old);
	hot_end_looks(&tasks);
	hot_close(&tasks);
	MemoryContextDelete(context);
}

static void
see_ended(const Datum *values, const bool *nulls, void *arg)
{
	Survey *s = arg;
	int64 id = DatumGetInt64(values[0]);
	int64 *found = bsearch(&id, s->p->ids, s->p->count, sizeof(int64), ascending);

	if (found == NULL || !may_wait_for(s, queue_of_row(DatumGetTextPP(values[1]))))
		return;
	s->known[found - s->p->ids] = true;
	s->p->states[found - s->p->ids] = values[2];
}

/* Those that are not live may have ended. */
static void
survey_ended(Survey *s)
{
	int64 *ids = palloc_array(int64, IDS_AT_ONCE);
	int count = 0;

	for (int i = 0; i < s->p->count; i++)
	{
		bool last = i == s->p->count - 1;

		if (!s->known[i])
			ids[count++] = s->p->ids[i];
		if (count == IDS_AT_ONCE || (last && count > 0))
		{
			Datum argument = PointerGetDatum(array_of_ids(ids, count));

			sql_each_as_owner(&select_ended, &argument, NULL, see_ended, s);
			pfree(DatumGetPointer(argument));
			count = 0;
		}
	}
	pfree(ids);
}

/* Sets the states.  False: *unknown is a task that is not known. */
static bool
survey(Prerequisites *p, bool all_queues, int64 *unknown)
{
	Survey s = {.p = p, .all_queues = all_queues};

	s.known = palloc0_array(bool, p->count);
	survey_live(&s);
	survey_ended(&s);
	for (int i = 0; i < p->count; i++)
	{
		if (s.known[i])
			continue;
		*unknown = p->ids[i];
		return false;
	}
	pfree(s.known);
	return true;
}

/* Leaves out the tasks for which nothing needs to wait any more. */
static void
leave_out_settled(Prerequisites *p)
{
	int n = 0;

	for (int i = 0; i < p->count; i++)
	{
		if (p->states[i] != 0 &&
			(p->failure == FAILURE_COUNTS || p->states[i] == state_datum(STATE_FINISHED)))
			continue;
		p->ids[n] = p->ids[i];
		p->states[n++] = p->states[i];
	}
	p->count = n;
}

static void
refuse_unknown(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("task " INT64_FORMAT " of after is not known", id),
			 errdetail("There is no such task, or it has ended and is not kept any more, or the "
					   "current role has neither the privilege submit nor view on its queue."),
			 errhint("Pass ids of live tasks, or of ended ones that are still kept.")));
}

static Prerequisites *
judge_after(FunctionCallInfo fcinfo, int n, AfterFailure failure)
{
	Prerequisites *p = palloc_object(Prerequisites);
	int64 unknown;

	p->failure = failure;
	read_ids(fcinfo, n, p);
	if (!survey(p, false, &unknown))
		refuse_unknown(unknown);
	leave_out_settled(p);
	return p;
}

Prerequisites *
arg_prerequisites(FunctionCallInfo fcinfo, int after, int failure)
{
	AfterFailure given = failure < 0 ? FAILURE_COUNTS : arg_failure(fcinfo, failure);

	return PG_ARGISNULL(after) ? NULL : judge_after(fcinfo, after, given);
}

const char *
prerequisites_fault(FunctionCallInfo fcinfo, int after)
{
	Prerequisites p;
	int64 unknown;

	if (PG_ARGISNULL(after))
		return NULL;
	read_ids(fcinfo, after, &p);
	if (survey(&p, true, &unknown))
		return NULL;
	return psprintf("task " INT64_FORMAT " of after is not known any more", unknown);
}

/* ---- beginning to wait ---------------------------------------------------------------- */

void
prerequisites_make_wait(Row *task)
{
	row_set(task, TASK_RETRY_AT, task->values[TASK_RUN_AT]);
	row_set(task, TASK_RUN_AT, TimestampTzGetDatum(DT_NOEND));
	task->nulls[TASK_START_BY] = true;
}

static void
set_interval(Row *row, int column, int64 us)
{
	Interval *interval = palloc0_object(Interval);

	interval->time = us;
	row_set(row, column, IntervalPGetDatum(interval));
}

static void
insert_waiting(int64 id, const WaitTerms *terms, AfterFailure failure)
{
	HotRelation r;
	Row row;

	row_init(&row);
	row_set(&row, WAITING_ID, Int64GetDatum(id));
	row_set(&row, WAITING_CHANGED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	row_set(&row, WAITING_AFTER_FAILURE, CStringGetTextDatum(failures[failure]));
	if (terms->delay_us > 0)
		set_interval(&row, WAITING_DELAY, terms->delay_us);
	if (terms->start_within_us >= 0)
		set_interval(&row, WAITING_START_WITHIN, terms->start_within_us);
	hot_open(&r, HOT_WAITING);
	row_insert(&r, &row);
	hot_close(&r);
}

/* Inserts the rows for so many of the tasks, from that one on. */
static void
insert_some(HotRelation *r, int64 dependent, const Prerequisites *p, int first, int count)
{
	Row *rows = palloc_array(Row, count);
	Row **pointers = palloc_array(Row *, count);

	for (int i = 0; i < count; i++)
	{
		row_init(&rows[i]);
		row_set(&rows[i], PREREQUISITE_TASK, Int64GetDatum(p->ids[first + i]));
		row_set(&rows[i], PREREQUISITE_DEPENDENT, Int64GetDatum(dependent));
		if (p->states[first + i] != 0)
			row_set(&rows[i], PREREQUISITE_STATE, p->states[first + i]);
		pointers[i] = &rows[i];
	}
	rows_insert(r, pointers, count);
}

static void
insert_rows(int64 dependent, const Prerequisites *p)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "taskq prerequisites",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;
	HotRelation r;

	hot_open(&r, HOT_PREREQUISITE);
	for (int i = 0; i < p->count; i += ROWS_AT_ONCE)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(context);
		insert_some(&r, dependent, p, i, Min(p->count - i, ROWS_AT_ONCE));
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	hot_close(&r);
	MemoryContextDelete(context);
	look_at_commit(dependent, true);
	CommandCounterIncrement();
}

void
prerequisites_insert(int64 id, const WaitTerms *terms, const Prerequisites *p)
{
	insert_waiting(id, terms, p->failure);
	insert_rows(id, p);
}

/* ---- circles ---------------------------------------------------------------------------- */

static void
refuse_waiting(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("task " INT64_FORMAT " of after waits itself", id),
			 errdetail("Tasks could wait for each other in a circle."),
			 errhint("Let new tasks wait for tasks that were submitted before.")));
}

/*
 * TQ004 if one of the tasks waits itself, or begins to in an open transaction: then it has a row of
 * waiting that is not committed.
 */
static void
require_not_waiting(const Prerequisites *p)
{
	HotRelation waits;

	hot_open(&waits, HOT_WAITING);
	for (int i = 0; i < p->count; i++)
	{
		Hands hands;

		if (row_look(&waits, p->ids[i], NULL, &hands))
			refuse_waiting(p->ids[i]);
	}
	hot_close(&waits);
}

void
prerequisites_refuse_circle(int64 id, const Prerequisites *p)
{
	HotRelation r;
	bool waited_for;

	for (int i = 0; i < p->count; i++)
	{
		if (p->ids[i] == id)
			refuse_waiting(id);
	}
	hot_open(&r, HOT_PREREQUISITE);
	waited_for = prerequisite_waited_for(&r, id);
	hot_close(&r);
	if (waited_for)
		require_not_waiting(p);
}

/* ---- the end of a wait -------------------------------------------------------------------- */

/* In an ordered queue a task of a group has the place that it would have if it had not waited. */
static void
set_due(Row *task, TimestampTz due, TimestampTz now)
{
	const Queue *queue = queue_by_id(ROW_INT32(task, TASK_QUEUE_ID));
	TimestampTz place = ROW_TIME(task, TASK_RETRY_AT);
	bool keeps = !task->nulls[TASK_GROUP_ID] && queue != NULL && queue->ordered;

	task->nulls[TASK_RETRY_AT] = true;
	row_set(task, TASK_RUN_AT, TimestampTzGetDatum(keeps ? place : due));
	if (keeps && due > now)
		row_set(task, TASK_RETRY_AT, TimestampTzGetDatum(due));
}

static int64
interval_or(const Row *row, int column, int64 fallback)
{
	return row->nulls[column] ? fallback : interval_us(DatumGetIntervalP(row->values[column]));
}

void
prerequisites_end_wait(Row *task, const Row *waiting)
{
	TimestampTz now = GetCurrentTimestamp();
	int64 start_within = interval_or(waiting, WAITING_START_WITHIN, -1);

	set_due(task, Max(ROW_TIME(task, TASK_RETRY_AT), now + interval_or(waiting, WAITING_DELAY, 0)),
			now);
	if (start_within >= 0)
		row_set(task, TASK_START_BY, TimestampTzGetDatum(now + start_within));
	start_limit_insert(task);
}

static void
drop_one(HotRelation *r, const Prerequisite *p, void *arg)
{
	(void) prerequisite_delete(r, p);
}

void
prerequisites_drop_of(HotRelation *r, int64 dependent)
{
	prerequisites_of_dependent(r, dependent, drop_one, NULL);
}

void
prerequisites_drop(const Row *task)
{
	int64 id = ROW_INT64(task, TASK_ID);
	HotRelation r;
	Row waiting;

	if (!task_waits(task))
		return;
	hot_open(&r, HOT_WAITING);
	while (row_fetch(&r, id, &waiting) && row_delete(&r, &waiting, true) != ROW_DONE)
		CHECK_FOR_INTERRUPTS();
	hot_close(&r);
	hot_open(&r, HOT_PREREQUISITE);
	prerequisites_drop_of(&r, id);
	hot_close(&r);
	look_at_commit(id, false);
}

/* ---- the end of a task that others wait for ----------------------------------------------- */

/* arg: how it has ended, 0 if it has finished. */
static void
tell_dependent(HotRelation *r, const Prerequisite *p, void *arg)
{
	Datum state = *(const Datum *) arg;

	if (state == 0)
		(void) prerequisite_delete(r, p);
	else
		(void) prerequisite_set_state(r, p, state);
	look_at_commit(p->dependent, false);
}

void
prerequisites_tell_end(int64 id, TaskState state)
{
	Datum how = state == STATE_FINISHED ? (Datum) 0 : state_datum(state);
	HotRelation r;

	if (!looks_in_use())
		return;
	hot_open(&r, HOT_PREREQUISITE);
	prerequisites_of_task(&r, id, tell_dependent, &how);
	hot_close(&r);
}

Datum
prerequisites_ended_state(int64 id)
{
	Datum argument = Int64GetDatum(id);
	Datum state;
	bool isnull;

	return sql_as_owner(&select_ended_state, &argument, NULL, &state, &isnull, 1) ? state
																				  : (Datum) 0;
}

/* ---- add_prerequisites() ------------------------------------------------------------------ */

static void
refuse_not_waiting(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
			 errmsg("task " INT64_FORMAT " does not wait for other tasks", id),
			 errdetail("It never did, or all of them have ended, or it is not known, or the "
					   "current role has neither the privilege submit nor control on its queue."),
			 errhint("Add prerequisites while one of those is live that the task waits for.")));
}

static bool
may_add(int64 id)
{
	const Queue *queue = NULL;
	Row task;

	if (row_read(HOT_TASK, id, &task))
		queue = queue_by_id(ROW_INT32(&task, TASK_QUEUE_ID));
	return queue != NULL && queue_may(queue, PRIVILEGE_SUBMIT | PRIVILEGE_CONTROL);
}

/* Locks the row of waiting: until this transaction ends, the task goes on waiting. */
static AfterFailure
keep_waiting(int64 id)
{
	HotRelation r;
	Row waiting;

	hot_open(&r, HOT_WAITING);
	do
	{
		CHECK_FOR_INTERRUPTS();
		if (!row_fetch(&r, id, &waiting))
			refuse_not_waiting(id);
		row_set(&waiting, WAITING_CHANGED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	} while (row_update(&r, &waiting, true) != ROW_DONE);
	hot_close(&r);
	CommandCounterIncrement();
	return prerequisites_failure(&waiting);
}

/* Leaves out the tasks for which the dependent waits already. */
static void
leave_out_known(Prerequisites *p, int64 dependent)
{
	HotRelation r;
	int n = 0;

	hot_open(&r, HOT_PREREQUISITE);
	for (int i = 0; i < p->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (prerequisite_exists(&r, p->ids[i], dependent))
			continue;
		p->ids[n] = p->ids[i];
		p->states[n++] = p->states[i];
	}
	hot_close(&r);
	p->count = n;
}

PG_FUNCTION_INFO_V1(taskq_add_prerequisites);
Datum
taskq_add_prerequisites(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	Prerequisites *p;

	client_call("taskq.add_prerequisites()");
	require_argument(fcinfo, 1, "after");
	if (!may_add(id))
		refuse_not_waiting(id);
	p = judge_after(fcinfo, 1, keep_waiting(id));
	leave_out_known(p, id);
	if (p->count > 0)
		insert_rows(id, p);
	require_not_waiting(p);
	PG_RETURN_INT32(p->count);
}

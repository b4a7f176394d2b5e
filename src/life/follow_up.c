/*
 * follow_up.c
 *		Follow-ups: tasks that are submitted when another one ends.
 *
 * The transaction that ends a task submits its follow-ups.  It may be that of a worker, of the
 * executor, or of a duty, so they are submitted as taskq_owner; the privileges of the role that
 * gave them were judged then.
 *
 * The end must not fail because of a follow-up.  So all follow-ups of a call are submitted in one
 * subtransaction, and if that fails, each in its own.  What cannot be submitted becomes a dead task
 * of its queue, which redrive() brings back when the cause is gone.  A missing queue is the most
 * probable cause and may concern many tasks, so it is found out without an error.
 *
 * A submit with a key waits for a transaction that is inserting the same key in the same queue.  So
 * that two calls do not wait for each other in a circle, each takes its keys in one order: that of
 * the keys, and for the same key that of the queues.  A topic stands for several queues then.  The
 * executor does not wait long: deliveries would wait with it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/sequence.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/numeric.h"

#include "base/arg.h"
#include "base/catalog.h"
#include "base/durability.h"
#include "base/errors.h"
#include "base/jsontext.h"
#include "base/settings.h"
#include "base/sql.h"
#include "base/subxact.h"
#include "hints/counts.h"
#include "life/events.h"
#include "life/follow_up.h"
#include "life/template.h"
#include "tables/key.h"
#include "tables/queue.h"
#include "tables/state.h"

#define EXECUTOR_LOCK_MS 100 /* the executor waits so long for a key */

/* Of a follow-up whose queue does not exist. */
#define DEFAULT_ATTEMPTS 10
#define DEFAULT_KEEP_US  (30 * US_PER_DAY)

typedef struct FollowUp
{
	Jsonb *json; /* its template */
	text *key;   /* or NULL */
	int number;  /* in the order in which it was collected */
	const Outcome *outcome;
	const char *fault; /* why it cannot be submitted; NULL: it was */
} FollowUp;

/* ---- collecting ---------------------------------------------------------------------- */

/* Whether there is a list in that column, and it can be read. */
static bool
has_list(const Row *row, int column)
{
	return !row->nulls[column] && row_try_read(row, &column, 1) == 0;
}

static void
move_list(Row *task, int column, const Row *lease, int from)
{
	if (!has_list(lease, from))
		return;
	if (!has_list(task, column))
		row_set(task, column, lease->values[from]);
	else
		row_set(task, column,
				DirectFunctionCall2(jsonb_concat, task->values[column], lease->values[from]));
}

void
follow_ups_move(Row *task, const Row *lease)
{
	move_list(task, TASK_ON_FINISH, lease, LEASE_ON_FINISH);
	move_list(task, TASK_ON_DEAD, lease, LEASE_ON_DEAD);
}

/* Nothing is raised here, whatever the template is. */
static text *
key_of(Jsonb *json)
{
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(json) ||
		getKeyJsonValueFromContainer(&json->root, "key", strlen("key"), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return cstring_to_text_with_len(value.val.string.val, value.val.string.len);
}

static void
add_list(List **list, Jsonb *templates, const Outcome *outcome)
{
	Jsonb *json[TASKQ_MAX_TEMPLATES];
	int count = templates_of(templates, json);

	for (int i = 0; i < count; i++)
	{
		FollowUp *f = palloc0_object(FollowUp);

		f->json = json[i];
		f->key = key_of(json[i]);
		f->number = list_length(*list);
		f->outcome = outcome;
		*list = lappend(*list, f);
	}
}

static Datum
datum_of(const Row *row, int column)
{
	return row->nulls[column] ? (Datum) 0 : row->values[column];
}

/* A payload that cannot be read, or that no follow-up could hold, is left out. */
static void
add_payload(Outcome *o, const Row *task)
{
	static const int payload[] = {TASK_PAYLOAD};
	Size size;

	if (o->finished || task->nulls[TASK_PAYLOAD])
		return;
	o->truncated = row_try_read(task, payload, 1) != 0 ||
				   jsonb_text_exceeds(task->values[TASK_PAYLOAD], setting_max_payload, &size);
	if (!o->truncated)
		o->payload = task->values[TASK_PAYLOAD];
}

static const Outcome *
outcome_of(const Row *task, const Row *lease, const Ending *ending, const Keeping *keeping)
{
	Outcome *o = palloc0_object(Outcome);

	o->id = ROW_INT64(task, TASK_ID);
	o->queue = pstrdup(keeping->name);
	o->kind = datum_of(task, TASK_KIND);
	o->key = datum_of(task, TASK_KEY);
	o->group_key = datum_of(task, TASK_GROUP_KEY);
	o->trace = datum_of(task, TASK_TRACE);
	o->state = state_label(ending->state);
	o->finished = ending->state == STATE_FINISHED;
	o->attempt = lease != NULL ? ROW_INT32(lease, LEASE_ATTEMPT) : ROW_INT32(task, TASK_ATTEMPT);
	o->submitted_at = ROW_TIME(task, TASK_SUBMITTED_AT);
	o->ended_at = ending->at;
	o->result = ending->result;
	o->error = PointerGetDatum(ending->error);
	if (ending->answer != NULL && ending->answer->present)
		o->status = ending->answer->status;
	add_payload(o, task);
	return o;
}

/* The list in that column; NULL: there is none, or it cannot be read. */
static Jsonb *
own_list(const Row *task, int column)
{
	return has_list(task, column) ? DatumGetJsonbP(task->values[column]) : NULL;
}

void
follow_ups_collect(List **list, const Row *task, const Row *lease, const Ending *ending,
				   const Keeping *keeping)
{
	bool finished = ending->state == STATE_FINISHED;
	int column = finished ? TASK_ON_FINISH : TASK_ON_DEAD;
	Jsonb *of_queue = NULL;
	Jsonb *own;
	const Outcome *outcome;

	if (ending->state == STATE_CANCELLED)
		return;
	if (keeping->queue != NULL)
		of_queue = finished ? keeping->queue->on_finish : keeping->queue->on_dead;
	if (of_queue == NULL && task->nulls[column])
		return;
	own = own_list(task, column);
	outcome = outcome_of(task, lease, ending, keeping);
	if (own != NULL)
		add_list(list, own, outcome);
	if (of_queue != NULL)
		add_list(list, of_queue, outcome);
}

/* ---- submitting ------------------------------------------------------------------------- */

/* A follow-up without payload, or with an object as payload, gets the outcome. */
static void
give_outcome(const Template *t, const Outcome *outcome)
{
	NullableDatum *payload = template_payload(t);

	if (t->target->take_outcome != NULL)
		t->target->take_outcome(t->fcinfo, outcome_payload(outcome, 0));
	if (payload == NULL)
		return;
	if (payload->isnull)
		payload->value = outcome_payload(outcome, 0);
	else if (JB_ROOT_IS_OBJECT(DatumGetJsonbP(payload->value)))
		payload->value = outcome_payload(outcome, payload->value);
	payload->isnull = false;
}

/*
 * A follow-up without a trace gets that of its task; if that has none, an empty one, which means
 * none: the setting is that of the session which happens to end the task.
 */
static void
give_trace(const Template *t, const Outcome *outcome)
{
	NullableDatum *trace = template_trace(t);

	if (!trace->isnull)
		return;
	trace->value = outcome->trace != 0 ? outcome->trace : CStringGetTextDatum("");
	trace->isnull = false;
}

static Template *
read_template(Jsonb *json, const Outcome *outcome)
{
	Template *t = template_read_stored(json);

	give_outcome(t, outcome);
	give_trace(t, outcome);
	return t;
}

/* What the queue keeps as the submitter of a follow-up: {"task": id}. */
static Datum
origin_of(const Outcome *outcome)
{
	JsonbParseState *state = NULL;
	JsonbValue key = {.type = jbvString};
	JsonbValue value = {.type = jbvNumeric};

	key.val.string.val = "task";
	key.val.string.len = strlen("task");
	value.val.numeric = int64_to_numeric(outcome->id);
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	(void) pushJsonbValue(&state, WJB_KEY, &key);
	(void) pushJsonbValue(&state, WJB_VALUE, &value);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

static void
submit_one(FollowUp *f)
{
	Template *t = read_template(f->json, f->outcome);

	f->fault = t->target->fault(t->fcinfo);
	if (f->fault == NULL)
		(void) t->target->submit(t->fcinfo, origin_of(f->outcome));
}

/* A task of a follow-up. */
typedef struct Part
{
	FollowUp *follow_up;
	int32 queue_id;
} Part;

/* Adds the tasks of a follow-up, if nothing is in their way. */
static void
add_parts(List **parts, FollowUp *f)
{
	Template *t = template_read_stored(f->json);
	int32 *ids;
	int count = 1;

	f->fault = t->target->fault(t->fcinfo);
	if (f->fault != NULL)
		return;
	if (t->target->queues != NULL)
		ids = t->target->queues(t->fcinfo, &count);
	else
	{
		ids = palloc_object(int32);
		ids[0] = queue_by_name(t->target->queue(t->fcinfo))->id;
	}
	for (int i = 0; i < count; i++)
	{
		Part *part = palloc_object(Part);

		*part = (Part){f, ids[i]};
		*parts = lappend(*parts, part);
	}
}

static int
compare_parts(const ListCell *a, const ListCell *b)
{
	const Part *x = lfirst(a);
	const Part *y = lfirst(b);

	if (x->queue_id != y->queue_id)
		return x->queue_id < y->queue_id ? -1 : 1;
	return x->follow_up->number - y->follow_up->number;
}

static void
submit_part(const Part *part)
{
	const FollowUp *f = part->follow_up;
	Template *t = read_template(f->json, f->outcome);

	if (t->target->queues != NULL)
		t->target->submit_to(t->fcinfo, origin_of(f->outcome), part->queue_id);
	else
		(void) t->target->submit(t->fcinfo, origin_of(f->outcome));
}

/* Submits count follow-ups of the list, which have the same key. */
static void
submit_same_key(const List *list, int first, int count)
{
	List *parts = NIL;
	ListCell *cell;

	for (int i = 0; i < count; i++)
		add_parts(&parts, list_nth(list, first + i));
	list_sort(parts, compare_parts);
	foreach (cell, parts)
	{
		CHECK_FOR_INTERRUPTS();
		submit_part(lfirst(cell));
	}
}

/* How many follow-ups of the sorted list have the key of that one, from it on; 1 without a key. */
static int
count_same_key(const List *list, int first)
{
	const FollowUp *f = list_nth(list, first);
	int count = 1;

	while (f->key != NULL && first + count < list_length(list))
	{
		const FollowUp *next = list_nth(list, first + count);

		if (next->key == NULL || key_compare(f->key, next->key) != 0)
			break;
		count++;
	}
	return count;
}

/* The setting ends with the subtransaction.  In a pass it is lower already. */
static void
limit_waits(void)
{
	if (GetSessionUserId() == get_role_oid(TASKQ_BGW_ROLE, true) &&
		(LockTimeout == 0 || LockTimeout > EXECUTOR_LOCK_MS))
		(void) set_config_option("lock_timeout", psprintf("%d", EXECUTOR_LOCK_MS), PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static void
submit_sorted(const List *list)
{
	int count;

	for (int i = 0; i < list_length(list); i += count)
	{
		CHECK_FOR_INTERRUPTS();
		count = count_same_key(list, i);
		if (count > 1)
			submit_same_key(list, i, count);
		else
			submit_one(list_nth(list, i));
	}
}

/* In a subtransaction.  The list is sorted. */
static void
submit_list(void *arg)
{
	OwnerRights before;

	limit_waits();
	sql_begin_as_owner(&before, SECURITY_LOCAL_USERID_CHANGE);
	submit_sorted(arg);
	sql_end_as(&before);
}

/* ---- what cannot be submitted -------------------------------------------------------------- */

static void
set_trace(Row *task, text *trace)
{
	if (VARSIZE_ANY_EXHDR(trace) > 0)
		row_set_text(task, TASK_TRACE, trace);
}

/* The follow-up as a task, as far as it is known without its queue. */
static void
fill_dead(const Template *t, const Queue *queue, Row *task)
{
	Datum now = TimestampTzGetDatum(GetCurrentTimestamp());

	row_init(task);
	row_set(task, TASK_ID, Int64GetDatum(nextval_internal(catalog_relation("task_id"), false)));
	row_set(task, TASK_SUBMITTED_AT, now);
	row_set(task, TASK_RUN_AT, now);
	row_set(task, TASK_QUEUE_ID, Int32GetDatum(queue != NULL ? queue->id : 0));
	row_set(task, TASK_ATTEMPT, Int32GetDatum(0));
	row_set(task, TASK_MAX_ATTEMPTS,
			Int32GetDatum(queue != NULL ? queue->max_attempts : DEFAULT_ATTEMPTS));
	row_set(task, TASK_PRIORITY, Int16GetDatum(0));
	template_fill(t, task);
	if (t->target->fill != NULL)
		t->target->fill(t->fcinfo, task);
	set_trace(task, DatumGetTextPP(template_trace(t)->value));
}

/* It is brought back when the queue has the mode for it. */
static Keeping
keeping_of_dead(const Queue *queue, text *name, const Row *task)
{
	bool request = !task->nulls[TASK_METHOD];

	if (queue == NULL)
		return (Keeping){.name = text_to_cstring(name), .push = request, .us = DEFAULT_KEEP_US};
	return (Keeping){.queue = queue,
					 .name = queue->name,
					 .push = request || (queue->push && queue->url != NULL),
					 .us = queue->keep_dead_us,
					 .events = queue->events};
}

static void
log_dead(const FollowUp *f, const Row *task)
{
	if (setting_log_dead)
		ereport(LOG,
				(errmsg("a follow-up of task " INT64_FORMAT " cannot be submitted; it is the dead "
						"task " INT64_FORMAT,
						f->outcome->id, ROW_INT64(task, TASK_ID)),
				 errhidestmt(true), errhidecontext(true)));
}

/* In a subtransaction. */
static void
add_dead(void *arg)
{
	const FollowUp *f = arg;
	Template *t = read_template(f->json, f->outcome);
	text *name = t->target->queue(t->fcinfo);
	const Queue *queue = queue_of_row(name);
	Ending ending = {.state = STATE_DEAD, .error = cstring_to_text(f->fault)};
	Keeping keeping;
	Row task;

	ending.at = GetCurrentTimestamp();
	fill_dead(t, queue, &task);
	if (queue == NULL || queue->keep_origin)
		row_set(&task, TASK_ORIGIN, origin_of(f->outcome));
	keeping = keeping_of_dead(queue, name, &task);
	history_add(NULL, &task, NULL, &ending, &keeping);
	event_submitted(&task, queue);
	event_ended(&task, NULL, &ending, &keeping);
	if (queue != NULL)
	{
		counts_submitted(queue->id);
		counts_ended(queue->id, STATE_DEAD);
	}
	CommandCounterIncrement();
	log_dead(f, &task);
}

/* A template that was changed by hand so that it is none any more is lost. */
static void
bury(FollowUp *f)
{
	char *error;

	if (subxact_try_for_message(add_dead, f, &error) != 0)
		ereport(LOG,
				(errmsg("a follow-up of task " INT64_FORMAT " is lost: %s", f->outcome->id, error),
				 errhidestmt(true), errhidecontext(true)));
}

/* ---- all of a call ----------------------------------------------------------------------- */

/* Follow-ups with a key by key, as a call of submit_many() places its tasks; then the others. */
static int
compare_follow_ups(const ListCell *a, const ListCell *b)
{
	const FollowUp *x = lfirst(a);
	const FollowUp *y = lfirst(b);
	int order = (x->key == NULL) - (y->key == NULL);

	if (order == 0 && x->key != NULL)
		order = key_compare(x->key, y->key);
	return order != 0 ? order : x->number - y->number;
}

/* Submits these in a subtransaction.  NULL: done; otherwise why that failed. */
static const char *
try_to_submit(List *list)
{
	char *error = NULL;
	int sqlstate = subxact_try_for_message(submit_list, list, &error);

	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
		return "another transaction was submitting a task with the same key";
	return sqlstate == 0 ? NULL : error;
}

/* Each in its own subtransaction, after all together have failed. */
static void
submit_each(List *list)
{
	ListCell *cell;

	foreach (cell, list)
	{
		FollowUp *f = lfirst(cell);
		const char *error;

		CHECK_FOR_INTERRUPTS();
		f->fault = NULL;
		error = try_to_submit(list_make1(f));
		if (error != NULL)
			f->fault = error;
	}
}

void
follow_ups_submit(List *list)
{
	ListCell *cell;
	const char *error;

	if (list == NIL)
		return;
	/* The end may be weak, but a follow-up that has begun must not be lost with it in a crash. */
	durability_apply();
	client_call("taskq follow-up");
	list_sort(list, compare_follow_ups);
	error = try_to_submit(list);
	if (error != NULL && list_length(list) == 1)
		((FollowUp *) linitial(list))->fault = error;
	else if (error != NULL)
		submit_each(list);
	foreach (cell, list)
	{
		if (((FollowUp *) lfirst(cell))->fault != NULL)
			bury(lfirst(cell));
	}
}

void
follow_ups_submit_now(Jsonb *templates, const Outcome *outcome)
{
	List *list = NIL;
	ListCell *cell;

	add_list(&list, templates, outcome);
	list_sort(list, compare_follow_ups);
	submit_sorted(list);
	foreach (cell, list)
	{
		const FollowUp *f = lfirst(cell);
		Template *t = f->fault == NULL ? NULL : read_template(f->json, outcome);

		/* The submit says what is in its way. */
		if (t != NULL)
			(void) t->target->submit(t->fcinfo, origin_of(outcome));
	}
}

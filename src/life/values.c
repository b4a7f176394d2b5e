/*
 * values.c
 *		emit(), emitted(), want(): the values of a task while it runs, and asking for them.
 *
 * Values are rows beside the events, whether the queue wants events or not.  emit() locks the lease
 * of the task to its commit, so that the values of a task are written one after the other, and
 * their numbers ascend.
 *
 * The values of a task may be gone before it ends.  When the executor removes them it notes the
 * greatest number in the table demand, so that no number is given twice.
 *
 * The values of a call are written by the executor, one batch after the other, and the process that
 * makes the call gives their numbers.  On demand it goes on after a value only when the next one is
 * wanted.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/errors.h"
#include "base/settings.h"
#include "base/sql.h"
#include "hints/wakeup.h"
#include "life/current_call.h"
#include "life/events.h"
#include "life/lease.h"
#include "life/values.h"
#include "life/wait.h"
#include "tables/event_merge.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/rows.h"

#define MAX_VALUES 100000
#define MAX_LEVELS 1000

static Statement select_demand = {
	"select d.wanted, d.gone from taskq_private.demand d where d.task_id = $1",
	1,
	{INT8OID},
	NULL,
};

static Statement insert_demand = {
	"insert into taskq_private.demand as d (task_id, wanted, gone) values ($1, $2, 0) "
	"on conflict (task_id) do update set wanted = greatest(d.wanted, excluded.wanted)",
	2,
	{INT8OID, INT4OID},
	NULL,
};

/* The numbers of a row of demand; both 0 if there is none. */
static void
read_demand(int64 id, int *wanted, int *gone)
{
	Datum argument = Int64GetDatum(id);
	Datum row[2];
	bool isnull[2];
	bool found = sql_as_owner(&select_demand, &argument, NULL, row, isnull, 2);

	*wanted = found ? DatumGetInt32(row[0]) : 0;
	*gone = found ? DatumGetInt32(row[1]) : 0;
}

int
value_wanted(int64 id)
{
	int wanted;
	int gone;

	read_demand(id, &wanted, &gone);
	return wanted;
}

/* ---- looking ---------------------------------------------------------------------------- */

/* The greatest number of a value in a range that is read backward; 0: there is none. */
static int
greatest_in(EventTables *tables, Snapshot snapshot, const EventRange *range,
			bool (*may)(Datum queue))
{
	int greatest = 0;

	for (int i = 0; i < EVENT_LEAVES; i++)
	{
		EventScan *scan = event_scan_begin(tables, i, range, snapshot);
		EventRow row;

		if (scan == NULL)
			continue;
		if (event_scan_next(scan, &row) && (may == NULL || may(row.queue)))
			greatest = Max(greatest, row.n);
		event_scan_end(scan);
	}
	return greatest;
}

/*
 * The same of a task, above "above" and up to "up_to".  A call whose transaction lasts must not
 * keep the executor from removing rows meanwhile.
 */
static int
greatest_value(int64 id, int above, int up_to, bool (*may)(Datum queue))
{
	EventRange range = {
		.order = BY_TASK,
		.of = id,
		.above = above,
		.up_to = up_to,
		.backward = true,
	};
	EventTables tables;
	Snapshot snapshot;
	int greatest;

	event_tables_open(&tables);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	greatest = greatest_in(&tables, snapshot, &range, may);
	UnregisterSnapshot(snapshot);
	event_tables_release(&tables);
	return greatest;
}

/* Those who may read the result of a task may read its values. */
static bool
may_read(Datum queue)
{
	return queue_may(queue_of_row(DatumGetTextPP(queue)), PRIVILEGE_SUBMIT | PRIVILEGE_VIEW);
}

int
value_newest(int64 id, int after)
{
	return greatest_value(id, after, PG_INT32_MAX, may_read);
}

/* ---- emit() ------------------------------------------------------------------------------ */

/* The greatest number of a value that the task has emitted so far. */
static int
last_number(int64 id)
{
	int last = greatest_value(id, 0, PG_INT32_MAX, NULL);
	int wanted;
	int gone;

	read_demand(id, &wanted, &gone);
	return Max(last, gone);
}

static int
number_after(int64 id, int last)
{
	if (last == PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
				 errmsg("task " INT64_FORMAT " has no number left for a value", id),
				 errdetail("Numbers of values end at %d.", PG_INT32_MAX),
				 errhint("Finish the task, and submit another one.")));
	return last + 1;
}

/* How deep arrays and objects are in each other. */
static int
levels_of(Jsonb *json)
{
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue part;
	int level = 0;
	int most = 0;

	while ((token = JsonbIteratorNext(&it, &part, false)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT)
			level++;
		else if (token == WJB_END_ARRAY || token == WJB_END_OBJECT)
			level--;
		most = Max(most, level);
	}
	return most;
}

/*
 * events_after() puts the value into an object, by recursion, and a reader may have less stack left
 * than the emitter had: it would never get past such an event.
 */
static void
check_value(Datum value)
{
	check_json(value, "value");
	if (toast_raw_datum_size(value) > MAX_LEVELS * sizeof(JEntry) &&
		levels_of(DatumGetJsonbP(value)) > MAX_LEVELS)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_TOO_LARGE),
				 errmsg("value has too many levels"),
				 errdetail("Arrays and objects may be %d levels deep.", MAX_LEVELS),
				 errhint("Pass a text, or a flat list.")));
}

static void
write_new(int64 id, const Queue *queue, int n, Datum value)
{
	event_value(id, queue, n, value);
	CommandCounterIncrement();
}

void
value_write(int64 id, const Queue *queue, int n, Datum value)
{
	if (greatest_value(id, n - 1, n, NULL) != n)
		write_new(id, queue, n, value);
}

PG_FUNCTION_INFO_V1(taskq_emit);
Datum
taskq_emit(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	int n = arg_int32(fcinfo, 3, "n", 0, 1, PG_INT32_MAX);
	const Queue *queue;
	Row lease;

	if (!PG_ARGISNULL(1) || current_call_of(id) == NULL)
		(void) arg_id(fcinfo, 1, "token");
	client_call("taskq.emit()");
	require_argument(fcinfo, 2, "value");
	if (PG_ARGISNULL(1))
		PG_RETURN_INT32(value_tell(n, PG_GETARG_DATUM(2)));
	check_value(PG_GETARG_DATUM(2));
	if (!lease_lock_own(id, PG_GETARG_INT64(1), &lease))
		PG_RETURN_NULL();
	queue = queue_by_id(ROW_INT32(&lease, LEASE_QUEUE_ID));
	if (queue == NULL)
		PG_RETURN_NULL(); /* it was dropped at this moment */
	if (n != 0)
	{
		value_write(id, queue, n, PG_GETARG_DATUM(2));
		PG_RETURN_INT32(n);
	}
	n = number_after(id, last_number(id));
	write_new(id, queue, n, PG_GETARG_DATUM(2));
	PG_RETURN_INT32(n);
}

/* ---- calls -------------------------------------------------------------------------------- */

static void
sleep_until_wanted(int64 id, int n)
{
	for (;;)
	{
		wakeup_wait_for(topic_of_task(id));
		if (value_wanted(id) >= n)
			break;
		InvalidateCatalogSnapshotConditionally();
		wait_sleep(setting_poll_interval);
	}
}

/* A function may catch a cancel and go on. */
static void
wait_until_wanted(int64 id, int n)
{
	PG_TRY();
	{
		sleep_until_wanted(id, n);
	}
	PG_CATCH();
	{
		wakeup_stop_waiting(0);
		PG_RE_THROW();
	}
	PG_END_TRY();
	wakeup_stop_waiting(topic_of_task(id));
}

/* The numbers go on from those of the attempts before. */
static void
look_up_last(MadeCall *call)
{
	if (call->last < 0)
		call->last = last_number(call->id);
}

void
value_wait_for_first(void)
{
	const MadeCall *call = current_call();
	int last = last_number(call->id);

	if (last < PG_INT32_MAX)
		wait_until_wanted(call->id, last + 1);
}

int
value_tell(int n, Datum value)
{
	MadeCall *call = current_call();

	check_value(value);
	look_up_last(call);
	if (n == 0)
		n = number_after(call->id, call->last);
	call->tell(MESSAGE_VALUE, n, value);
	call->last = Max(call->last, n);
	if (call->on_demand && call->last < PG_INT32_MAX)
		wait_until_wanted(call->id, call->last + 1);
	return n;
}

/* ---- emitted() --------------------------------------------------------------------------- */

static void
return_value(ReturnSetInfo *rsinfo, const EventRow *row)
{
	Datum values[3] = {Int32GetDatum(row->n), row->data, TimestampTzGetDatum(row->at)};
	bool nulls[3] = {false};

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
return_values(ReturnSetInfo *rsinfo, EventTables *tables, Snapshot snapshot,
			  const EventRange *range, int max)
{
	EventMerge *merge = event_merge_begin(tables, snapshot);
	const EventRow *row;
	EventOrder order;

	event_merge_add(merge, range);
	for (int i = 0; i < max && (row = event_merge_next(merge, &order)) != NULL; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!may_read(row->queue))
			break;
		return_value(rsinfo, row);
	}
	event_merge_end(merge);
}

PG_FUNCTION_INFO_V1(taskq_emitted);
Datum
taskq_emitted(PG_FUNCTION_ARGS)
{
	EventRange range = {
		.order = BY_TASK,
		.of = arg_id(fcinfo, 0, "id"),
		.above = arg_int32(fcinfo, 1, "after", 0, 0, PG_INT32_MAX),
		.up_to = PG_INT32_MAX,
	};
	int max = arg_int32(fcinfo, 2, "max_values", 1000, 1, MAX_VALUES);
	EventTables tables;
	Snapshot snapshot;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	event_tables_open(&tables);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	return_values((ReturnSetInfo *) fcinfo->resultinfo, &tables, snapshot, &range, max);
	UnregisterSnapshot(snapshot);
	event_tables_close(&tables);
	return (Datum) 0;
}

/* ---- want() ------------------------------------------------------------------------------- */

PG_FUNCTION_INFO_V1(taskq_want);
Datum
taskq_want(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, 0, "id");
	int upto = arg_int32(fcinfo, 1, "upto", 0, 1, PG_INT32_MAX);
	Datum values[2] = {Int64GetDatum(id), Int32GetDatum(upto)};
	const Queue *queue = NULL;
	Row task;

	client_call("taskq.want()");
	require_argument(fcinfo, 1, "upto");
	if (row_read(HOT_TASK, id, &task))
		queue = queue_by_id(ROW_INT32(&task, TASK_QUEUE_ID));
	if (queue == NULL || !queue_may(queue, PRIVILEGE_SUBMIT | PRIVILEGE_CONTROL))
		PG_RETURN_BOOL(false);
	(void) sql_as_owner(&insert_demand, values, NULL, NULL, NULL, 0);
	wakeup_task_at_commit(id);
	PG_RETURN_BOOL(true);
}

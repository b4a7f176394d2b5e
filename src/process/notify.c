/*
 * notify.c
 *		Tells sessions about due tasks, in the executor.
 *
 * NOTIFY in a user's transaction takes a lock of the whole cluster until after
 * its commit has reached the disk.  So a commit only marks its queues and
 * wakes the executor.  The executor sends one notification for each queue for all
 * commits within taskq.notify_interval; the first one is sent at once.  Tasks that
 * become due by time are announced here too, to clients that LISTEN and to
 * sessions in wait_ready().  Events are told of in the same way, on a channel of their own.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/fmgroids.h"

#include "base/database.h"
#include "base/durability.h"
#include "base/settings.h"
#include "base/sql.h"
#include "core/clock.h"
#include "hints/groups.h"
#include "hints/lanes.h"
#include "hints/wakeup.h"
#include "process/notify.h"
#include "process/transaction.h"
#include "tables/queue.h"

#define EVENTS     0   /* instead of the id of a queue: the stream of events */
#define MAX_QUEUES 256 /* of one transaction; the next one takes the rest */

static Operation op_notify = {.name = "notify sessions"};
static Statement call_notify = {
	.sql = "select taskq_private.notify($1)",
	.nargs = 1,
	.argtypes = {INT4ARRAYOID}};

static int64 sent_at = 0; /* on the executor's clock */
static int64 events_sent_at = 0;
static TimestampTz timer = DT_NOBEGIN;

static void
work_notify(void *arg)
{
	sql_call(&call_notify, arg, NULL);
}

static void
notify_queues(const int32 *ids, int count)
{
	Datum *values = palloc(sizeof(Datum) * count);
	Datum array;

	for (int i = 0; i < count; i++)
		values[i] = Int32GetDatum(ids[i]);
	array = PointerGetDatum(construct_array(values, count, INT4OID, sizeof(int32), true,
											TYPALIGN_INT));
	(void) transact(&op_notify, work_notify, &array);
}

/* Clears the flag first: a queue that is marked later sets it again. */
static void
send_notifications(TaskqDatabase *db, int64 now)
{
	int32 ids[MAX_QUEUES];
	int count;

	(void) database_take_want(db, WANT_NOTIFY);
	count = lanes_take_marks(ids, MAX_QUEUES);
	if (count == MAX_QUEUES)
		database_want(db, WANT_NOTIFY);
	if (count > 0 && setting_notify_interval >= 0)
		notify_queues(ids, count);
	sent_at = now;
}

static void
tell_of_events(TaskqDatabase *db, int64 now)
{
	int32 events = EVENTS;

	(void) database_take_want(db, WANT_EVENTS);
	wakeup_event_waiters();
	if (setting_notify_interval >= 0)
		notify_queues(&events, 1);
	events_sent_at = now;
}

/* Wakes the sessions that wait for a queue of which a task has just become due. */
static void
announce(TaskqDatabase *db)
{
	int32 ids[MAX_QUEUES];
	int count;

	(void) database_take_want(db, WANT_TIMERS);
	count = lanes_become_due(GetCurrentTimestamp(), ids, MAX_QUEUES, &timer);
	for (int i = 0; i < count; i++)
		wakeup_waiters(ids[i]);
	if (count > 0)
		database_want(db, WANT_NOTIFY);
	count = groups_become_due(GetCurrentTimestamp(), ids, MAX_QUEUES, &timer);
	for (int i = 0; i < count; i++)
		wakeup_some(ids[i], MaxBackends);
}

void
notify_run(void)
{
	TaskqDatabase *db = database_mine();
	int64 now = tq_clock_ms();

	if (db == NULL)
		return;
	if (database_wants(db, WANT_TIMERS) || timer <= GetCurrentTimestamp())
		announce(db);
	if (database_wants(db, WANT_NOTIFY) && now >= sent_at + setting_notify_interval)
		send_notifications(db, now);
	if (database_wants(db, WANT_EVENTS) && now >= events_sent_at + setting_notify_interval)
		tell_of_events(db, now);
}

int64
notify_due_in(void)
{
	TaskqDatabase *db = database_mine();
	int64 due = PG_INT32_MAX;

	if (db == NULL)
		return due;
	if (database_wants(db, WANT_TIMERS))
		return 0;
	if (timer != DT_NOEND)
		due = Min(due, Max((timer - GetCurrentTimestamp() + 999) / 1000, 0));
	if (database_wants(db, WANT_NOTIFY))
		due = Min(due, Max(sent_at + setting_notify_interval - tq_clock_ms(), 0));
	if (database_wants(db, WANT_EVENTS))
		due = Min(due, Max(events_sent_at + setting_notify_interval - tq_clock_ms(), 0));
	return due;
}

/* Nothing is sent while the server's notification queue fills up; listeners poll as well. */
static bool
notifications_pile_up(void)
{
	return DatumGetFloat8(OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE)) > 0.5;
}

/* The commit need not wait for the disk: a notification does not survive a crash anyway. */
PG_FUNCTION_INFO_V1(taskq_notify);
Datum
taskq_notify(PG_FUNCTION_ARGS)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
	int32 *ids = (int32 *) ARR_DATA_PTR(array);

	if (notifications_pile_up())
		PG_RETURN_VOID();
	durability_begin_weak();
	for (int i = 0; i < ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)); i++)
	{
		const Queue *queue = ids[i] == EVENTS ? NULL : queue_by_id(ids[i]);

		if (ids[i] == EVENTS)
			Async_Notify("taskq_events", NULL);
		else if (queue != NULL && (!queue->push || queue->external) && !queue->call &&
				 !queue->paused)
			Async_Notify(psprintf("taskq_%s", queue->name), NULL);
	}
	durability_end_weak();
	PG_RETURN_VOID();
}

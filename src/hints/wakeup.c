/*
 * wakeup.c
 *		Wakes other processes when a transaction commits: executor, launcher, waiters.
 *
 * A transaction notes its wake-ups, and performs them once other processes can see
 * its changes.  The callbacks for the commit are too early: the rows are visible then, but
 * catalog entries that other processes have cached, such as queues, roles and databases,
 * are invalidated only afterwards.  So the wake-ups come when the transaction has released
 * its locks.  No error may be raised there: this code only writes atomics, marks and
 * latches, and the database's slot is looked up beforehand.
 *
 * The topic for which a session waits stands in shared memory, in the place of the session's
 * number.  If it waits for several topics, these stand in a list, and the place says so.  A commit
 * wakes as many waiters of a queue as it has added tasks.  A woken session is marked with the
 * topic that woke it; if it stops waiting without having found a task there, another one is woken
 * instead.
 *
 * A prepared transaction wakes no process.  When it is committed or rolled back, when
 * logical replication has applied a transaction, and when statements have written tasks or
 * leases, a sweep looks for new tasks: see dispatch.c and sweep.c.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"

#include "base/compat.h"
#include "base/database.h"
#include "base/xact.h"
#include "hints/counts.h"
#include "hints/flow.h"
#include "hints/lanes.h"
#include "hints/leases.h"
#include "hints/looks.h"
#include "hints/wakeup.h"

#define TOPIC_NONE UINT64CONST(0)
#define TOPIC_ANY  UINT64CONST(4)

/*
 * The lowest bits tell what stands in the place of a session.  Topics are odd numbers.
 * PLACE_WOKEN: it was woken, and the other bits are those of the topic.  PLACE_LIST: it waits for
 * the topics of its list, and the other bits are the number of that list.
 */
#define PLACE_BITS  UINT64CONST(7)
#define PLACE_WOKEN UINT64CONST(2)
#define PLACE_LIST  UINT64CONST(6)

/* So many tasks and queues are noted one by one; if there are more, all waiters are woken. */
#define MAX_TOLD   256
#define MAX_QUEUES 32

/* A queue to which tasks have come. */
typedef struct Arrivals
{
	int32 queue_id;
	int count;
} Arrivals;

/* The notes of the current transaction. */
static uint32 wanted = 0;              /* bits of DatabaseWant */
static TaskqDatabase *database = NULL; /* looked up before the end of the transaction */
static int64 told[MAX_TOLD];           /* tasks that have ended, have a value, or are wanted */
static int ntold = 0;                  /* may be greater than MAX_TOLD */
static Arrivals arrivals[MAX_QUEUES];
static int narrivals = 0;      /* may be greater than MAX_QUEUES */
static bool rows_came = false; /* past the functions that write them */

/* The topic for which this session waits, or its list. */
static uint64 waiting_for = TOPIC_NONE;

/* What stood in its place before the look that is under way. */
static uint64 before_look = TOPIC_NONE;

static uint64
topic(uint32 kind, uint64 id)
{
	uint64 seed = ((uint64) MyDatabaseId << 32) | kind;

	return hash_bytes_extended((const unsigned char *) &id, sizeof(id), seed) | 1;
}

uint64
topic_of_task(int64 id)
{
	return topic(1, (uint64) id);
}

uint64
topic_of_queue(int32 id)
{
	return topic(2, (uint64) id);
}

uint64
topic_of_events(void)
{
	return topic(3, 0);
}

/* ---- waiters --------------------------------------------------------------------- */

static bool
is_kind(uint64 place, uint64 kind)
{
	return (place & PLACE_BITS) == kind;
}

/* What stands in the place of a session that was woken by the topic. */
static uint64
woken_by(uint64 topic)
{
	return (topic & ~PLACE_BITS) | PLACE_WOKEN;
}

/* The list may be a later one than that of the place; then the place has changed, too. */
static bool
is_listed(int backend, uint64 topic)
{
	const TopicList *list = registry_topics(backend);

	pg_read_barrier();
	for (int i = 0; i < Min(list->count, MAX_TOPICS); i++)
	{
		if (list->topics[i] == topic)
			return true;
	}
	return false;
}

/* Whether the session in whose place that stands waits for the topic. */
static bool
waits_for(int backend, uint64 place, uint64 topic)
{
	if (topic == TOPIC_ANY)
		return place != TOPIC_NONE && !is_kind(place, PLACE_WOKEN);
	return place == topic || (is_kind(place, PLACE_LIST) && is_listed(backend, topic));
}

/*
 * Wakes up to count sessions that wait for the topic; each is woken once.  In most commits no
 * session waits, and the places need not be looked at.
 */
static void
wake_waiters(uint64 topic, int count)
{
	if (pg_atomic_read_u32(&registry->waiters) == 0)
		return;
	for (int i = 0; i < MaxBackends && count > 0; i++)
	{
		pg_atomic_uint64 *place = &registry->waiting_for[i];
		uint64 found = pg_atomic_read_u64(place);

		if (waits_for(i, found, topic))
		{
			if (!pg_atomic_compare_exchange_u64(place, &found, woken_by(topic)))
				continue;
			SetLatch(&ProcGlobal->allProcs[i].procLatch);
			count--;
		}
	}
}

/* Returns what stood in the place of this session, which is counted as long as one stands there. */
static uint64
set_waiting_for(uint64 topic)
{
	bool was_counted = waiting_for != TOPIC_NONE;
	uint64 place;

	if (!was_counted && topic != TOPIC_NONE)
		pg_atomic_fetch_add_u32(&registry->waiters, 1);
	waiting_for = topic;
	place = pg_atomic_exchange_u64(&registry->waiting_for[compat_my_procno()], topic);
	if (was_counted && topic == TOPIC_NONE)
		pg_atomic_fetch_sub_u32(&registry->waiters, 1);
	return place;
}

void
wakeup_wait_for(uint64 topic)
{
	if (registry != NULL)
		before_look = set_waiting_for(topic);
}

uint64
topic_of_list(const uint64 *topics, int count)
{
	TopicList *list;

	if (registry == NULL)
		return PLACE_LIST;
	wakeup_stop_waiting(TOPIC_NONE);
	list = registry_topics(compat_my_procno());
	list->count = count;
	memcpy(list->topics, topics, count * sizeof(uint64));
	return (uint64) ++list->number * (PLACE_BITS + 1) + PLACE_LIST;
}

/*
 * If a topic other than the one that was found has woken this session, as stands in its place,
 * wakes another waiter of that topic.
 */
static void
pass_on(uint64 topic, uint64 place, uint64 found)
{
	const TopicList *list = registry_topics(compat_my_procno());

	if (!is_kind(place, PLACE_WOKEN) || place == woken_by(found))
		return;
	if (!is_kind(topic, PLACE_LIST) && place == woken_by(topic))
		wake_waiters(topic, 1);
	for (int i = 0; is_kind(topic, PLACE_LIST) && i < list->count; i++)
	{
		if (place == woken_by(list->topics[i]))
			wake_waiters(list->topics[i], 1);
	}
}

/*
 * The session may have been woken twice: before its last look, which can have found something
 * else first, and since then.
 */
void
wakeup_stop_waiting(uint64 found)
{
	uint64 topic = waiting_for;
	uint64 place;

	if (topic == TOPIC_NONE)
		return;
	place = set_waiting_for(TOPIC_NONE);
	pass_on(topic, before_look, found);
	pass_on(topic, place, found);
	before_look = TOPIC_NONE;
}

void
wakeup_waiters(int32 queue_id)
{
	wake_waiters(topic_of_queue(queue_id), MaxBackends);
}

void
wakeup_event_waiters(void)
{
	wake_waiters(topic_of_events(), MaxBackends);
}

void
wakeup_some(int32 queue_id, int count)
{
	if (registry == NULL)
		return; /* the library is not preloaded: sessions and the executor poll */
	wake_waiters(topic_of_queue(queue_id), count);
	lanes_mark(queue_id);
	if (database_mine() != NULL)
		database_want(database_mine(), WANT_NOTIFY);
}

/* ---- at the end of a transaction ------------------------------------------------- */

static void
tell_waiters(void)
{
	for (int i = 0; i < Min(narrivals, MAX_QUEUES); i++)
	{
		wake_waiters(topic_of_queue(arrivals[i].queue_id), arrivals[i].count);
		lanes_mark(arrivals[i].queue_id);
	}
	for (int i = 0; i < Min(ntold, MAX_TOLD); i++)
		wake_waiters(topic_of_task(told[i]), MaxBackends);
	if (ntold > MAX_TOLD || narrivals > MAX_QUEUES)
		wake_waiters(TOPIC_ANY, MaxBackends);
	if (narrivals > MAX_QUEUES)
		lanes_mark_all();
	if (narrivals > 0 && database != NULL)
		database_want(database, WANT_NOTIFY);
}

static void
forget_all_notes(void)
{
	wanted = ntold = narrivals = 0;
	rows_came = false;
}

static void
note_rows_came(void)
{
	wakeup_at_commit(WANT_SWEEP);
	rows_came = true;
}

static void
transaction_ended(XactEnd end)
{
	if (end == XACT_ROLLED_BACK)
		wakeup_stop_waiting(TOPIC_NONE);
	if (end != XACT_COMMITTED)
		forget_all_notes();
	else if (IsLogicalWorker())
		note_rows_came();
}

static void
tell(bool committed)
{
	if (!committed)
		return;
	if (wanted & WANT_SWEEP)
	{
		counts_anew();
		leases_unknown();
		flow_sweep(rows_came);
		looks_at_all();
		wanted |= WANT_EVENTS; /* its events may have come, too */
	}
	if (wanted != 0)
	{
		database_want(database, wanted);
		database_hints_changed();
	}
	if (ntold > 0 || narrivals > 0)
		tell_waiters();
	forget_all_notes();
}

static XactKind told_at_commit = {.ended = transaction_ended, .released = tell};

void
wakeup_install(void)
{
	xact_register(&told_at_commit);
}

/* ---- notes ------------------------------------------------------------------------- */

void
wakeup_at_commit(uint32 wants)
{
	database = database_mine();
	if (database != NULL)
		wanted |= wants;
}

void
wakeup_task_at_commit(int64 id)
{
	if (registry == NULL)
		return;
	if (ntold < MAX_TOLD)
		told[ntold] = id;
	ntold++;
}

void
wakeup_arrival_at_commit(int32 queue_id)
{
	if (registry == NULL)
		return;
	database = database_mine();
	for (int i = 0; i < Min(narrivals, MAX_QUEUES); i++)
	{
		if (arrivals[i].queue_id == queue_id)
		{
			arrivals[i].count++;
			return;
		}
	}
	if (narrivals < MAX_QUEUES)
		arrivals[narrivals] = (Arrivals){queue_id, 1};
	narrivals++;
}

void
wakeup_events_at_commit(void)
{
	wakeup_at_commit(WANT_EVENTS);
}

PG_FUNCTION_INFO_V1(taskq_wake_executor);
Datum
taskq_wake_executor(PG_FUNCTION_ARGS)
{
	wakeup_at_commit(WANT_TASKS | WANT_CALLS);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_sweep_soon);
Datum
taskq_sweep_soon(PG_FUNCTION_ARGS)
{
	note_rows_came();
	PG_RETURN_VOID();
}

/* A trigger of tasks and leases: a statement has written them. */
PG_FUNCTION_INFO_V1(taskq_written);
Datum
taskq_written(PG_FUNCTION_ARGS)
{
	note_rows_came();
	PG_RETURN_POINTER(NULL);
}

/* The requests of a dropped queue are to be given up, and its tasks to be ended. */
PG_FUNCTION_INFO_V1(taskq_empty_queues_soon);
Datum
taskq_empty_queues_soon(PG_FUNCTION_ARGS)
{
	wakeup_at_commit(WANT_CANCELS | WANT_EMPTY);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_make_history_soon);
Datum
taskq_make_history_soon(PG_FUNCTION_ARGS)
{
	wakeup_at_commit(WANT_HISTORY);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_schedules_changed);
Datum
taskq_schedules_changed(PG_FUNCTION_ARGS)
{
	wakeup_at_commit(WANT_FIRING);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_poke_launcher);
Datum
taskq_poke_launcher(PG_FUNCTION_ARGS)
{
	wakeup_at_commit(WANT_PROBE);
	PG_RETURN_VOID();
}

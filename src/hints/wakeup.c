/*
 * wakeup.c
 *		What a committed transaction tells other processes: executor, launcher, waiters.
 *
 * A transaction notes what it has to tell, and tells it once other processes can see
 * its changes.  That is not yet so when the callbacks for the commit run: the
 * rows are visible then, but catalog entries that other processes have cached, such as
 * queues, roles and databases, are invalidated only afterwards.  So it is told when
 * the transaction has released its locks.  Nothing may fail there: it
 * writes atomics, marks and latches and does nothing else, and the database's slot is
 * looked up beforehand.
 *
 * What a session waits for stands in shared memory, in the place of the session's number.
 * As many sessions that wait for a queue are woken as tasks have come.  A woken session is
 * marked so; if it leaves without having looked, another one is woken instead.
 *
 * A prepared transaction tells nothing.  When one has been committed or rolled
 * back, and when logical replication has applied something, a sweep looks for
 * what has come: see dispatch.c and sweep.c.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "utils/resowner.h"

#include "base/compat.h"
#include "base/database.h"
#include "base/xact.h"
#include "hints/counts.h"
#include "hints/lanes.h"
#include "hints/leases.h"
#include "hints/wakeup.h"

/* Topics are odd numbers. */
#define TOPIC_NONE  UINT64CONST(0)
#define TOPIC_WOKEN UINT64CONST(2) /* in place of what was waited for */
#define TOPIC_ANY   UINT64CONST(4)

/* So many tasks and queues are told one by one; if there are more, all waiters are woken. */
#define MAX_ENDED  256
#define MAX_QUEUES 32

/* A queue to which tasks have come. */
typedef struct Arrivals
{
	int32 queue_id;
	int count;
} Arrivals;

/* Of the current transaction. */
static uint32 wanted = 0;              /* of the database: bits of DatabaseWant */
static TaskqDatabase *database = NULL; /* known before the end, if anything is to be told */
static int64 ended[MAX_ENDED];         /* tasks */
static int nended = 0;                 /* may be greater than MAX_ENDED */
static Arrivals arrivals[MAX_QUEUES];
static int narrivals = 0; /* may be greater than MAX_QUEUES */

/* Of this session. */
static uint64 waiting_for = TOPIC_NONE;

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

/* ---- waiters --------------------------------------------------------------------- */

/* Wakes up to count sessions that wait for the topic; each is woken once. */
static void
wake_waiters(uint64 topic, int count)
{
	for (int i = 0; i < MaxBackends && count > 0; i++)
	{
		pg_atomic_uint64 *place = &registry->waiting_for[i];
		uint64 found = pg_atomic_read_u64(place);

		if (found == topic || (topic == TOPIC_ANY && found != TOPIC_NONE && found != TOPIC_WOKEN))
		{
			if (!pg_atomic_compare_exchange_u64(place, &found, TOPIC_WOKEN))
				continue;
			SetLatch(&ProcGlobal->allProcs[i].procLatch);
			count--;
		}
	}
}

/* Whether this session had been woken. */
static bool
set_waiting_for(uint64 topic)
{
	waiting_for = topic;
	return pg_atomic_exchange_u64(&registry->waiting_for[compat_my_procno()], topic) ==
		   TOPIC_WOKEN;
}

void
wakeup_wait_for(uint64 topic)
{
	if (registry != NULL)
		(void) set_waiting_for(topic);
}

void
wakeup_stop_waiting(bool found)
{
	uint64 topic = waiting_for;

	if (topic != TOPIC_NONE && set_waiting_for(TOPIC_NONE) && !found)
		wake_waiters(topic, 1);
}

void
wakeup_waiters(int32 queue_id)
{
	wake_waiters(topic_of_queue(queue_id), MaxBackends);
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
	for (int i = 0; i < Min(nended, MAX_ENDED); i++)
		wake_waiters(topic_of_task(ended[i]), MaxBackends);
	if (nended > MAX_ENDED || narrivals > MAX_QUEUES)
		wake_waiters(TOPIC_ANY, MaxBackends);
	if (narrivals > MAX_QUEUES)
		lanes_mark_all();
	if (narrivals > 0 && database != NULL)
		database_want(database, WANT_NOTIFY);
}

static void
forget_all_notes(void)
{
	wanted = nended = narrivals = 0;
}

static void
transaction_ended(XactEnd end)
{
	if (end == XACT_ROLLED_BACK)
		wakeup_stop_waiting(false);
	if (end != XACT_COMMITTED)
		forget_all_notes();
	else if (IsLogicalWorker())
		wakeup_at_commit(WANT_SWEEP);
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
		database_hints_changed();
	}
	if (wanted != 0)
		database_want(database, wanted);
	if (nended > 0 || narrivals > 0)
		tell_waiters();
	forget_all_notes();
}

static XactKind told_at_commit = {.ended = transaction_ended, .released = tell};

void
wakeup_install(void)
{
	xact_register(&told_at_commit);
}

/* ---- what is to be told ------------------------------------------------------------ */

void
wakeup_at_commit(uint32 wants)
{
	database = database_mine();
	if (database != NULL)
		wanted |= wants;
}

void
wakeup_task_ended_at_commit(int64 id)
{
	if (registry == NULL)
		return;
	if (nended < MAX_ENDED)
		ended[nended] = id;
	nended++;
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

PG_FUNCTION_INFO_V1(taskq_wake_executor);
Datum
taskq_wake_executor(PG_FUNCTION_ARGS)
{
	wakeup_at_commit(WANT_TASKS);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_sweep_soon);
Datum
taskq_sweep_soon(PG_FUNCTION_ARGS)
{
	wakeup_at_commit(WANT_SWEEP);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_poke_launcher);
Datum
taskq_poke_launcher(PG_FUNCTION_ARGS)
{
	wakeup_at_commit(WANT_PROBE);
	PG_RETURN_VOID();
}

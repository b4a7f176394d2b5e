/*
 * wakeup.c
 *		What a committed transaction tells others: executor, launcher, waiters.
 *
 * A transaction notes what it has to tell, and tells it once the changes can
 * be seen.  That is not yet so when the callbacks for the commit run: the
 * rows are visible then, but cached catalog entries elsewhere, such as queues,
 * roles and databases, are invalidated only afterwards.  So it is told when
 * the transaction's last resources are released.  Nothing may fail there: it
 * writes atomics, marks and latches and does nothing else, so the slot is
 * looked up beforehand.
 *
 * What a session waits for stands in shared memory by its number.  Of those
 * who wait for a queue as many are woken as tasks have come; who is woken is
 * marked so, and when it leaves without having looked another is woken instead.
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
#include "hints/counts.h"
#include "hints/lanes.h"
#include "hints/leases.h"
#include "hints/wakeup.h"


#define TELL_TASKS    1
#define TELL_LEASES   2
#define TELL_LAUNCHER 4
#define TELL_TIMERS   8
#define TELL_SWEEP    16
#define TELL_WAITERS  32

/* Topics are odd numbers. */
#define TOPIC_NONE  UINT64CONST(0)
#define TOPIC_WOKEN UINT64CONST(2) /* in place of what was waited for */
#define TOPIC_ANY   UINT64CONST(4)

/* So many are told one by one; of more, all. */
#define MAX_ENDED  256
#define MAX_QUEUES 32

/* A queue to which tasks have come. */
typedef struct Arrivals
{
	int32 queue_id;
	int count;
} Arrivals;

/* Of the current transaction. */
static int to_tell = 0;
static TaskqDatabase *slot = NULL;
static int64 ended[MAX_ENDED]; /* tasks */
static int nended = 0;         /* may be greater than MAX_ENDED */
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

/* Wakes so many of those who wait for the topic; each is woken once. */
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

/* Only the one who raises the flag wakes the process: it clears the flag before it looks. */
static void
raise_flag(pg_atomic_uint32 *flag, pg_atomic_uint32 *procno)
{
	if (pg_atomic_exchange_u32(flag, 1) == 0)
		process_wake(procno);
}

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
	if (narrivals > 0 && slot != NULL)
		raise_flag(&slot->notify, &slot->procno);
}

static void
forget(void)
{
	to_tell = nended = narrivals = 0;
}

static void
transaction_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		wakeup_stop_waiting(false);
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		forget();
	if (event == XACT_EVENT_COMMIT && IsLogicalWorker())
		wakeup_sweep_at_commit();
}

static void
tell(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	int what = to_tell;

	if (what == 0 || !is_top_level || !is_commit || phase != RESOURCE_RELEASE_AFTER_LOCKS)
		return;
	if (what & TELL_TASKS)
		raise_flag(&slot->tasks_due, &slot->procno);
	if (what & TELL_LEASES)
		raise_flag(&slot->check_leases, &slot->procno);
	if (what & TELL_TIMERS)
		raise_flag(&slot->timers, &slot->procno);
	if (what & TELL_SWEEP)
	{
		counts_anew();
		leases_unknown();
		database_hints_changed();
		raise_flag(&slot->sweep, &slot->procno);
	}
	if (what & TELL_LAUNCHER)
	{
		pg_atomic_write_u32(&slot->poked, 1);
		process_wake(&registry->launcher_procno);
	}
	if (what & TELL_WAITERS)
		tell_waiters();
	forget();
}

void
wakeup_install(void)
{
	RegisterXactCallback(transaction_ended, NULL);
	RegisterResourceReleaseCallback(tell, NULL);
}

/* ---- what is to be told ------------------------------------------------------------ */

static void
tell_process_at_commit(int what)
{
	slot = database_mine();
	if (slot != NULL)
		to_tell |= what;
}

void
wakeup_executor_at_commit(void)
{
	tell_process_at_commit(TELL_TASKS);
}

void
wakeup_lease_check_at_commit(void)
{
	tell_process_at_commit(TELL_LEASES);
}

void
wakeup_launcher_at_commit(void)
{
	tell_process_at_commit(TELL_LAUNCHER);
}

void
wakeup_timers_at_commit(void)
{
	tell_process_at_commit(TELL_TIMERS);
}

void
wakeup_sweep_at_commit(void)
{
	tell_process_at_commit(TELL_SWEEP);
}

void
wakeup_task_ended_at_commit(int64 id)
{
	if (registry == NULL)
		return;
	to_tell |= TELL_WAITERS;
	if (nended < MAX_ENDED)
		ended[nended] = id;
	nended++;
}

void
wakeup_arrival_at_commit(int32 queue_id)
{
	if (registry == NULL)
		return;
	slot = database_mine();
	to_tell |= TELL_WAITERS;
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
	wakeup_executor_at_commit();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_sweep_soon);
Datum
taskq_sweep_soon(PG_FUNCTION_ARGS)
{
	wakeup_sweep_at_commit();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_poke_launcher);
Datum
taskq_poke_launcher(PG_FUNCTION_ARGS)
{
	wakeup_launcher_at_commit();
	PG_RETURN_VOID();
}

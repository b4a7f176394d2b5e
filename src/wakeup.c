/*
 * wakeup.c
 *		What a committed transaction tells the background processes.
 *
 * A transaction notes what it has to tell, and tells it once the changes can
 * be seen.  That is not yet so when the callbacks for the commit run: the
 * rows are visible then, but cached catalog entries elsewhere, such as queues,
 * roles and databases, are invalidated only afterwards.  So it is told when
 * the transaction's last resources are released.  Nothing may fail there: it
 * writes atomics and sets latches and does nothing else, so the slot is looked
 * up beforehand.  A prepared transaction tells nothing, its tasks are found by
 * polling.
 */
#include "taskq.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/resowner.h"

#define TELL_TASKS    1
#define TELL_LEASES   2
#define TELL_LAUNCHER 4
#define TELL_TOPICS   8

/* Topics that are told one by one; of more, all who wait for anything are woken. */
#define MAX_TOPICS 256

/* Of the current transaction. */
static int to_tell = 0;
static TaskqDatabase *slot = NULL;
static uint64 topics[MAX_TOPICS];
static int ntopics = 0; /* MAX_TOPICS: there were more */

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

static bool
is_told(uint64 waiting_for)
{
	if (waiting_for == 0)
		return false;
	for (int i = 0; i < ntopics; i++)
	{
		if (topics[i] == waiting_for)
			return true;
	}
	return ntopics == MAX_TOPICS;
}

static void
tell_topics(void)
{
	for (int i = 0; i < MaxBackends; i++)
	{
		if (is_told(pg_atomic_read_u64(&taskq_shared->waiting_for[i])))
			SetLatch(&ProcGlobal->allProcs[i].procLatch);
	}
}

/* Only the one who raises the flag wakes the process: it clears the flag before it looks. */
static void
raise_flag(pg_atomic_uint32 *flag, pg_atomic_uint32 *procno)
{
	if (pg_atomic_exchange_u32(flag, 1) == 0)
		process_wake(procno);
}

static void
forget(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		to_tell = ntopics = 0;
}

static void
tell(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	int what = to_tell;

	if (what == 0 || !is_top_level || !is_commit || phase != RESOURCE_RELEASE_AFTER_LOCKS)
		return;
	to_tell = 0;
	if (what & TELL_TASKS)
		raise_flag(&slot->tasks_due, &slot->procno);
	if (what & TELL_LEASES)
		raise_flag(&slot->check_leases, &slot->procno);
	if (what & TELL_LAUNCHER)
	{
		pg_atomic_write_u32(&slot->poked, 1);
		process_wake(&taskq_shared->launcher_procno);
	}
	if (what & TELL_TOPICS)
		tell_topics();
	ntopics = 0;
}

static void
remember(int what)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(forget, NULL);
		RegisterResourceReleaseCallback(tell, NULL);
		registered = true;
	}
	to_tell |= what;
}

static void
tell_process_at_commit(int what)
{
	slot = taskq_my_database();
	if (slot != NULL)
		remember(what);
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
wakeup_topic_at_commit(uint64 topic)
{
	if (taskq_shared == NULL)
		return;
	if (ntopics < MAX_TOPICS && (ntopics == 0 || topics[ntopics - 1] != topic))
		topics[ntopics++] = topic;
	remember(TELL_TOPICS);
}

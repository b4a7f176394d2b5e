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
#include "utils/resowner.h"

#define TELL_TASKS    1
#define TELL_LEASES   2
#define TELL_LAUNCHER 4

/* Of the current transaction. */
static int to_tell = 0;
static TaskqDatabase *slot = NULL;

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
		to_tell = 0;
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
}

static void
tell_at_commit(int what)
{
	static bool registered = false;

	slot = taskq_my_database();
	if (slot == NULL)
		return;
	if (!registered)
	{
		RegisterXactCallback(forget, NULL);
		RegisterResourceReleaseCallback(tell, NULL);
		registered = true;
	}
	to_tell |= what;
}

void
wakeup_executor_at_commit(void)
{
	tell_at_commit(TELL_TASKS);
}

void
wakeup_lease_check_at_commit(void)
{
	tell_at_commit(TELL_LEASES);
}

void
wakeup_launcher_at_commit(void)
{
	tell_at_commit(TELL_LAUNCHER);
}

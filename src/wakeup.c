/*
 * wakeup.c
 *		What a committed transaction tells the background processes.
 *
 * A transaction notes what it has to tell; the callback tells it once the
 * changes can be seen.  The callback runs where nothing may fail: it writes
 * atomics and sets latches and does nothing else, so the slot is looked up
 * beforehand.  A prepared transaction tells nothing, its tasks are found by
 * polling.
 */
#include "taskq.h"

#include "access/xact.h"

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
on_transaction_end(XactEvent event, void *arg)
{
	int tell = to_tell;

	switch (event)
	{
		case XACT_EVENT_COMMIT:
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			to_tell = 0;
			return;
		default:
			return;
	}
	to_tell = 0;
	if (tell & TELL_TASKS)
		raise_flag(&slot->tasks_due, &slot->procno);
	if (tell & TELL_LEASES)
		raise_flag(&slot->check_leases, &slot->procno);
	if (tell & TELL_LAUNCHER)
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
		RegisterXactCallback(on_transaction_end, NULL);
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

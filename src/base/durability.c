/*
 * durability.c
 *		Which commits need not wait for the disk.
 *
 * A claim that is lost in a crash does no harm: the task is offered again, and
 * its token is not.  So a transaction that has written nothing but claims (or
 * the ends of tasks whose queue says durable_finish => false) commits
 * asynchronously.  Whether it has is decided just before it commits, by where
 * its WAL ends: what it wrote must end where the last such write ended, and
 * must have begun with one.  Anything else that the caller writes, in the same
 * statement even, makes its commit what the caller's settings say.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"

#include "base/durability.h"


static XLogRecPtr weak_end = InvalidXLogRecPtr; /* where the last weak write ended */
static bool strong = false;                     /* something else was written between two */
static int saved_commit = -1;                   /* synchronous_commit, while it is lowered */

static void
on_transaction_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (weak_end != InvalidXLogRecPtr && !strong && XactLastRecEnd == weak_end)
			{
				saved_commit = synchronous_commit;
				synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
			}
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			if (saved_commit >= 0)
				synchronous_commit = saved_commit;
			saved_commit = -1;
			weak_end = InvalidXLogRecPtr;
			strong = false;
			break;
		default:
			break;
	}
}

void
durability_begin_weak(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(on_transaction_event, NULL);
	registered = true;
	strong |= XactLastRecEnd != weak_end;
}

void
durability_end_weak(void)
{
	weak_end = XactLastRecEnd;
}

/*
 * durability.c
 *		Which commits need not wait for the disk.
 *
 * A claim that is lost in a crash does no harm: the task is offered again, and
 * its token is never given out again.  So a transaction that has written nothing but
 * claims (or the ends of tasks whose queue says durable_finish => false) commits
 * asynchronously.  Whether it has is decided just before it commits, by where
 * its WAL ends: that must be where the last such write ended, and the WAL
 * must have begun with such a write.  If the caller writes anything else, in the same
 * statement even, its commit is what the caller's settings say.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"

#include "base/durability.h"
#include "base/xact.h"

static XLogRecPtr weak_end = InvalidXLogRecPtr; /* where the last weak write ended */
static bool strong = false;                     /* something else was written between two */
static int saved_commit = -1;                   /* synchronous_commit, while it is lowered */

static void
decide(void)
{
	if (weak_end == InvalidXLogRecPtr || strong || XactLastRecEnd != weak_end)
		return;
	saved_commit = synchronous_commit;
	synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
}

static void
reset(XactEnd end)
{
	if (saved_commit >= 0)
		synchronous_commit = saved_commit;
	saved_commit = -1;
	weak_end = InvalidXLogRecPtr;
	strong = false;
}

static XactKind durability = {.pre_commit = decide, .ended = reset};

void
durability_begin_weak(void)
{
	xact_register(&durability);
	strong |= XactLastRecEnd != weak_end;
}

void
durability_end_weak(void)
{
	weak_end = XactLastRecEnd;
}

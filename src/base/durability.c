/*
 * durability.c
 *		Decides which commits need not wait for the disk.
 *
 * A claim that is lost in a crash does no harm: the task is offered again, and
 * its token is never given out again.  So a transaction that has written nothing but
 * claims (or the ends of tasks of queues with durable_finish => false) commits
 * asynchronously.  Such writes are called weak.  The decision is made just before the commit,
 * from the WAL position of the transaction: its WAL must begin and end with a weak write, with
 * nothing else in between.  If the caller writes anything else, even in the same statement,
 * the caller's synchronous_commit applies.
 *
 * A claim that uses a task's last attempt is the exception: if it were lost, the task would start
 * once more than it may.  Its transaction waits for the disk whatever synchronous_commit is.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"

#include "base/durability.h"
#include "base/xact.h"

static XLogRecPtr weak_end = InvalidXLogRecPtr; /* where the last weak write ended */
static bool strong = false;                     /* something else was written before a weak write */
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

void
durability_apply(void)
{
	xact_register(&durability);
	strong = true;
}

void
durability_require(void)
{
	durability_apply();
	ForceSyncCommit();
}

/*
 * If the insert position is just behind a page's header, no record ends there, and XLogFlush()
 * would refuse it.
 */
void
durability_flush(void)
{
	XLogRecPtr end = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD)
		end -= SizeOfXLogLongPHD;
	else if (end % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		end -= SizeOfXLogShortPHD;
	XLogFlush(end);
}

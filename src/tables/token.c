/*
 * token.c
 *		The numbers that prove the ownership of an attempt.
 *
 * A token must never be given out twice, not even when the acquire that got it is
 * lost in a crash, or in a failover to a standby that lags behind.  So a token
 * consists of the timeline, which every promotion changes, the number of a
 * block, which is taken from a sequence and made durable before it is used, and a
 * number within the block:
 *
 *		timeline (13 bits) | block (40 bits) | number (10 bits)
 *
 * With shared memory the server takes a block for all its sessions.  A crash
 * forgets it, and the next block is a new one.  Without shared memory every
 * acquire takes a block for itself and commits synchronously, which makes the
 * sequence durable with it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "commands/sequence.h"
#include "fmgr.h"
#include "storage/spin.h"

#include "base/catalog.h"
#include "base/database.h"
#include "tables/token.h"

#define NUMBER_BITS   10
#define BLOCK_BITS    40
#define TIMELINE_MASK 0x1fff

/*
 * Makes all WAL written so far durable.  If the insert position is just behind a page's
 * header, no record ends there, and XLogFlush() would refuse it.
 */
static void
flush_wal(void)
{
	XLogRecPtr end = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD)
		end -= SizeOfXLogLongPHD;
	else if (end % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		end -= SizeOfXLogShortPHD;
	XLogFlush(end);
}

static int64
take_block(void)
{
	int64 timeline = GetWALInsertionTimeLine() & TIMELINE_MASK;
	int64 block = nextval_internal(catalog_relation("token_block"), false);

	return ((timeline << BLOCK_BITS) | block) << NUMBER_BITS;
}

/* A token of the shared block; 0 if that is used up. */
static int64
take_from_shared(TaskqDatabase *db)
{
	int64 token = 0;

	SpinLockAcquire(&db->token_lock);
	if (db->next_token < db->token_end)
		token = db->next_token++;
	SpinLockRelease(&db->token_lock);
	return token;
}

int64
token_next(void)
{
	TaskqDatabase *db = database_mine();
	int64 token;

	if (db == NULL)
	{
		ForceSyncCommit();
		return take_block();
	}
	while ((token = take_from_shared(db)) == 0)
	{
		int64 block = take_block();

		/* The sequence may have reserved this number long ago, but not durably. */
		flush_wal();

		SpinLockAcquire(&db->token_lock);
		/* If two sessions take a block at once, the greater one stays, the other one is wasted. */
		if (block > db->next_token)
		{
			db->next_token = block + 1;
			db->token_end = block + (INT64CONST(1) << NUMBER_BITS);
		}
		SpinLockRelease(&db->token_lock);
	}
	return token;
}

/*
 * token.c
 *		Tokens: numbers that prove the ownership of an attempt.
 *
 * A token must never be given out twice: not if the acquire that got it is lost in a crash, not
 * in a failover to a standby that lags behind, and not by a copy of the database, where tasks with
 * the same ids live on.  JSON numbers must hold it, so it has 53 bits:
 *
 *		block (43 bits) | number (10 bits)
 *
 * Blocks are counted by the sequence token_block, and a block is made durable before its first
 * use.  With shared memory the server takes several blocks for all its sessions, so that few claims
 * wait for the disk twice.  A crash forgets them, and the next block is a new one.  Without shared
 * memory every acquire takes a block for itself and commits synchronously, which makes the
 * sequence durable with it.
 *
 * When a database is copied, or a standby promoted, its counter may be behind tokens that were
 * given out elsewhere, and the original may go on counting.  Then the counter jumps ahead by a
 * random number of blocks between 2^32 and 2^33, before the first token is given out.  Two more
 * sequences tell when, which no rollback takes back:
 *
 * - token_origin names the server, the timeline and the database that the counter belongs to.  No
 *   dump holds it.  If it names other ones, this is a copy, a promoted standby, or an installation
 *   that has never given out a token.
 * - token_mark is the number of the newest block divided by 2^10.  A dump holds it instead of the
 *   counter.  A mark that is ahead of the counter came with a restore, which may have gone on
 *   while tokens were given out already.
 *
 * The jump begins at the greatest of the counter, the mark and the tokens of leases, which a
 * subscriber has from its publisher.  So the tokens of a task grow also from the original to its
 * copy.  An original meets the tokens of its copy after 2^32 blocks at the earliest.  Two copies
 * that were made at the same time, and take n blocks each, meet with a probability of n / 2^31:
 * one in two million for a thousand blocks, which are a million tokens.  It would do harm only if
 * the same task had the same token in both.
 *
 * The counter has room for 2^43 / 2^33 = 1024 of the longest jumps, and for 1365 on average.  An
 * average jump is as long as what 200 acquires a second take in a year without shared memory.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/spin.h"

#include "base/catalog.h"
#include "base/database.h"
#include "base/durability.h"
#include "base/locks.h"
#include "base/sql.h"
#include "tables/token.h"

#define NUMBER_BITS 10
#define MARK_BITS   10
#define AT_ONCE     8                     /* blocks that are taken for all sessions */
#define SHORTEST    (INT64CONST(1) << 32) /* jump, in blocks; the longest is nearly twice as long */

static Statement read_origin = {
	"select o.last_value, m.last_value "
	"from taskq_private.token_origin o, taskq_private.token_mark m",
	0,
	{0},
	NULL,
};
static Statement set_mark = {
	"select setval('taskq_private.token_mark', $1)",
	1,
	{INT8OID},
	NULL,
};

/*
 * The counter first: if a crash keeps only a part of the changes, the next session jumps again.
 * A token of 2^52 or more is not ours: a row was written by hand.
 */
static Statement jump_by = {
	"select setval('taskq_private.token_block', n.block), "
	"setval('taskq_private.token_mark', n.block >> 10), "
	"setval('taskq_private.token_origin', $2), n.block "
	"from (select $1 + greatest(b.last_value, m.last_value << 10, "
	"(select max(l.token) >> 10 from taskq_private.lease l where l.token < 1::bigint << 52)) "
	"as block "
	"from taskq_private.token_block b, taskq_private.token_mark m) n",
	2,
	{INT8OID, INT8OID},
	NULL,
};

/* Names server, timeline and database in one number, which is at least 2. */
static int64
origin_here(void)
{
	struct
	{
		uint64 system_identifier;
		TimeLineID timeline;
		Oid database;
	} origin = {GetSystemIdentifier(), GetWALInsertionTimeLine(), MyDatabaseId};
	uint64 hash = hash_bytes_extended((const unsigned char *) &origin, sizeof(origin), 0);

	return (int64) (hash >> 1 | 2);
}

static int64
next_block(void)
{
	return nextval_internal(catalog_relation("token_block"), false);
}

/*
 * Takes the next block; false: the counter is not of this database, so the block may have been
 * used elsewhere.  The mark is read before the block is taken.  If it is ahead of the block all
 * the same, no session of this database has set it.
 */
static bool
try_block(int64 *block)
{
	Datum values[2];
	bool isnull[2];
	int64 mark;

	if (!sql_as_owner(&read_origin, NULL, NULL, values, isnull, 2))
		elog(ERROR, "could not read the origin of tokens");
	*block = next_block();
	mark = *block >> MARK_BITS;
	if (DatumGetInt64(values[0]) != origin_here() || DatumGetInt64(values[1]) > Max(mark, 1))
		return false;
	if (DatumGetInt64(values[1]) < mark)
	{
		values[0] = Int64GetDatum(mark);
		(void) sql_as_owner(&set_mark, values, NULL, NULL, NULL, 0);
	}
	return true;
}

/* Sessions take no more tokens of the block in shared memory, nor of an older one. */
static void
forget_shared(int64 block)
{
	TaskqDatabase *db = database_mine();

	if (db == NULL)
		return;
	SpinLockAcquire(&db->token_lock);
	db->next_token = db->token_end = block << NUMBER_BITS;
	SpinLockRelease(&db->token_lock);
}

static void
jump(void)
{
	uint32 random;
	Datum values[4];
	bool isnull[4];

	if (!pg_strong_random(&random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random number"),
				 errdetail("The tokens of a copied database begin at a random number.")));
	values[0] = Int64GetDatum(SHORTEST + random);
	values[1] = Int64GetDatum(origin_here());
	if (!sql_as_owner(&jump_by, values, NULL, values, isnull, 4))
		elog(ERROR, "could not move the counter of tokens");
	forget_shared(DatumGetInt64(values[3]));
}

/* One session at a time.  The lock is held for this moment only, not until the transaction ends. */
static int64
take_block_after_jump(bool by_all_means)
{
	LOCKTAG tag = lock_tag(LOCK_TOKENS_JUMP, MyDatabaseId, 0);
	int64 block;

	(void) LockAcquire(&tag, ExclusiveLock, true, false);
	PG_TRY();
	{
		/* Another session may have jumped meanwhile. */
		if (by_all_means || !try_block(&block))
		{
			jump();
			block = next_block();
		}
	}
	PG_FINALLY();
	{
		(void) LockRelease(&tag, ExclusiveLock, true);
	}
	PG_END_TRY();
	return block;
}

static int64
take_block(void)
{
	int64 block;

	return try_block(&block) ? block : take_block_after_jump(false);
}

/* Takes the blocks that follow, and returns their number; a block in another's use ends them. */
static int
take_following(int64 block)
{
	int n = 0;

	while (n < AT_ONCE - 1 && next_block() == block + n + 1)
		n++;
	return n;
}

/* Takes blocks for all sessions.  The sequence may have reserved them long ago, but not durably. */
static void
share_blocks(TaskqDatabase *db)
{
	int64 block = take_block();
	int64 end = block + 1 + take_following(block);

	durability_flush();
	SpinLockAcquire(&db->token_lock);
	/* If two sessions take blocks at the same time, the greater ones stay. */
	if (block << NUMBER_BITS >= db->next_token)
	{
		db->next_token = block << NUMBER_BITS;
		db->token_end = end << NUMBER_BITS;
	}
	SpinLockRelease(&db->token_lock);
}

/* A token of the shared block; 0 if the block is used up. */
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
		return take_block() << NUMBER_BITS;
	}
	while ((token = take_from_shared(db)) == 0)
		share_blocks(db);
	return token;
}

/* For arm() in a copy: all further tokens are greater than those that came with it. */
PG_FUNCTION_INFO_V1(taskq_jump_tokens);
Datum
taskq_jump_tokens(PG_FUNCTION_ARGS)
{
	(void) take_block_after_jump(true);
	PG_RETURN_VOID();
}

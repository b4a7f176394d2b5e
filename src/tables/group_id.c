/*
 * group_id.c
 *		The number of a group.
 *
 * Indexes and shared memory know a group by a number, which is a part of a SHA-256 of its key.  Two
 * groups with one number would share their limits, which errs on the safe side.  And there is no
 * practical way to find a key that has the number of a given other one, so no tenant can slow
 * another.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "port/pg_bswap.h"

#include "base/compat.h"
#include "tables/group_id.h"

int64
group_id_of(const text *key)
{
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_SHA256);
	uint64 number;

	if (ctx == NULL || pg_cryptohash_init(ctx) < 0 ||
		pg_cryptohash_update(ctx, (const uint8 *) VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)) < 0 ||
		pg_cryptohash_final(ctx, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute the number of a group");
	pg_cryptohash_free(ctx);
	memcpy(&number, digest, sizeof(number));
	number = pg_ntoh64(number);
	/* 0 is no group, and the lowest number lies before all groups. */
	return number == 0 || (int64) number == PG_INT64_MIN ? 1 : (int64) number;
}

PG_FUNCTION_INFO_V1(taskq_group_id);
Datum
taskq_group_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(group_id_of(PG_GETARG_TEXT_PP(0)));
}

/*
 * failures.c
 *		What the executor of a database could not do, for status().
 *
 * The log is the place for each failure, but a user who asks why nothing happens cannot
 * read it.  So the last failure of each kind of work stands in shared memory until the work
 * has been done again.  Without preload only the executor's own session has this table.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "process/failures.h"

#define MAX_WORK    40 /* bytes, the end included */
#define MAX_MESSAGE 144

typedef struct Failure
{
	HintEntry entry; /* its number is a hash of the work */
	char work[MAX_WORK];
	char message[MAX_MESSAGE];
	int sqlstate;
	uint32 times; /* in a row */
	TimestampTz since;
	TimestampTz last;
} Failure;

HintTable failures_table = {
	.name = "taskq failures",
	.entry_size = sizeof(Failure),
	.ways = 8,
	.entries = 512,
};

static int64
number_of(const char *work)
{
	return DatumGetUInt32(hash_any((const unsigned char *) work, strlen(work)));
}

uint32
failure_note(const char *work, int sqlstate, const char *message)
{
	TimestampTz now = GetCurrentTimestamp();
	Failure *f;
	uint32 times;
	bool made;

	hint_make_local(&failures_table);
	f = (Failure *) hint_make(&failures_table, number_of(work), &made);
	if (made)
		f->since = now;
	strlcpy(f->work, work, MAX_WORK);
	strlcpy(f->message, message,
			1 + pg_mbcliplen(message, strlen(message), MAX_MESSAGE - 1)); /* whole characters */
	f->sqlstate = sqlstate;
	f->entry.used_at = f->last = now;
	times = ++f->times;
	hint_unlock(&failures_table, &f->entry);
	return times;
}

void
failure_tell(const char *work, const ErrorData *failure)
{
	uint32 times = failure_note(work, failure->sqlerrcode, failure->message);

	if ((times & (times - 1)) != 0)
		return;
	ereport(WARNING,
			(errcode(failure->sqlerrcode),
			 errmsg("executor could not %s: %s", work, failure->message),
			 errdetail("SQLSTATE %s, %u times in a row. It will be tried again.",
					   unpack_sql_state(failure->sqlerrcode), times)));
}

void
failure_over(const char *work)
{
	HintEntry *entry = hint_find(&failures_table, number_of(work));

	if (entry == NULL)
		return;
	hint_free(entry);
	hint_unlock(&failures_table, entry);
}

void
failures_forget(void)
{
	for (int i = 0; i < hint_count(&failures_table); i++)
	{
		HintEntry *entry = hint_lock_if_ours(&failures_table, i);

		if (entry == NULL)
			continue;
		hint_free(entry);
		hint_unlock(&failures_table, entry);
	}
}

static void
return_failure(const void *entry, void *arg)
{
	const Failure *f = entry;
	ReturnSetInfo *result = arg;
	Datum values[6] = {
		CStringGetTextDatum(f->work),
		CStringGetTextDatum(unpack_sql_state(f->sqlstate)),
		CStringGetTextDatum(f->message),
		TimestampTzGetDatum(f->since),
		TimestampTzGetDatum(f->last),
		Int64GetDatum(f->times)};
	bool nulls[6] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(taskq_failures);
Datum
taskq_failures(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	hint_for_each(&failures_table, return_failure, fcinfo->resultinfo);
	return (Datum) 0;
}

/*
 * subxact.c
 *		Work that may fail without failing the transaction.
 *
 * This is for rows of which one may be broken, so that the others do not wait for it.  No call
 * uses it as long as nothing has failed or looks odd, with two exceptions: what becomes
 * a request is made in a subtransaction, which writes nothing and so costs about a microsecond;
 * and follow-ups are submitted in one, because the end of a task must not fail with them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/subxact.h"

int
subxact_try(void (*work)(void *arg), void *arg)
{
	char *message;

	return subxact_try_for_message(work, arg, &message);
}

int
subxact_try_for_message(void (*work)(void *arg), void *arg, char **message)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile failure = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		failure = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (failure == NULL)
		return 0;
	if (failure->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(failure);
	*message = failure->message;
	return failure->sqlerrcode;
}

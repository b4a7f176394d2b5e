/*
 * current_call.c
 *		The call that this process makes, for the function that is called.
 *
 * What the function writes is seen by others when the call has ended.  So what it tells before, its
 * progress and its values, goes to the executor, which writes it.
 */
#include "postgres.h"

#include "fmgr.h"

#include "life/current_call.h"

static MadeCall *current = NULL;

void
current_call_set(MadeCall *call)
{
	current = call;
}

MadeCall *
current_call(void)
{
	return current;
}

MadeCall *
current_call_of(int64 id)
{
	return current != NULL && current->id == id ? current : NULL;
}

PG_FUNCTION_INFO_V1(taskq_current_task);
Datum
taskq_current_task(PG_FUNCTION_ARGS)
{
	if (current == NULL)
		PG_RETURN_NULL();
	PG_RETURN_INT64(current->id);
}

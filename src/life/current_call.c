/*
 * current_call.c
 *		The call that this process makes, for the function that is called.
 *
 * What the function writes is seen by others when the call has ended.  So what it tells before,
 * such as its progress, goes to the executor, which writes it.
 */
#include "postgres.h"

#include "fmgr.h"

#include "life/current_call.h"

static int64 current_id = 0;
static CallTeller teller = NULL;

void
current_call_set(int64 id, CallTeller tell)
{
	current_id = id;
	teller = tell;
}

bool
is_current_call(int64 id)
{
	return current_id != 0 && current_id == id;
}

void
current_call_tell(CallMessageKind kind, Datum content)
{
	teller(kind, content);
}

PG_FUNCTION_INFO_V1(taskq_current_task);
Datum
taskq_current_task(PG_FUNCTION_ARGS)
{
	if (current_id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(current_id);
}

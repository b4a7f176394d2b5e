/*
 * wait.h
 *		What procedures that wait have in common.
 */
#ifndef TASKQ_WAIT_H
#define TASKQ_WAIT_H

#include "fmgr.h"

#include "tables/rows.h"

/*
 * Begins to wait for a topic, and then looks once.  Returns the topic whose event has happened, 0
 * if none has.  *next_ms: look again after so many ms at most.
 */
typedef uint64 (*Look)(void *what, int64 *next_ms);

/* TQ009 if the procedure cannot commit here, or the transaction has changed something. */
extern void require_free_transaction(FunctionCallInfo fcinfo, const char *procedure);

/* Looks until the event has happened (true) or the time is over (false). */
extern bool look_until(Look look, void *what, int64 timeout_us);

/* Sleeps until the latch of this process is set, but not longer.  Can be cancelled. */
extern void wait_sleep(int64 ms);

/* The result of a procedure: a row of its INOUT arguments. */
extern Datum procedure_result(FunctionCallInfo fcinfo, Datum *values, bool *nulls);

/* Whether the task lives, as far as the caller may see it; "tasks" is open. */
extern bool task_lives(HotRelation *tasks, int64 id);

#endif

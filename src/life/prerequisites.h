/*
 * prerequisites.h
 *		Tasks that wait until others have ended.
 */
#ifndef TASKQ_PREREQUISITES_H
#define TASKQ_PREREQUISITES_H

#include "fmgr.h"
#include "tables/rows.h"
#include "tables/state.h"

/* What becomes of a task if one that it waits for ends without having finished. */
typedef enum AfterFailure
{
	FAILURE_CANCELS, /* it is cancelled */
	FAILURE_COUNTS,  /* as if that one had finished: "run" */
	FAILURE_WAITS    /* it waits until that one has been retried and has finished */
} AfterFailure;

/* The arguments after and after_failure. */
typedef struct Prerequisites
{
	AfterFailure failure;
	int count;     /* of those that matter; 0: all have ended, and the task need not wait */
	int64 *ids;    /* ascending, each once */
	Datum *states; /* of the SQL type taskq.state: how each has ended; 0: it lives */
} Prerequisites;

/* Intervals that count from the moment at which a task need not wait any more; -1: none. */
typedef struct WaitTerms
{
	int64 delay_us;
	int64 start_within_us;
} WaitTerms;

/*
 * Reads and judges the arguments; failure: -1: there is no such argument, and a failure counts.
 * NULL: nothing is to be waited for.  TQ004 for a task that is not known to the caller.
 */
extern Prerequisites *arg_prerequisites(FunctionCallInfo fcinfo, int after, int failure);

/* Of a template: why its prerequisites are refused; NULL: they are not.  Rights are not asked. */
extern const char *prerequisites_fault(FunctionCallInfo fcinfo, int after);

/* Makes a row that will be written one of a task that waits; its run_at is kept in retry_at. */
extern void prerequisites_make_wait(Row *task);

/* Inserts the rows for a task whose row waits; the commit asks for a look at it. */
extern void prerequisites_insert(int64 id, const WaitTerms *terms, const Prerequisites *p);

/*
 * For a task that was known to others before it waited; called after prerequisites_insert().
 * TQ004 if tasks could wait for each other in a circle.
 */
extern void prerequisites_refuse_circle(int64 id, const Prerequisites *p);

/*
 * Makes the row, which the caller has deleted, one of a task that does not wait any more.
 * waiting: its row of waiting.
 */
extern void prerequisites_end_wait(Row *task, const Row *waiting);

/* A pending task ends, or gets other prerequisites: removes its rows, if it waits. */
extern void prerequisites_drop(const Row *task);

/* Removes the committed rows that say for what the task waits. */
extern void prerequisites_drop_of(HotRelation *r, int64 dependent);

/* The task has ended and its row is deleted: tells those that wait for it. */
extern void prerequisites_tell_end(int64 id, TaskState state);

/* How an ended task has ended, as far as the history knows; 0: it does not. */
extern Datum prerequisites_ended_state(int64 id);

/* That of a row of waiting. */
extern AfterFailure prerequisites_failure(const Row *waiting);

#endif

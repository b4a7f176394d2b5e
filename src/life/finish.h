/*
 * finish.h
 *		Ends attempts: finished, failed, released, declined, lost.
 *
 * The caller of each function has taken the lease of the task before.
 */
#ifndef TASKQ_FINISH_H
#define TASKQ_FINISH_H

#include "life/history.h"
#include "life/prerequisites.h"

/* Classes of failures that taskq finds itself, besides those of core/outcome.h. */
#define CANCELLED    "cancelled"    /* a request or a call that was given up */
#define WORKER_DIED  "worker_died"  /* the process of a call ended before the call did */
#define CALL_REFUSED "call_refused" /* the function cannot be called as that role */

/* The reason why an attempt failed. */
typedef struct Failure
{
	const char *class; /* NULL: none, as workers report it */
	text *error;       /* or NULL */
	Datum detail;      /* jsonb, or 0 */
	bool permanent;
	int64 retry_in_us;    /* -1: the policy decides */
	const Answer *answer; /* or NULL */
} Failure;

extern void task_finish(const Row *lease, Datum result, bool noresult);

/* One of many tasks that are finished together. */
typedef struct Finish
{
	const Row *lease;
	Datum result;         /* jsonb, or 0 */
	const Answer *answer; /* or NULL */
} Finish;

extern void tasks_finish(const Finish *finishes, int count);

/* Returns the new state: pending again, dead, or cancelled if a session had asked for that. */
extern TaskState task_fail(const Row *lease, const Failure *failure);

/* Ends a request or call that was cancelled: takes its lease, unless it is lost. */
extern void task_give_up(int64 id, int64 token);

/*
 * Makes the task pending again, due after the delay, and once all tasks of "after", which may be
 * NULL, have ended; the attempt is not used up.
 */
extern void task_release(const Row *lease, int64 delay_us, const Prerequisites *after);

/* Ends the attempt because its lease was lost; the attempt is used up. */
extern TaskState task_lost(const Row *lease);

#endif

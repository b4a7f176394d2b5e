/*
 * finish.h
 *		How an attempt ends: finished, failed, given back, lost.
 *
 * In all of these the caller has taken the lease of the task before.
 */
#ifndef TASKQ_FINISH_H
#define TASKQ_FINISH_H

#include "life/history.h"

/* Why an attempt failed. */
typedef struct Failure
{
	const char *class; /* NULL: reported by a worker */
	text *error;       /* or NULL */
	Datum detail;      /* jsonb, or 0 */
	bool permanent;
	int64 retry_in_us;    /* -1: by policy */
	const Answer *answer; /* or NULL */
} Failure;

extern void task_finish(const Row *lease, Datum result, bool noresult, const Answer *answer);

/* Many at once; results: jsonb, 0 where there is none. */
extern void tasks_finish(const Row *leases, const Datum *results, int count);

/* What the task has become: pending again, dead, or cancelled if that was asked for. */
extern TaskState task_fail(const Row *lease, const Failure *failure);

/* Gives the task back, due after the delay; uses up no attempt. */
extern void task_release(const Row *lease, int64 delay_us);

/* The lease was lost: uses up the attempt. */
extern TaskState task_lost(const Row *lease);

#endif

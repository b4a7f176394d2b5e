/*
 * attempts.h
 *		The tasks that the delivery loop holds, and their results.
 *
 * An attempt is a claimed task from its claim until its result is stored.  All
 * attempts stand in one list, because each has a lease to keep; those with a result
 * stand in a second one, in the order in which the results came, behind those that
 * were busy when they were reported.
 */
#ifndef TQ_ATTEMPTS_H
#define TQ_ATTEMPTS_H

#include "core/hosts.h"
#include "core/store.h"

typedef struct tq_attempt
{
	struct tq_attempt *prev;
	struct tq_attempt *next;
	struct tq_attempt *next_result; /* valid while result.response is not NULL */
	tq_task *task;
	size_t bytes;          /* of the task, about */
	tq_hosts_entry entry;  /* until there is a result */
	tq_result result;      /* response is NULL while the task waits or is being sent */
	bool bare;             /* the response is without what the receiver sent */
	int64_t claimed_at_ms; /* the process's clock */
	int64_t lease_from_ms; /* when the lease was last given */
	bool lost;             /* its response is awaited only to be dropped */
	bool given_up;         /* for a stop */
} tq_attempt;

/* All zero: none. */
typedef struct tq_attempts
{
	tq_attempt *first; /* all attempts */
	tq_attempt *last;
	int n;
	size_t bytes; /* of their tasks, about */
	tq_attempt *first_result;
	tq_attempt *last_result;
	int nresults;
	int nbusy; /* the first of the results: they were busy when reported */
} tq_attempts;

/* Adds an attempt, which owns the task from now on.  NULL: out of memory, the task is freed. */
extern tq_attempt *tq_attempts_add(tq_attempts *as, tq_task *task, int64_t now_ms);

/* Frees an attempt, its task and its response.  It must not stand in the list of results. */
extern void tq_attempts_free(tq_attempts *as, tq_attempt *a);

/* Puts an attempt, whose result is complete, at the end of the list of results. */
extern void tq_attempts_append_result(tq_attempts *as, tq_attempt *a);

/*
 * The first n results were reported: frees their attempts, but those that results, in the same
 * order, marks as busy; they are the first from now on.
 */
extern void tq_attempts_settle(tq_attempts *as, const tq_result *results, int n);

/* Frees all, results included. */
extern void tq_attempts_free_all(tq_attempts *as);

#endif

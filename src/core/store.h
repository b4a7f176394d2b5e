/*
 * store.h
 *		Where the delivery loop's tasks come from and its results go.
 *
 * Each call is one short transaction, and no transaction is open between two calls.
 */
#ifndef TQ_STORE_H
#define TQ_STORE_H

#include "core/outcome.h"
#include "core/response.h"
#include "core/task.h"

/* What became of a task that was sent. */
typedef struct tq_result
{
	int64_t id;
	int64_t token;
	tq_outcome outcome;
	tq_response *response; /* never NULL */
	bool busy;             /* set by report: another session holds the task at this moment */
} tq_result;

/* A lease to extend or give back. */
typedef struct tq_lease
{
	int64_t id;
	int64_t token;
	bool lost; /* set by extend: stop the attempt, the lease was lost or the task cancelled */
	bool busy; /* set by release: another session holds the task, its lease stays ours */
} tq_lease;

/* How a call of the store went. */
typedef enum tq_store_status
{
	TQ_STORE_DONE,
	TQ_STORE_LATER,  /* not now; the same call may work later: no connection, a lock, a stop */
	TQ_STORE_REFUSED /* not as it is, now or later */
} tq_store_status;

/* Whether the database lets requests be sent. */
typedef enum tq_arming
{
	TQ_ARMING_UNKNOWN, /* the store did not look, or the database is new and never was armed */
	TQ_DISARMED,
	TQ_ARMED
} tq_arming;

/* What a claim brings. */
typedef struct tq_claim
{
	tq_task **tasks; /* room for as many as were asked for */
	int n;

	/* looked at only if n is less than was asked for */
	int64_t next_ms; /* from now until a claim may find more; -1: not known */
	bool limited;    /* a claim may also find more when a task that is being sent has ended */

	/* so long the store wakes the loop before a claim finds more; 0: the loop has to poll */
	int64_t sleep_ms;

	tq_arming arming;
} tq_claim;

/*
 * After any status but DONE the loop calls again later, backing off.  Only for report does it
 * matter whether that is LATER or REFUSED.
 */
typedef struct tq_store
{
	/*
	 * Claims up to max due tasks into claim, which begins with n 0, next_ms -1 and the rest
	 * 0, false or UNKNOWN.  Tasks are only returned with DONE.
	 */
	tq_store_status (*claim)(void *self, int max, tq_claim *claim);

	/*
	 * Stores n results except those that it marks as busy, which are reported again later.
	 * Unless DONE, some may have been stored all the same: to report a result twice changes
	 * nothing, because the lease is gone by then.
	 */
	tq_store_status (*report)(void *self, tq_result *results, int n);

	/*
	 * Both in one transaction, in this order; NULL: the store cannot do that.  Unless DONE, nothing
	 * was claimed.
	 */
	tq_store_status (*report_and_claim)(void *self, tq_result *results, int n, int max,
										tq_claim *claim);

	/* Extends the leases from now by their length, and marks those that are lost. */
	tq_store_status (*extend)(void *self, tq_lease *leases, int n);

	/*
	 * Gives back tasks that were claimed but not sent, or whose sending was broken off by a
	 * shutdown; they are due again after the delay.  Marks those that are busy.
	 */
	tq_store_status (*release)(void *self, tq_lease *leases, int n, int64_t delay_ms);

	void *self;
} tq_store;

#endif

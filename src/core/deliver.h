/*
 * deliver.h
 *		The delivery loop: claim, send, report, extend, drain.
 *
 * The same loop runs in the background worker and in a standalone program; it sees
 * both through two tables of functions.  A store is where tasks come from and
 * results go: each of its calls is one short transaction, and no transaction is
 * open while the loop waits.  A process is what runs the loop: its clock, its way
 * of waiting, its wish to stop.
 *
 * Flow: slots, not batches.  A slot is a request that may be active; free slots
 * are filled as soon as tasks may be due.  A task whose host has as many active
 * requests as it may have waits, and others are claimed meanwhile (hosts.h); a task
 * that has waited for a minute is given back with a delay, and so is half of the
 * waiting ones when they keep all others from being claimed.  Results are reported
 * when there are TQ_REPORT_BATCH of them or the oldest is TQ_REPORT_DELAY_MS old.
 * The leases of all tasks held are extended before half of their length has
 * passed.  A result whose report failed is kept and reported again; while such
 * results wait, nothing is claimed, so that a database that cannot write does not
 * make receivers see the same task again and again.
 *
 * A result that the store refuses must not block the others.  The loop then
 * reports each by itself; one that is refused alone is reported once more without
 * what the receiver sent, which may be what cannot be stored; and if that is
 * refused as well, the result is given up: the task runs again when its lease has
 * expired.
 */
#ifndef TQ_DELIVER_H
#define TQ_DELIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/http.h"

#define TQ_REPORT_BATCH    64
#define TQ_REPORT_DELAY_MS 5

/* Busy results are reported again after this time, if there are no others. */
#define TQ_REPORT_BUSY_MS 200

/* A claimed task, ready to be sent.  Filled by the store, malloc'd, freed by tq_task_free(). */
typedef struct tq_task
{
	int64_t id;
	int64_t token;
	int64_t lease_ms; /* length of the lease, from the moment of the claim */
	int64_t timeout_ms;
	char *method;
	char *url;
	char **headers; /* nheaders "Name: value" lines, complete: what is always added is in them */
	int nheaders;
	char *body; /* NULL: none */
	size_t body_len;
} tq_task;

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
	 * false or UNKNOWN.  Tasks are only returned with DONE.
	 */
	tq_store_status (*claim)(void *self, int max, tq_claim *claim);

	/*
	 * Stores n results except those that it marks as busy, which are reported again later.
	 * Unless DONE, some may have been stored all the same: to report a result twice changes
	 * nothing, because the lease is gone by then.
	 */
	tq_store_status (*report)(void *self, tq_result *results, int n);

	/* Extends the leases from now by their length, and marks those that are lost. */
	tq_store_status (*extend)(void *self, tq_lease *leases, int n);

	/*
	 * Gives back tasks that were claimed but not sent, or whose sending was broken off by a
	 * shutdown; they are due again after the delay.  Marks those that are busy.
	 */
	tq_store_status (*release)(void *self, tq_lease *leases, int n, int64_t delay_ms);

	void *self;
} tq_store;

/* What runs the loop. */
typedef struct tq_process
{
	int64_t (*now_ms)(void *self); /* monotonic */
	int64_t (*wall_s)(void *self); /* Unix time */

	/*
	 * Waits for fd to become readable, a wake-up, or timeout_ms (never negative).  True: tasks
	 * may have become due.
	 */
	bool (*wait)(void *self, int fd, int64_t timeout_ms);
	bool (*stopping)(void *self);

	/* A claim found out whether the database is armed: called at first, and when it changes. */
	void (*armed)(void *self, bool armed);

	/* A state change worth a line: one line, no secrets. */
	void (*log)(void *self, const char *line);
	void *self;
} tq_process;

/* Defaults and limits, for the settings of a server and the options of a program. */
#define TQ_INFLIGHT_DEFAULT           100
#define TQ_INFLIGHT_MAX               1000
#define TQ_PER_HOST_DEFAULT           32
#define TQ_POLL_INTERVAL_DEFAULT_MS   500
#define TQ_POLL_INTERVAL_MIN_MS       10
#define TQ_POLL_INTERVAL_MAX_MS       60000
#define TQ_RESPONSE_DEFAULT           (64 * 1024)
#define TQ_RESPONSE_MAX               (64 * 1024 * 1024)
#define TQ_RESPONSE_HEADERS           (32 * 1024) /* not to be changed */
#define TQ_CONNECT_TIMEOUT_DEFAULT_MS 10000
#define TQ_CONNECT_TIMEOUT_MIN_MS     10
#define TQ_CONNECT_TIMEOUT_MAX_MS     300000
#define TQ_PORTS_DEFAULT              "80, 443"

typedef struct tq_deliver_config
{
	int max_inflight; /* active requests */
	int max_per_host; /* of them to one host */
	int64_t poll_interval_ms;
	tq_http_limits limits;
	const tq_egress *egress; /* copied */
	const char *ca_file;     /* copied; NULL: the system's authorities */
	bool http2;              /* with receivers that offer it */
} tq_deliver_config;

typedef struct tq_deliver tq_deliver;

/* store and process must outlive it.  NULL: out of memory. */
extern tq_deliver *tq_deliver_new(const tq_deliver_config *config, const tq_store *store,
								  const tq_process *process);

/* New settings, for requests that are sent from now on.  False: out of memory. */
extern bool tq_deliver_configure(tq_deliver *d, const tq_deliver_config *config);

/*
 * One turn: claim what is due, wait at most max_wait_ms (or until the loop's
 * own next deadline), move the transfers, report, extend.  False once the
 * process is stopping and the drain below is done.
 *
 * Drain: nothing is claimed any more, transfers are given up, finished results are
 * reported once and the other tasks released once.  It takes no longer than those
 * two transactions, or those that a store that refuses results makes necessary.
 */
extern bool tq_deliver_turn(tq_deliver *d, int64_t max_wait_ms);

/* Another process may have made tasks due: the next turn claims. */
extern void tq_deliver_wake(tq_deliver *d);

/* A task in flight may have been cancelled: the next turn looks at all leases. */
extern void tq_deliver_check_leases(tq_deliver *d);

/* Tasks held: waiting, being sent, or with a result that is not stored yet. */
extern int tq_deliver_inflight(const tq_deliver *d);

/* Forgets everything in flight without telling the store: for when the store is gone. */
extern void tq_deliver_free(tq_deliver *d);

/* t may be NULL, or have any of its parts missing. */
extern void tq_task_free(tq_task *t);

#endif

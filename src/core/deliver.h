/*
 * deliver.h
 *		The delivery loop: claim, send, report, extend, drain.
 *
 * The same loop runs in the background worker and in a standalone program; it sees
 * both through two tables of functions: a store (store.h), and a process, which is
 * what runs the loop: its clock, its way of waiting, its wish to stop.
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
 * make receivers see the same task again and again.  For results that the store
 * refuses see report.h.
 *
 * A task whose request could not be begun because the machine lacked something (see
 * shortage.h) waits for the turn of its host again.  From then on no more requests are
 * active than were then, and twice as many after each second without another shortage.
 */
#ifndef TQ_DELIVER_H
#define TQ_DELIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/http.h"
#include "core/store.h"

#define TQ_REPORT_BATCH    256
#define TQ_REPORT_DELAY_MS 5

/* Busy results are reported again after this time, if there are no others. */
#define TQ_REPORT_BUSY_MS 200

/* How far the loop is with a task that it holds. */
typedef enum tq_phase
{
	TQ_PHASE_WAITING, /* for its host, or for what the machine lacks */
	TQ_PHASE_SENDING, /* from the look-up of the name to the end of the answer */
	TQ_PHASE_ANSWERED /* it has a result, which is not stored yet */
} tq_phase;

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

	/* A task has come to that phase; NULL: of no interest. */
	void (*phase)(void *self, int64_t id, int64_t token, tq_phase phase);

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
#define TQ_STOP_TIMEOUT_MAX_MS        3600000
#define TQ_CONNECT_TIMEOUT_DEFAULT_MS 10000
#define TQ_CONNECT_TIMEOUT_MIN_MS     10
#define TQ_CONNECT_TIMEOUT_MAX_MS     300000
#define TQ_PORTS_DEFAULT              "80, 443"

typedef struct tq_deliver_config
{
	int max_inflight;    /* active requests */
	int max_descriptors; /* that they may use: bounds max_inflight, which the log tells */
	int max_per_host;    /* of the active requests to one host */
	int64_t poll_interval_ms;
	int64_t stop_timeout_ms; /* how long a stop waits for answers */
	tq_http_limits limits;
	const tq_egress *egress; /* copied */
	const char *ca_file;     /* copied; NULL: the system's authorities */
	bool http2;              /* with receivers that offer it */
} tq_deliver_config;

typedef struct tq_deliver tq_deliver;

/* How it fares. */
typedef struct tq_deliver_state
{
	int shortage;    /* what requests wait for at present, as an error number; 0: nothing */
	int64_t put_off; /* how often a request was not begun for a shortage */
	int64_t resent;  /* how often a request was sent a second time in the same attempt */
} tq_deliver_state;

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
 * Drain: nothing is claimed or sent any more, and what was not sent is released.  The loop
 * goes on until all answers have come and are reported, at most for stop_timeout_ms.  Then
 * what is still being sent is given up: if its request was begun, the attempt has failed, so that
 * the receiver can tell the next one from it; otherwise it is released.  Results are reported once
 * more, and the rest is released once.  After stop_timeout_ms that takes no longer than those two
 * transactions, or those that a store that refuses results makes necessary.
 */
extern bool tq_deliver_turn(tq_deliver *d, int64_t max_wait_ms);

/* A stop, now or later, waits for no answers. */
extern void tq_deliver_hurry(tq_deliver *d);

/* Another process may have made tasks due: the next turn claims. */
extern void tq_deliver_wake(tq_deliver *d);

/* A task in flight may have been cancelled: the next turn looks at all leases. */
extern void tq_deliver_check_leases(tq_deliver *d);

/* Tasks held: waiting, being sent, or with a result that is not stored yet. */
extern int tq_deliver_inflight(const tq_deliver *d);

/* Valid until the next call. */
extern const tq_deliver_state *tq_deliver_state_of(const tq_deliver *d);

/* Forgets everything in flight without telling the store: for when the store is gone. */
extern void tq_deliver_free(tq_deliver *d);

#endif

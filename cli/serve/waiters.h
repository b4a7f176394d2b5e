/*
 * waiters.h
 *		Requests that wait: for a task to acquire, or for the end of one.
 *
 * They cost no connection to the database.  Those who wait for a queue stand in a line: when it is
 * told that a task is due, and every second, the first of them acquires, as its own role.  Those
 * who wait for the end of tasks are looked after by one statement for all.
 */
#ifndef CLI_SERVE_WAITERS_H
#define CLI_SERVE_WAITERS_H

#include <stdint.h>

#include "cli/serve/exchange.h"

typedef struct waiters waiters;

/* max: how many may wait at a time.  NULL: out of memory. */
extern waiters *waiters_new(gateway *g, int max);

/*
 * For routes: acquires, or gets a task, with the statement of the route.  That of a task has in its
 * third column its state and a hyphen after a quote.
 */
extern void waiters_acquire(exchange *x);
extern void waiters_get_task(exchange *x, const char *id);

/* The client of a request has gone away. */
extern void waiters_gone(exchange *x);

/* There may be due tasks in the queue; NULL: in any. */
extern void waiters_told(waiters *w, const char *queue);

/* The next queue to listen to that is not listened to yet; NULL: none. */
extern const char *waiters_next_queue(waiters *w);

/* The connection that listened was lost: all are to be listened to again. */
extern void waiters_listen_again(waiters *w);

extern int waiters_count(const waiters *w);

/* Milliseconds until waiters_step() is due; -1: not before something happens. */
extern int64_t waiters_timeout(const waiters *w);
extern void waiters_step(waiters *w);

/* Answers all that wait. */
extern void waiters_stop(waiters *w);

/* None may wait any more.  w may be NULL. */
extern void waiters_free(waiters *w);

#endif

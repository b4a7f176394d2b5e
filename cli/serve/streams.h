/*
 * streams.h
 *		Requests that are answered with events as they happen.
 *
 * A stream costs no connection to the database: when there is a notification, and every few
 * seconds, it reads on from its cursor, as its own role.
 */
#ifndef CLI_SERVE_STREAMS_H
#define CLI_SERVE_STREAMS_H

#include <stdint.h>

#include "cli/serve/exchange.h"

typedef struct streams streams;

/* max: how many there may be at a time.  NULL: out of memory. */
extern streams *streams_new(gateway *g, int max);

/* For routes: begins a stream.  Texts may be NULL. */
extern void streams_begin(exchange *x, const char *after, const char *queue, const char *task);

/* The client has gone away. */
extern void streams_gone(exchange *x);

/* The request is at its end. */
extern void streams_forget(exchange *x);

/* There may be events. */
extern void streams_told(streams *s);

extern int streams_count(const streams *s);

/* Milliseconds until streams_step() is due; -1: not before something happens. */
extern int64_t streams_timeout(const streams *s);
extern void streams_step(streams *s);

/* Ends all. */
extern void streams_stop(streams *s);

/* There is none any more.  s may be NULL. */
extern void streams_free(streams *s);

#endif

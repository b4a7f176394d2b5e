/*
 * listener.h
 *		The connection that listens to the queues for which somebody waits, and to events.
 */
#ifndef CLI_SERVE_LISTENER_H
#define CLI_SERVE_LISTENER_H

#include <poll.h>
#include <stdint.h>

#include "cli/serve/streams.h"
#include "cli/serve/waiters.h"

typedef struct listener listener;

/* Connects only when somebody waits, or there is a stream.  NULL: out of memory. */
extern listener *listener_new(const char *conninfo, waiters *w, streams *s,
							  void (*log)(const char *line));

/* Returns the number of descriptors, 0 or 1. */
extern int listener_poll(const listener *l, struct pollfd *fds);
extern int64_t listener_timeout(const listener *l);
extern void listener_step(listener *l);

/* l may be NULL. */
extern void listener_free(listener *l);

#endif

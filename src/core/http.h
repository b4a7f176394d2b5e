/*
 * http.h
 *		HTTP requests on curl's multi-socket interface, resolved by resolve.c.
 *
 * The engine never blocks: its owner waits on one pollable descriptor (an
 * epoll set holding curl's and c-ares' sockets) and a timeout, then calls
 * tq_http_step().  Callbacks from libcurl and c-ares only record; nothing is
 * reported from inside them.  One engine serves one process and one thread;
 * create it after fork, never before.
 */
#ifndef TQ_HTTP_H
#define TQ_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/egress.h"
#include "core/request.h"
#include "core/response.h"

typedef struct tq_http tq_http;

/* NULL: out of memory or descriptors. */
extern tq_http *tq_http_new(const tq_http_limits *limits);

/* Holds for requests submitted from now on. */
extern void tq_http_set_limits(tq_http *h, const tq_http_limits *limits);

/*
 * Copies e, which may be NULL for no lists; holds for all connections made or used from now on.
 * False: out of memory, and the old rules hold.
 */
extern bool tq_http_set_egress(tq_http *h, const tq_egress *e);

/*
 * Authorities to trust instead of the system's: a PEM file; NULL or empty: the
 * system's again.  For requests submitted from now on.  False: out of memory.
 */
extern bool tq_http_set_ca_file(tq_http *h, const char *path);

/*
 * Whether HTTP/2 is spoken with peers that offer it over TLS, for requests submitted from now
 * on.  A request with a body of more than 16 kB uses HTTP/1.1 all the same.
 */
extern void tq_http_set_http2(tq_http *h, bool http2);

/*
 * The most connections that are open at a time, if no more requests are under way; 0, as at
 * first: any number.  When a new one is needed, the one that has been idle for longest is closed.
 */
extern void tq_http_set_max_connections(tq_http *h, int max);

/* Closes the connections that are open and not in use. */
extern void tq_http_close_idle(tq_http *h);

/* Name servers to ask instead of resolv.conf's: see tq_resolver_set_servers(). */
extern bool tq_http_set_servers(tq_http *h, const char *servers);

/*
 * Starts a request.  Exactly one tq_response with this tag follows, also for a
 * request that cannot be sent (bad URL, control characters).  False: out of
 * memory, and no response follows.  The request is written to a connection once,
 * and once more if its peer refuses it unread over HTTP/2, or as tq_http_limits says.
 */
extern bool tq_http_submit(tq_http *h, const tq_request *request, void *tag);

/*
 * Gives up the request with this tag: its response, class CANCELLED, follows.
 * False: no such request.
 */
extern bool tq_http_cancel(tq_http *h, void *tag);

/* Requests without a response yet. */
extern int tq_http_inflight(const tq_http *h);

/* The descriptor to wait for; it stays the same for the engine's life. */
extern int tq_http_fd(const tq_http *h);

/* ms until tq_http_step() is due; -1: only when the descriptor is readable. */
extern int64_t tq_http_timeout(tq_http *h);

/* Does what is due; never blocks. */
extern void tq_http_step(tq_http *h);

/* The next response, which the caller owns; NULL: none is there. */
extern tq_response *tq_http_next_finished(tq_http *h);

/* Drops everything in flight at once, without responses. */
extern void tq_http_free(tq_http *h);

#endif

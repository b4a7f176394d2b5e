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
#include <stddef.h>
#include <stdint.h>

#include "core/egress.h"
#include "core/outcome.h"

typedef struct tq_http tq_http;

typedef struct tq_http_limits
{
	size_t max_response;    /* body bytes kept; reading stops there */
	size_t max_headers;     /* response header bytes; more is TQ_CLASS_TOO_LARGE */
	int connect_timeout_ms; /* for one address */
} tq_http_limits;

/* A request.  Everything is the caller's and is copied by tq_http_submit(). */
typedef struct tq_request
{
	const char *method;
	const char *url;
	const char *const *headers; /* "Name: value" lines */
	int nheaders;
	const void *body; /* NULL: none, as it must be for HEAD */
	size_t body_len;
	int64_t timeout_ms; /* for the whole exchange, name resolution included */
} tq_request;

/* How long the phases of an exchange took; -1: it did not come so far, or had no need to. */
typedef struct tq_times
{
	int64_t dns_us;        /* look-up */
	int64_t connect_us;    /* to the address that answered; -1 on a kept connection */
	int64_t tls_us;        /* handshake; likewise */
	int64_t first_byte_us; /* from then until the answer began */
} tq_times;

/* An answer, or the reason why there is none.  Owned by the receiver: tq_response_free(). */
typedef struct tq_response
{
	void *tag; /* as given to tq_http_submit() */
	tq_class cls;
	int status; /* 0 unless a final HTTP status line was received */
	/* raw lines of the final response without the status line, CRLF-separated; may be NULL */
	char *headers;
	size_t headers_len;
	char *body; /* may be NULL when body_len is 0 */
	size_t body_len;
	bool truncated;    /* the body was longer than max_response */
	char *retry_after; /* value of that header, or NULL */
	/* for people; empty on success; never a header value, body or query string */
	char error[256];
	int64_t elapsed_us; /* from submit to the end */
	tq_times times;
} tq_response;

extern tq_http *tq_http_new(const tq_http_limits *limits);

/* Takes effect for requests submitted from now on and for connections reused. */
extern void tq_http_set_limits(tq_http *h, const tq_http_limits *limits);

/* e is copied. */
extern bool tq_http_set_egress(tq_http *h, const tq_egress *e);

/*
 * Authorities to trust instead of the system's: a PEM file; NULL or empty: the
 * system's again.  For requests submitted from now on.  False: out of memory.
 */
extern bool tq_http_set_ca_file(tq_http *h, const char *path);

/*
 * Whether HTTP/2 is spoken with peers that offer it over TLS, for requests submitted from now
 * on; with bodies of more than 16 kB it is HTTP/1.1 all the same.
 */
extern void tq_http_set_http2(tq_http *h, bool http2);

/* Name servers to ask instead of resolv.conf's: see tq_resolver_set_servers(). */
extern bool tq_http_set_servers(tq_http *h, const char *servers);

/*
 * Starts a request.  Always gives exactly one tq_response later, also for a
 * request that cannot be sent (bad URL, control characters); false only when
 * memory ran out, and then there will be none.  It is written to a connection
 * once: when a kept one breaks under it, that is the class RESET.
 */
extern bool tq_http_submit(tq_http *h, const tq_request *request, void *tag);

/*
 * Gives the request with this tag up: its response, class CANCELLED, follows.
 * False: no such request.
 */
extern bool tq_http_cancel(tq_http *h, void *tag);

extern int tq_http_inflight(const tq_http *h);

extern int tq_http_fd(const tq_http *h);

/* ms until tq_http_step() is due; -1: only when fd is readable */
extern int64_t tq_http_timeout(tq_http *h);

/* Does what is due; never blocks. */
extern void tq_http_step(tq_http *h);

/* The next finished exchange, or NULL. */
extern tq_response *tq_http_next_finished(tq_http *h);
extern void tq_response_free(tq_response *r);

/* Drops everything in flight at once, without responses. */
extern void tq_http_free(tq_http *h);

/*
 * NULL when url is one that a task may have: http or https, a host, no user
 * info, no control characters or blanks; else a static text saying what is
 * wrong.  Judged by the parser that also drives the transfer.
 */
extern const char *tq_url_invalid(const char *url);

/*
 * The same for what is put behind the URL of an endpoint: it begins with / or ?, has no
 * fragment, and no dot segment that would lead out of what the URL names.
 */
extern const char *tq_path_invalid(const char *path);

/*
 * NULL, or what is wrong.  Methods and names are RFC 9110 tokens; values have
 * no control characters but tab.  Host, Content-Length, Transfer-Encoding and
 * Connection are the engine's own.
 */
extern const char *tq_method_invalid(const char *method);
extern const char *tq_header_invalid(const char *name, const char *value);

#endif

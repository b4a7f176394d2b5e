/*
 * http.h
 *		Requests in, answers out: the only file that knows libmicrohttpd.
 *
 * The library parses; what it is lenient about is refused here, before anybody sees the request.
 * It runs in the owner's loop: the owner waits for the descriptors of http_poll(), for at most
 * http_timeout(), and calls http_step().
 *
 * A request lives from the call of begin() to that of end().  It is answered exactly once, within
 * begin(), handle() or gone(), or later: until then it is suspended, and costs nothing but memory.
 */
#ifndef CLI_SERVE_HTTP_H
#define CLI_SERVE_HTTP_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buffer.h"

#define HTTP_MAX_SOCKETS  8 /* to listen on */
#define HTTP_MAX_POLL     (HTTP_MAX_SOCKETS + 2)
#define HTTP_ADDRESS_SIZE 64
#define HTTP_MAX_OF_ONE   64 /* connections of one address, where strangers connect themselves */
#define HTTP_TYPE_JSON    "application/json"
#define HTTP_TYPE_NDJSON  "application/x-ndjson"
#define HTTP_TYPE_FORM    "application/x-www-form-urlencoded"
#define HTTP_TYPE_BYTES   "application/octet-stream"
#define HTTP_TYPE_EVENTS  "text/event-stream"

typedef struct http_server http_server;

/* What private holds belongs to http.c. */
typedef struct http_request
{
	const char *method;              /* HEAD is told as GET: its answer is sent without the body */
	const char *path;                /* as it came, likewise query */
	const char *query;               /* what follows the question mark; NULL: there is none */
	char address[HTTP_ADDRESS_SIZE]; /* of the client, as far as it is known */
	bool through_tls;                /* a proxy that is trusted says so */
	bool from_file;                  /* it came by a UNIX socket */
	tq_buffer body;                  /* complete in handle() */
	int64_t arrived_ms;
	int status; /* of the answer; 0: there is none yet */
	void *owner;
	struct http_private *private;
} http_request;

typedef struct http_handlers
{
	/* The head is there.  It is answered if that is all that is needed, or the limit returned. */
	size_t (*begin)(void *arg, http_request *r);
	/* The request is complete. */
	void (*handle)(void *arg, http_request *r);
	/* The client of a watched request has gone away.  It is still to be answered. */
	void (*gone)(void *arg, http_request *r);
	/* The answer was sent, or could not be; nothing of the request is used afterwards. */
	void (*end)(void *arg, http_request *r);
	void *arg;
} http_handlers;

/* Which connections it takes. */
typedef struct http_options
{
	const int *sockets; /* to listen on; it closes them in the end */
	int nsockets;
	bool behind_proxy; /* what a proxy says of the client is believed */
	int max_of_one;    /* connections of one address; 0: no limit */
} http_options;

/* NULL: no memory. */
extern http_server *http_new(const http_options *options, const http_handlers *handlers);

/* At most HTTP_MAX_POLL; returns their number. */
extern int http_poll(const http_server *s, struct pollfd *fds);

/* Milliseconds, never more than a second. */
extern int http_timeout(const http_server *s);

extern void http_step(http_server *s);

/* From now on no connection is taken. */
extern void http_quiesce(http_server *s);

/* Requests that are not at their end; those whose head is not complete count, too. */
extern int http_count(const http_server *s);

/* All requests must be answered.  s may be NULL. */
extern void http_free(http_server *s);

/* ---- a request ------------------------------------------------------------------- */

/* A header of the request; NULL: it has none.  Valid until the end. */
extern const char *http_header(const http_request *r, const char *name);

/* Calls take() for each header, as it came; a repeated one comes again. */
typedef void http_header_taker(void *arg, const char *name, const char *value);
extern void http_each_header(const http_request *r, http_header_taker *take, void *arg);

/* Whether the client itself has connected to a port of this machine. */
extern bool http_is_direct(const http_request *r);

/*
 * Whether the request is for an address or for localhost.  Any other name may be one of somebody's
 * page, made to mean this machine after the page was loaded: a browser believes that the request
 * goes to where the page is from.
 */
extern bool http_is_for_this_machine(const http_request *r);

/* Memory that lives as long as the request; NULL: there is none. */
extern void *http_alloc(http_request *r, size_t size);
extern char *http_copy(http_request *r, const char *text, size_t len);

/* Have gone() called.  False: no descriptors; it will just not be called. */
extern bool http_watch(http_request *r);

/* ---- the answer ------------------------------------------------------------------ */

/* Before the answer; both texts are copied. */
extern void http_add(http_request *r, const char *name, const char *value);

/*
 * Answers.  type: NULL without a body.  The body is copied by the first one, lives for ever in the
 * second one, and is freed by the third one, also if it cannot be sent.
 */
extern void http_answer(http_request *r, int status, const char *type, const char *body,
						size_t len);
extern void http_answer_static(http_request *r, int status, const char *type, const char *body,
							   size_t len);
extern void http_answer_free(http_request *r, int status, const char *type, char *body,
							 size_t len);

/* ---- an answer that goes on ------------------------------------------------------ */

/*
 * Answers with a body of which more is to come, by http_append(), until http_close().  Its client
 * is watched: see http_watch().  The library can end the request at any time, as end() tells.
 */
extern void http_open(http_request *r, int status, const char *type);
extern void http_append(http_request *r, const char *text, size_t len);
extern void http_close(http_request *r);

/* How many bytes of it the client has not taken. */
extern size_t http_unsent(const http_request *r);

#endif

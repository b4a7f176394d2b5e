/*
 * response.h
 *		What an HTTP exchange brought: an answer, or the reason why there is none.
 */
#ifndef TQ_RESPONSE_H
#define TQ_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/outcome.h"

/* How long each phase took; -1: the exchange did not reach it, or did not need it. */
typedef struct tq_times
{
	int64_t dns_us;        /* look-up */
	int64_t connect_us;    /* to the address that answered; -1 on a connection that was open */
	int64_t tls_us;        /* handshake; likewise */
	int64_t first_byte_us; /* from then until the answer began */
} tq_times;

/* malloc'd with all that it has; owned by the caller that received it: tq_response_free(). */
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
	bool begun;         /* the request was begun: its receiver may have read it */
	bool resent;        /* it was sent a second time: see tq_http_limits */

	/* What the machine lacked, so that the request was not begun; 0: nothing.  See shortage.h. */
	int shortage;
	tq_times times;
} tq_response;

/* r may be NULL. */
extern void tq_response_free(tq_response *r);

#endif

/*
 * request.h
 *		A request as its sender describes it, and which methods and headers are allowed.
 *
 * Pure functions.  Those that check return NULL when all is well, else a static
 * text that says what is wrong.
 */
#ifndef TQ_REQUEST_H
#define TQ_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Everything in it belongs to the caller of tq_http_submit(), and what it points to must stay until
 * the response is taken or the engine is freed.
 */
typedef struct tq_request
{
	const char *method;
	const char *url;
	const char *const *headers; /* nheaders "Name: value" lines */
	int nheaders;
	const void *body; /* NULL: none, as it must be for HEAD */
	size_t body_len;
	int64_t timeout_ms; /* for the whole exchange, name resolution included */
} tq_request;

/* What holds for each request that is sent. */
typedef struct tq_http_limits
{
	size_t max_response;    /* body bytes kept; reading stops there */
	size_t max_headers;     /* response header bytes; more is TQ_CLASS_TOO_LARGE */
	int connect_timeout_ms; /* for one address */

	/*
	 * Whether a request is sent once more, on a new connection, if the one that was kept open for
	 * it ends before the answer begins.  The receiver may have read it before.
	 */
	bool resend;
} tq_http_limits;

#define TQ_MAX_METHOD 32 /* bytes */

/* Methods are RFC 9110 tokens of at most TQ_MAX_METHOD bytes, other than TRACE and CONNECT. */
extern const char *tq_method_invalid(const char *method);

/* Who sets a header of a request. */
typedef enum tq_header_owner
{
	TQ_HEADER_SUBMITTER, /* the submitter of the task may */
	TQ_HEADER_ENGINE,    /* the HTTP engine alone: it frames the message or selects the receiver */
	TQ_HEADER_TASKQ      /* taskq alone: it tells the receiver which sender and task this is */
} tq_header_owner;

/* Without regard to case. */
extern tq_header_owner tq_header_owner_of(const char *name);

/*
 * Whether the value of a header may be a secret, judged by its name: Authorization, Cookie,
 * X-Api-Key and the like.  Without regard to case.
 */
extern bool tq_header_may_be_secret(const char *name);

/*
 * What may be sent: names are RFC 9110 tokens that are not the engine's to set, values have no
 * control characters but tab.
 */
extern const char *tq_header_invalid(const char *name, const char *value);

/* As tq_header_invalid(), for a whole "Name: value" line. */
extern const char *tq_header_line_invalid(const char *line);

#endif

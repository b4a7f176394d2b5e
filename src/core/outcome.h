/*
 * outcome.h
 *		What an HTTP exchange means for its task: pure functions.
 */
#ifndef TQ_OUTCOME_H
#define TQ_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

/* How far the exchange got.  The names are stored with the attempt. */
typedef enum tq_class
{
	TQ_CLASS_HTTP,          /* an HTTP status was received: "http" */
	TQ_CLASS_DNS,           /* "dns" */
	TQ_CLASS_CONNECT,       /* "connect" */
	TQ_CLASS_TLS,           /* "tls" */
	TQ_CLASS_TIMEOUT,       /* "timeout" */
	TQ_CLASS_RESET,         /* the connection broke: "reset" */
	TQ_CLASS_TOO_LARGE,     /* response headers over the limit: "too_large" */
	TQ_CLASS_PROTOCOL,      /* not an HTTP answer: "protocol" */
	TQ_CLASS_EGRESS_DENIED, /* "egress_denied" */
	TQ_CLASS_INVALID,       /* the request itself cannot be sent: "invalid" */
	TQ_CLASS_CANCELLED,     /* we gave it up: "cancelled" */
	TQ_CLASS_STOPPED,       /* we gave it up to stop: "stopped" */
	TQ_CLASS_INTERNAL       /* out of memory or the like: "internal" */
} tq_class;

typedef enum tq_verdict
{
	TQ_SUCCESS,
	TQ_RETRY,    /* by the task's policy */
	TQ_PERMANENT /* dead at once */
} tq_verdict;

typedef struct tq_outcome
{
	tq_verdict verdict;
	int64_t retry_after_ms; /* what the peer asked for, clamped; -1: nothing */
} tq_outcome;

/* The longest Retry-After that is honoured, for its task and for its receiver: one day. */
#define TQ_RETRY_AFTER_MAX_MS INT64_C(86400000)

/* What an exchange says about its receiver. */
typedef enum tq_health
{
	TQ_HEALTH_GOOD,   /* it answers, if only to refuse */
	TQ_HEALTH_BAD,    /* it does not answer, fails, or asks for less */
	TQ_HEALTH_UNKNOWN /* the exchange ended for a reason of ours */
} tq_health;

/* The name is that which tq_class_of_name() knows; "internal" for any other value. */
extern const char *tq_class_name(tq_class cls);

/* TQ_CLASS_INTERNAL for a name that is none. */
extern tq_class tq_class_of_name(const char *name);

/* The class of a libcurl result other than CURLE_OK. */
extern tq_class tq_class_of_curl(int curlcode);

/*
 * cls and status (0 unless TQ_CLASS_HTTP) decide; retry_after is the value of
 * the header of that name or NULL, looked at for 429 and 503 only.  now is
 * the wall clock in Unix seconds, needed for the date form.
 *
 * 2xx succeeds; 410, egress_denied and invalid are permanent; everything else
 * is retried.
 */
extern tq_outcome tq_outcome_of(tq_class cls, int status, const char *retry_after, int64_t now);

/*
 * A status of 5xx or 429 is bad, any other is good.  Without a status (0), all that can go wrong
 * between here and the receiver is bad: dns, connect, tls, timeout, reset and protocol.
 */
extern tq_health tq_health_of(tq_class cls, int status);

/*
 * Delay in ms in [0, TQ_RETRY_AFTER_MAX_MS], or -1 when the value means nothing.  RFC 9110,
 * 10.2.3.
 */
extern int64_t tq_retry_after_parse(const char *value, int64_t now);

#endif

/*
 * exchange.h
 *		A request and its answer: statements, and what the database says to them.
 */
#ifndef CLI_SERVE_EXCHANGE_H
#define CLI_SERVE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/serve/gateway.h"
#include "cli/serve/rejected.h"
#include "cli/serve/route.h"
#include "core/buffer.h"

typedef struct exchange
{
	gateway *gateway;
	http_request *http;
	const route *route;
	auth_kind kind;
	const char *name; /* of the token; likewise role: copies */
	const char *role;
	bool ui;
	const char *parameters[ROUTE_MAX_PARAMETERS]; /* decoded */

	/* The values of the route, and what becomes of them. */
	const char *values[GATE_MAX_VALUES];
	int nvalues;
	gate_call call;
	gate_taker *take; /* of the route; NULL: exchange_take() */

	/* For waiters.c. */
	int64_t until_ms; /* how long it may wait; 0: not at all */
	int64_t waits_since_ms;
	const char *task;        /* for whose end it waits */
	struct waiting *waiting; /* the list that it is in; NULL: it does not wait */
	struct exchange *next;
	struct exchange *previous;
	bool under_way; /* its statement */
	bool is_gone;   /* nobody will read the answer */

	struct stream *stream; /* of events, by which it is answered; NULL: none */
} exchange;

/* ---- statements ------------------------------------------------------------------ */

/*
 * Sends a statement with the first values of the exchange as its role; take gets the result, or the
 * exchange is answered with 503 if too much is going on.
 */
extern void exchange_send(exchange *x, const gate_statement *statement, gate_taker *take);

/*
 * For most routes: answers with what a statement returns, one row.
 *		status, body: JSON, or if status is 400 or more what is wrong in words
 *		further columns with the names of headers, and their values; NULL: no such header
 * No row: the task is not known.
 */
extern void exchange_take(void *exchange, gate_end end, const PGresult *result);

/* True: it was an error, and the exchange has been answered. */
extern bool exchange_has_failed(exchange *x, gate_end end, const PGresult *result);

/* The traceparent of the request, if it is one that a task can have; else NULL. */
extern const char *exchange_trace(const exchange *x);

/* ---- answers --------------------------------------------------------------------- */

extern void exchange_json(exchange *x, int status, const char *json, size_t len);

/* Answers with JSON, and empties the buffer. */
extern void exchange_buffer(exchange *x, int status, tq_buffer *json);

/* code, detail and hint may be NULL. */
extern void exchange_error(exchange *x, int status, const char *code, const char *reason,
						   const char *detail, const char *hint);

/* The same of a request that is no exchange yet. */
extern void exchange_refuse(http_request *r, int status, const char *reason, const char *hint);

/* What cannot be answered now. */
extern void exchange_unavailable(exchange *x, const char *reason);

/* What the gateway refuses by itself; it is counted.  hint may be NULL. */
extern void exchange_reject(exchange *x, rejection why, int status, const char *reason,
							const char *hint);

/* Appends text as a JSON string. */
extern void exchange_quote(tq_buffer *b, const char *text);
extern void exchange_append(tq_buffer *b, const char *text);

#endif

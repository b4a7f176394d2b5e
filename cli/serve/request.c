/*
 * request.c
 *		A request comes and goes: which route it is, who asks, and what its body says.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/serve/counts.h"
#include "cli/serve/exchange.h"
#include "cli/serve/members.h"
#include "cli/serve/query.h"
#include "cli/serve/rejected.h"
#include "cli/serve/request.h"
#include "cli/serve/streams.h"
#include "cli/worklog.h"
#include "core/clock.h"

#define MAX_BATCH_BYTES (16 << 20)
#define MAX_RAW_BYTES   65536 /* of a body that is not for the database */

/* ---- a request begins ------------------------------------------------------------ */

/* False: it was answered. */
static bool
find_route(exchange *x)
{
	http_request *r = x->http;
	route_match match = route_find(r->method, r->path);
	int i;

	x->route = match.route;
	if (match.allowed[0] == '\0')
	{
		exchange_error(x, 404, NULL, "there is nothing at this path", NULL, NULL);
		return false;
	}
	if (x->route == NULL)
	{
		http_add(r, "Allow", match.allowed);
		if (strcmp(r->method, "OPTIONS") == 0)
			http_answer_static(r, 204, NULL, "", 0);
		else
			exchange_error(x, 405, NULL, "this path does not know the method", match.allowed, NULL);
		return false;
	}
	for (i = 0; i < ROUTE_MAX_PARAMETERS && match.parameters[i].text != NULL; i++)
	{
		char *decoded = http_alloc(r, match.parameters[i].len + 1);

		if (decoded == NULL || !query_decode(match.parameters[i].text, match.parameters[i].len,
											 false, decoded))
		{
			exchange_error(x, 400, NULL, "the path is not valid", NULL, NULL);
			return false;
		}
		x->parameters[i] = decoded;
	}
	return true;
}

/* Browsers tell which page has made a request; other programs do not. */
static bool
is_from_other_site(const http_request *r)
{
	const char *site = http_header(r, "Sec-Fetch-Site");

	return site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
}

/* A page of another site cannot set this header without a preflight, which is never allowed. */
static bool
has_mark(const http_request *r)
{
	const char *mark = http_header(r, "X-Taskq");

	return mark != NULL && strcmp(mark, "1") == 0;
}

static void
refuse_as_forged(exchange *x, const char *reason, const char *hint)
{
	exchange_reject(x, REJECTED_FORGERY, 403, reason, hint);
}

/*
 * Who did not show a token may be somebody whose browser was told to send the request.  Browsers
 * tell the site only to servers that they take for secure, but the origin of each change.
 */
static void
refuse_forgery(exchange *x)
{
	if (x->kind == AUTH_ANONYMOUS && http_is_direct(x->http) && !http_is_for_this_machine(x->http))
		refuse_as_forged(x, "without a token, the gateway has no name but localhost",
						 "Ask localhost or its address.");
	if (x->http->status != 0 || (x->route->flags & ROUTE_CHANGES) == 0 || x->kind == AUTH_TOKEN)
		return;
	if (is_from_other_site(x->http))
		refuse_as_forged(x, "the request comes from a page of another site", NULL);
	else if (x->kind == AUTH_COOKIE && !has_mark(x->http))
		refuse_as_forged(x, "a request by cookie needs the header X-Taskq: 1", NULL);
	else if (http_header(x->http, "Origin") != NULL && !has_mark(x->http))
		refuse_as_forged(x, "a request of a page needs the header X-Taskq: 1", NULL);
}

static void
find_out_who(exchange *x)
{
	auth_who who = auth_ask(x->gateway->auth, x->http);

	x->kind = who.kind;
	x->ui = who.ui;
	x->name = http_copy(x->http, who.name, strlen(who.name));
	x->role = http_copy(x->http, who.role, strlen(who.role));
	if (who.kind == AUTH_TOO_MANY)
		exchange_reject(x, REJECTED_GUESSING, 429, "too many wrong tokens came from this address",
						NULL);
	else if (who.kind == AUTH_REFUSED)
		exchange_reject(x, REJECTED_TOKEN, 401, "the token is wrong or has expired", NULL);
	else if (who.kind == AUTH_NOBODY)
		exchange_reject(x, REJECTED_TOKEN, 401, "a token is needed",
						"Send the header Authorization: Bearer TOKEN.");
	else if (x->name == NULL || x->role == NULL)
		exchange_unavailable(x, "there is no memory");
	else
		refuse_forgery(x);
}

size_t
request_begin(void *arg, http_request *r)
{
	exchange *x = calloc(1, sizeof(*x));
	gateway *g = arg;

	if (x == NULL)
	{
		http_answer_static(r, 503, NULL, "", 0);
		return 0;
	}
	r->owner = x;
	x->gateway = g;
	x->http = r;
	if (strcmp(r->path, "*") == 0)
		http_answer_static(r, 204, NULL, "", 0);
	else if (g->stopping)
		exchange_reject(x, REJECTED_STOPPING, 503, "the gateway stops", NULL);
	else if (find_route(x) && (x->route->flags & ROUTE_PUBLIC) == 0)
		find_out_who(x);
	if (r->status != 0 || strcmp(r->method, "GET") == 0)
		return 0;
	if ((x->route->flags & ROUTE_BATCH) != 0)
		return MAX_BATCH_BYTES;
	return (x->route->flags & ROUTE_PUBLIC) != 0 ? MAX_RAW_BYTES : g->max_payload;
}

static void
set_member(exchange *x, const char *name, const char *value)
{
	int first = x->nvalues - x->route->nbody;
	int i;

	for (i = 0; i < x->route->nbody; i++)
		if (strcmp(x->route->body[i].name, name) == 0)
			x->values[first + i] = value;
}

/* Idempotency-Key is the key of the task, and traceparent its trace, as the body may tell, too. */
static bool
take_headers(exchange *x)
{
	const char *given = http_header(x->http, "Idempotency-Key");
	const char *key = members_value(x, "key");
	const char *fault = NULL;

	if ((x->route->flags & ROUTE_SUBMITS) == 0)
		return true;
	if (members_is_batch(x))
	{
		fault = given != NULL ? "a batch has no Idempotency-Key" : NULL;
		/* Of all its tasks; behind the list. */
		x->values[2] = exchange_trace(x);
	}
	else
	{
		fault = given != NULL && key != NULL && strcmp(key, given) != 0
					? "key and Idempotency-Key differ"
					: NULL;
		if (given != NULL)
			set_member(x, "key", given);
		if (members_value(x, "trace") == NULL)
			set_member(x, "trace", exchange_trace(x));
	}
	if (fault != NULL)
		exchange_error(x, 400, NULL, fault, NULL, NULL);
	return fault == NULL;
}

void
request_handle(void *arg, http_request *r)
{
	exchange *x = r->owner;

	(void) arg;
	if (!members_read(x) || !take_headers(x))
		return;
	if (x->route->run != NULL)
		x->route->run(x);
	else
		exchange_send(x, x->route->statement, exchange_take);
}

/* Paths that are none are anybody's invention. */
static void
count_answer(const exchange *x)
{
	if (x->route != NULL)
		counts_add(x->route, x->http->status,
				   (double) (tq_clock_ms() - x->http->arrived_ms) / 1000);
}

void
request_end(void *arg, http_request *r)
{
	exchange *x = r->owner;

	(void) arg;
	if (x == NULL)
		return;
	streams_forget(x);
	count_answer(x);
	/* That nothing came is no change. */
	if (x->route != NULL && (x->route->flags & ROUTE_CHANGES) != 0 && r->status != 204)
		cli_log_at(LOG_USUAL, NULL, "%s %s %s %s %s %d %lld ms", r->address,
				   x->name != NULL && *x->name != '\0' ? x->name : "-",
				   x->role != NULL && *x->role != '\0' ? x->role : "-", x->route->method, r->path,
				   r->status, (long long) (tq_clock_ms() - r->arrived_ms));
	free(x);
	r->owner = NULL;
}

/*
 * members.h
 *		The query and the body of a request, taken apart into the values of its statement.
 *
 * Values are texts: what is JSON in a body goes on as it came, so numbers keep their digits.
 */
#ifndef CLI_SERVE_MEMBERS_H
#define CLI_SERVE_MEMBERS_H

#include <stdbool.h>

#include "cli/serve/exchange.h"

/* Puts parameters, query and body into the exchange.  False: it was answered with what is wrong. */
extern bool members_read(exchange *x);

/* Whether the body is a list, or lines, and not one object. */
extern bool members_is_batch(const exchange *x);

/* The value of that member, NULL: there is none. */
extern const char *members_value(const exchange *x, const char *name);

#endif

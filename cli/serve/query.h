/*
 * query.h
 *		Paths, query strings and cookies, taken apart.
 */
#ifndef CLI_SERVE_QUERY_H
#define CLI_SERVE_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/scan.h"

/*
 * Decodes %XX, and + as a blank if plus is true, to a text with a NUL after it; to has room for
 * len + 1 bytes.  False: an escape is not valid, or what comes out is not UTF-8 or has a NUL.
 */
extern bool query_decode(const char *text, size_t len, bool plus, char *to);

/* Gets a parameter as it came: without "=" value.text is NULL. */
typedef void query_taker(void *arg, cli_slice name, cli_slice value);

/* Calls take() for each parameter that is not empty. */
extern void query_split(const char *query, query_taker *take, void *arg);

/*
 * The segments of a path that begins with a slash, as they came; returns their number, -1: there
 * are more than max.  "/" has none, and "/a/" two, of which the second is empty.
 */
extern int query_segments(const char *path, cli_slice *segments, int max);

/* The value of a cookie in the header of that name; text is NULL: it is not there, or twice. */
extern cli_slice query_cookie(const char *header, const char *name);

#endif

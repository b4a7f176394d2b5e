/*
 * scan.h
 *		Checks a JSON text, and finds the members of its outermost object without taking them apart.
 *
 * It accepts what the server's jsonb accepts, except that it knows no limit of the size of a
 * number.  So a value is passed on as the slice of the text that it is.
 */
#ifndef CLI_SCAN_H
#define CLI_SCAN_H

#include <stdbool.h>
#include <stddef.h>

/* A part of a text, which has no NUL after it. */
typedef struct cli_slice
{
	const char *text; /* NULL: there is none */
	size_t len;
} cli_slice;

/* Gets a member.  The name is without its quotes, with escapes as they were written. */
typedef void cli_scan_taker(void *arg, cli_slice name, cli_slice value);

/*
 * Whether the text is one valid JSON text in UTF-8.  Calls take() for each member of the outermost
 * object in its order, also if the text turns out to be invalid further on.  take may be NULL.
 */
extern bool cli_scan(const char *text, size_t len, cli_scan_taker *take, void *arg);

/* The same for the elements of the outermost list, which have no name. */
extern bool cli_scan_list(const char *text, size_t len, cli_scan_taker *take, void *arg);

extern bool cli_slice_is(cli_slice slice, const char *text);

/* A copy with a NUL after it; NULL: out of memory. */
extern char *cli_slice_copy(cli_slice slice);

/* The characters of a valid JSON string; the caller's to free.  NULL: it is none, or no memory. */
extern char *cli_scan_string(cli_slice value, size_t *len);

#endif

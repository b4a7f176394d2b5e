/*
 * url.h
 *		URLs and paths: which are allowed, what they name, their ASCII form.
 *
 * Pure functions.  Those that check return NULL when all is well, else a static
 * text that says what is wrong.
 */
#ifndef TQ_URL_H
#define TQ_URL_H

#include "core/names.h"

#define TQ_MAX_URL 8192 /* bytes */

struct Curl_URL; /* libcurl's CURLU, so that users of this header need not have libcurl's */

/* A parsed URL.  Its handle drives the transfer, so what is resolved is what is asked. */
typedef struct tq_url
{
	struct Curl_URL *handle;    /* owned by the caller: curl_url_cleanup() */
	char host[TQ_MAX_HOST + 1]; /* without brackets */
	char port[6];               /* also when the URL names none */
} tq_url;

/* The text for "no memory", to be compared by address: no other text is that address. */
extern const char tq_out_of_memory[];

/*
 * Parses a URL that a task may have: http or https, a host, no user information, no control
 * characters or blanks, at most TQ_MAX_URL bytes.  When the answer is not NULL, url->handle is
 * NULL and there is nothing to free; the answer may be tq_out_of_memory.
 */
extern const char *tq_url_parse(const char *text, tq_url *url);

/* As tq_url_parse(), without a result. */
extern const char *tq_url_invalid(const char *text);

/*
 * The same for what is appended to the URL of an endpoint: it begins with / or ?, has no
 * fragment, and no dot segment that would lead out of what the URL names.
 */
extern const char *tq_path_invalid(const char *path);

/*
 * Converts a URL whose host may be a name in UTF-8; all else must be ASCII already.  When the
 * answer is NULL, *ascii is a URL that a task may have, see tq_url_parse().
 */
extern const char *tq_url_ascii(const char *url, char ascii[TQ_MAX_URL + 1]);

#endif

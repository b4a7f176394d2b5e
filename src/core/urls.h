/*
 * urls.h
 *		Parsed URLs that are kept for the requests that follow.  Private to core.
 *
 * Most requests go to few URLs, and to parse one costs more than all that is checked of it.
 */
#ifndef TQ_URLS_H
#define TQ_URLS_H

#include "core/url.h"

#define TQ_URLS_SLOTS 64 /* a power of two */

struct tq_urls_entry;

/* All zero: none. */
typedef struct tq_urls
{
	struct tq_urls_entry *slot[TQ_URLS_SLOTS];
} tq_urls;

/*
 * The parsed URL, to be given back by tq_urls_give().  Its handle may be in use by others, who read
 * it, too.  NULL, and *problem says what is wrong, as tq_url_parse() does.
 */
extern const tq_url *tq_urls_take(tq_urls *urls, const char *text, const char **problem);

/* url may be NULL. */
extern void tq_urls_give(const tq_url *url);

/* Keeps none but those in use. */
extern void tq_urls_forget(tq_urls *urls);

#endif

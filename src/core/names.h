/*
 * names.h
 *		International names of hosts, as DNS has them: pure functions.
 *
 * What is compared, resolved and sent is always the ASCII form, by UTS 46
 * (non-transitional) and IDNA 2008; what a user writes may be UTF-8.
 */
#ifndef TQ_NAMES_H
#define TQ_NAMES_H

#include <stdbool.h>

#include "core/egress.h"

#define TQ_MAX_URL 8192

/* The ASCII form of a name in UTF-8; false: it has none, or it is too long. */
extern bool tq_name_ascii(const char *name, char ascii[TQ_MAX_HOST + 1]);

/*
 * The same for the host in a URL, of which all else must be ASCII already.  NULL when
 * *ascii is a URL that a task may have, see tq_url_invalid(); else what is wrong.
 */
extern const char *tq_url_ascii(const char *url, char ascii[TQ_MAX_URL + 1]);

#endif

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

/* A name of 253 bytes and its final dot, and some. */
#define TQ_MAX_HOST 255

/* Writes the ASCII form of a name in UTF-8.  False: it has none, or one that is too long. */
extern bool tq_name_ascii(const char *name, char ascii[TQ_MAX_HOST + 1]);

#endif

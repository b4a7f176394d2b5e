/*
 * utf8.h
 *		Characters in UTF-8.
 */
#ifndef CLIENT_UTF8_H
#define CLIENT_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length of the character at that place; 0: there is no valid one before the end. */
extern size_t tq_utf8_length(const char *at, const char *end);

/* Writes a character, at most 4 bytes, and returns the number of bytes. */
extern size_t tq_utf8_put(char *to, uint32_t c);

/* Copies bytes and a NUL: what is no character, or a control character, becomes '?'. */
extern void tq_utf8_clean(const char *bytes, size_t len, char *copy);

#endif

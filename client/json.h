/*
 * json.h
 *		JSON strings that the program writes itself.
 */
#ifndef CLIENT_JSON_H
#define CLIENT_JSON_H

#include <stddef.h>

/* The text as a JSON string with its quotes; the caller's to free.  NULL: out of memory. */
extern char *tq_json_string(const char *text, size_t len);

/* The same of bytes of any kind: what is no character in UTF-8, and each byte 0, becomes U+FFFD. */
extern char *tq_json_bytes(const char *bytes, size_t len);

#endif

/*
 * keys.h
 *		The keys of a mapping, of which none may be there twice.
 */
#ifndef CLI_KEYS_H
#define CLI_KEYS_H

#include <stddef.h>

/* All zero at the beginning. */
typedef struct cli_keys
{
	char **names;
	size_t n;
} cli_keys;

/* Adds a copy of the key; NULL, or why not: a text that is not to be freed. */
extern const char *cli_keys_add(cli_keys *keys, const char *name);

extern void cli_keys_free(cli_keys *keys);

#endif

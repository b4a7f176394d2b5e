/*
 * keys.c
 *		The keys of a mapping, of which none may be there twice.
 *
 * A mapping of a configuration has few keys, so they are looked through one after the other.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/keys.h"

/* There is room up to the next power of two.  False: no memory. */
static bool
make_room_for_key(cli_keys *keys)
{
	size_t room = keys->n > 0 ? 2 * keys->n : 1;
	char **more;

	if ((keys->n & (keys->n - 1)) != 0)
		return true;
	more = realloc(keys->names, room * sizeof(*more));
	if (more == NULL)
		return false;
	keys->names = more;
	return true;
}

const char *
cli_keys_add(cli_keys *keys, const char *name)
{
	size_t i;

	for (i = 0; i < keys->n; i++)
		if (strcmp(keys->names[i], name) == 0)
			return "the key is there already";
	if (!make_room_for_key(keys) || (keys->names[keys->n] = strdup(name)) == NULL)
		return "out of memory";
	keys->n++;
	return NULL;
}

void
cli_keys_free(cli_keys *keys)
{
	while (keys->n > 0)
		free(keys->names[--keys->n]);
	free(keys->names);
	keys->names = NULL;
}

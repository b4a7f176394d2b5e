/*
 * names.h
 *		Names of queues and the like, and which one a wrong name is most like.
 */
#ifndef CLI_NAMES_H
#define CLI_NAMES_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "cli/command.h"

/* The names that the role may see; the result is the caller's, and may be an error. */
extern PGresult *cli_names(cli_kind kind);

/* Whether the name is among them.  True also if they cannot be seen. */
extern bool cli_name_exists(cli_kind kind, const char *name);

/* A hint with the name that is most like the wrong one; NULL: none is like it.  Never freed. */
extern const char *cli_suggest(cli_kind kind, const char *wrong);

/* The same for the name in a message of the server. */
extern const char *cli_suggest_for(const char *message);

#endif

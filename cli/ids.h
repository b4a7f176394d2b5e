/*
 * ids.h
 *		Ids of tasks, as arguments and as output.
 */
#ifndef CLI_IDS_H
#define CLI_IDS_H

#include <libpq-fe.h>

#include "cli/command.h"

/* The text; what is no id ends the program, so that the server does not have to refuse it. */
extern const char *cli_id_argument(const char *text);

/* The arguments as an array of ids; never freed. */
extern const char *cli_ids_argument(const cli_call *call);

/* The values of an option that may be repeated, in the same way; NULL: it was not given. */
extern const char *cli_ids_option(const cli_call *call, const char *option);

/* Prints ids: one a line, unless the format is JSON. */
extern void cli_print_ids(const PGresult *result);

#endif

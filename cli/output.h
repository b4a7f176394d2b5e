/*
 * output.h
 *		Prints the rows of a result, in the format that the user has chosen.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <libpq-fe.h>

/* All columns in JSON, and the first ncolumns of them in a table and separated by tabs. */
extern void cli_print(const PGresult *result, int ncolumns);

/* Rows as one name and value a line, in a table and separated by a tab; otherwise as above. */
extern void cli_print_record(const PGresult *result);

/* One value as it is, and a line feed; nothing for NULL. */
extern void cli_print_value(const PGresult *result);

#endif

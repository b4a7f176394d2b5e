/*
 * query.h
 *		Statements whose errors end the program, with a hint where one is known.
 */
#ifndef CLI_QUERY_H
#define CLI_QUERY_H

#include <libpq-fe.h>

/* As cli_try(); an error is reported and ends the program.  The result is the caller's. */
extern PGresult *cli_query(const char *sql, int nvalues, const char *const *values);

/* Reports the error of a result as cli_query() does, with a hint of its own if it has one. */
extern void cli_fail_result(const PGresult *result) __attribute__((noreturn));

#endif

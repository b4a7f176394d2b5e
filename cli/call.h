/*
 * call.h
 *		Commands that are one call of a function of the extension.
 */
#ifndef CLI_CALL_H
#define CLI_CALL_H

#include <libpq-fe.h>

#include "cli/command.h"

#define MAX_VALUES 32

/* A statement under construction: its text has constants only, its values are parameters. */
typedef struct cli_statement
{
	char sql[4096];
	const char *function;
	int nvalues;
	const char *values[MAX_VALUES];
	const char *parameters[MAX_VALUES];
	const char *options[MAX_VALUES]; /* by whose names values were given; NULL: by none */
} cli_statement;

/* Begins "select columns from taskq.function(". */
extern void cli_begin(cli_statement *s, const char *columns, const char *function);

/*
 * Begins "head pg_catalog.unnest(values) as each (value), lateral taskq.function(parameter =>
 * each.value": a call for each element of an array.
 */
extern void cli_begin_each(cli_statement *s, const char *head, const char *function,
						   const char *parameter, const char *values);

/* Adds a parameter of the function; a value of NULL is left out.  type may be NULL. */
extern void cli_pass(cli_statement *s, const char *parameter, const char *type, const char *value);

/* Adds a parameter that is NULL. */
extern void cli_pass_null(cli_statement *s, const char *parameter);

/* The same for the value of an option of the command that has no parameter of its own. */
extern void cli_pass_option(cli_statement *s, const char *parameter, const char *type,
							const cli_call *call, const char *option);

/* Adds the options of the command that are parameters of the function. */
extern void cli_pass_options(cli_statement *s, const cli_call *call);

/* Adds the trace of the program that runs this command, unless the option --trace is given. */
extern void cli_pass_trace(cli_statement *s, const cli_call *call);

/* Ends it with ")" and what comes after that, and runs it as cli_try() does. */
extern PGresult *cli_end(cli_statement *s, const char *rest);

/* The same; an error is reported and ends the program. */
extern PGresult *cli_end_or_fail(cli_statement *s, const char *rest);

/* Reports the error of a result, with status 2 if it is about the value of an option. */
extern void cli_fail_statement(const cli_statement *s, const PGresult *result)
	__attribute__((noreturn));

/* Ends the program so if it is; otherwise it returns. */
extern void cli_refuse_value(const cli_statement *s, const PGresult *result);

/* For cli_command.run: calls the function, and prints what it returns unless that is a truth. */
extern int cli_run_function(cli_call *call);

#endif

/*
 * sql.h
 *		SQL statements of the C code, with saved plans.
 */
#ifndef TASKQ_SQL_H
#define TASKQ_SQL_H

#include "executor/spi.h"

#define STATEMENT_MAX_ARGS 16

/* A statement of ours.  Static: its plan is saved at the first use, for the session. */
typedef struct Statement
{
	const char *sql;
	int nargs;
	Oid argtypes[STATEMENT_MAX_ARGS];
	SPIPlanPtr plan;
} Statement;

/*
 * Runs the statement as taskq_owner, with search_path pinned and hidden from
 * auto_explain, on the latest snapshot at any isolation level.  nulls: ' ' or 'n'
 * for each argument; NULL: no argument is NULL.  If a row comes back: true, and
 * its first ncols columns are copied to the caller's memory context.
 */
extern bool sql_as_owner(Statement *statement, Datum *values, const char *nulls,
						 Datum *result, bool *isnull, int ncols);

/*
 * Runs the statement as the current user, within SPI_connect() of the caller and on
 * its snapshot.  Returns the number of rows, which are in SPI_tuptable.
 */
extern uint64 sql_call(Statement *statement, Datum *values, const char *nulls);

/* The bigint (or boolean) that a call without arguments returns; -1 for NULL or no row. */
extern int64 sql_call_for_int64(Statement *statement);

/* Column n, from 1, of a row of SPI_tuptable. */
extern Datum sql_column(uint64 row, int n, bool *isnull);

#endif

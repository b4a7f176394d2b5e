/*
 * sql.h
 *		SQL statements of the C code, with saved plans.
 */
#ifndef TASKQ_SQL_H
#define TASKQ_SQL_H

#include "executor/spi.h"

#define STATEMENT_MAX_ARGS 20

/* A statement.  It must be static: its plan is saved at the first use, for the session. */
typedef struct Statement
{
	const char *sql;
	int nargs;
	Oid argtypes[STATEMENT_MAX_ARGS];
	SPIPlanPtr plan;
} Statement;

/* What sql_begin_as() has changed. */
typedef struct OwnerRights
{
	Oid user;
	int context;
	int settings;
} OwnerRights;

/*
 * From the one to the other the session has the rights of a role, and search_path is
 * pinned.  context: of miscinit.h, SECURITY_LOCAL_USERID_CHANGE or SECURITY_RESTRICTED_OPERATION.
 * After an error the end of the transaction, or of the savepoint, restores both.
 */
extern void sql_begin_as(OwnerRights *before, Oid role, int context);
extern void sql_end_as(const OwnerRights *before);

/* sql_begin_as() for taskq_owner. */
extern void sql_begin_as_owner(OwnerRights *before, int context);

/*
 * Runs the statement as taskq_owner, with search_path pinned and hidden from
 * auto_explain, on the latest snapshot at any isolation level.  nulls: ' ' or 'n'
 * for each argument; NULL: no argument is NULL.  True: it has returned a row, whose first
 * ncols columns are copied to the caller's memory context.
 */
extern bool sql_as_owner(Statement *statement, Datum *values, const char *nulls,
						 Datum *result, bool *isnull, int ncols);

/* The same; an error with SQLSTATE 57014 if the statement takes longer than so many ms. */
extern bool sql_as_owner_within(int max_ms, Statement *statement, Datum *values,
								const char *nulls, Datum *result, bool *isnull, int ncols);

/*
 * The same for a statement on many rows, which is planned at each call: calls see() with each of
 * them, as the current user.  see() may run statements.  The values of a row, which may be stored
 * out of line, and what see() allocates are valid during that call only.
 */
typedef void (*RowSeer)(const Datum *values, const bool *nulls, void *arg);
extern void sql_each_as_owner(Statement *statement, Datum *values, const char *nulls,
							  RowSeer see, void *arg);

/*
 * The same with the arguments of the calling function.  It is for a public function that checks
 * something and then runs a private function.  Returns the first column of the first row.
 */
extern Datum sql_pass_on(FunctionCallInfo fcinfo, Statement *statement);

/* The same with one more argument, the last one of the statement. */
extern Datum sql_pass_on_with(FunctionCallInfo fcinfo, Statement *statement, Datum last);

/*
 * Runs the statement as the current user; the caller has called SPI_connect() and set a
 * snapshot.  Returns the number of rows, which are in SPI_tuptable.
 */
extern uint64 sql_call(Statement *statement, Datum *values, const char *nulls);

/* The bigint (or boolean) that a call without arguments returns; -1 for NULL or no row. */
extern int64 sql_call_for_int64(Statement *statement);

/* Column n, from 1, of a row of SPI_tuptable. */
extern Datum sql_column(uint64 row, int n, bool *isnull);

/*
 * In PG_CATCH(): throws the error again, without the statement and the context, which may contain a
 * secret and would come into the log.  caller: the memory context that was current before.
 */
extern void sql_rethrow_hidden(MemoryContext caller) __attribute__((noreturn));

#endif

/*
 * sql.c
 *		SQL statements of the C code, with saved plans.
 *
 * sql_as_owner() is for functions that any role may call, on paths where a few
 * microseconds do not matter: settings, failures.  The caller's search_path and
 * rights do not reach these statements, and they see the latest committed state
 * even in a REPEATABLE READ transaction.  sql_call() is for our own processes, which
 * have pinned their settings and run as their own role.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "base/errors.h"
#include "base/sql.h"

static void
prepare(Statement *statement)
{
	SPIPlanPtr plan = SPI_prepare(statement->sql, statement->nargs, statement->argtypes);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
			 SPI_result_code_string(SPI_result));
	statement->plan = plan;
}

/* Values that are stored out of line are fetched: the copy may outlive the transaction. */
static Datum
copy_value(Datum value, Form_pg_attribute att)
{
	if (att->attlen == -1)
		return PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	return datumCopy(value, att->attbyval, att->attlen);
}

/* Copies the first row into the context that was current before SPI. */
static void
copy_row(MemoryContext target, Datum *result, bool *isnull, int ncols)
{
	TupleDesc desc = SPI_tuptable->tupdesc;

	for (int i = 0; i < ncols; i++)
	{
		Datum value = SPI_getbinval(SPI_tuptable->vals[0], desc, i + 1, &isnull[i]);
		MemoryContext old = MemoryContextSwitchTo(target);

		result[i] = isnull[i] ? (Datum) 0 : copy_value(value, TupleDescAttr(desc, i));
		MemoryContextSwitchTo(old);
	}
}

/*
 * The caller's search_path must not reach the statement.  auto_explain must not log
 * it: since PostgreSQL 16 it logs parameters, and secrets are among them.  The executor
 * pins more (process/executor.c), and programs over libpq other settings
 * (client/connection.c).
 */
static void
pin_settings(void)
{
	static const struct
	{
		const char *name;
		const char *value;
	} pins[] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"auto_explain.log_min_duration", "-1"}};

	for (int i = 0; i < (int) lengthof(pins); i++)
	{
		if (GetConfigOption(pins[i].name, true, false) != NULL)
			(void) set_config_option(pins[i].name, pins[i].value, PGC_SUSET, PGC_S_SESSION,
									 GUC_ACTION_SAVE, true, 0, false);
	}
}

bool
sql_as_owner(Statement *statement, Datum *values, const char *nulls, Datum *result, bool *isnull,
			 int ncols)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid save_user;
	int save_context;
	int save_level = NewGUCNestLevel();
	int rc;
	bool found;

	GetUserIdAndSecContext(&save_user, &save_context);
	SetUserIdAndSecContext(get_role_oid(TASKQ_OWNER_ROLE, false),
						   save_context | SECURITY_LOCAL_USERID_CHANGE);
	pin_settings();
	SPI_connect();
	if (statement->plan == NULL)
		prepare(statement);
	rc = SPI_execute_snapshot(statement->plan, values, nulls, GetLatestSnapshot(),
							  InvalidSnapshot, false, true, 0);
	if (rc < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql, SPI_result_code_string(rc));
	found = SPI_tuptable != NULL && SPI_processed > 0;
	if (found)
		copy_row(caller, result, isnull, ncols);
	SPI_finish();
	AtEOXact_GUC(true, save_level);
	SetUserIdAndSecContext(save_user, save_context);
	return found;
}

uint64
sql_call(Statement *c, Datum *values, const char *nulls)
{
	int rc;

	if (c->plan == NULL)
	{
		SPIPlanPtr plan = SPI_prepare(c->sql, c->nargs, c->argtypes);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", c->sql, SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		c->plan = plan;
	}
	rc = SPI_execute_plan(c->plan, values, nulls, false, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\": %s", c->sql, SPI_result_code_string(rc));
	return SPI_processed;
}

Datum
sql_column(uint64 row, int n, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, n, isnull);
}

int64
sql_call_for_int64(Statement *c)
{
	Datum values[STATEMENT_MAX_ARGS] = {0};
	bool isnull = true;
	Datum value = 0;

	if (sql_call(c, values, "nnnnnnnnnnnnnnnn") > 0)
		value = sql_column(0, 1, &isnull);
	return isnull ? -1 : DatumGetInt64(value);
}

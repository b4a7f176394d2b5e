/*
 * owner.c
 *		SQL run as taskq_owner from functions that any role may call.
 *
 * For the paths where a few microseconds do not matter: settings, failures.
 * The caller's search_path and rights do not reach these statements, and they
 * see the latest committed state even in a REPEATABLE READ transaction.
 */
#include "task.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

static void
prepare(Statement *statement)
{
	SPIPlanPtr plan = SPI_prepare(statement->sql, statement->nargs, statement->argtypes);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
			 SPI_result_code_string(SPI_result));
	statement->plan = plan;
}

/* Out-of-line values are fetched: the copy may outlive the transaction. */
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
 * The caller's search_path must not reach the statement.  auto_explain must not see
 * it: since PostgreSQL 16 it logs parameters, and secrets are among them.
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
owner_query(Statement *statement, Datum *values, const char *nulls, Datum *result, bool *isnull,
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

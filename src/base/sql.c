/*
 * sql.c
 *		SQL statements of the C code, with saved plans.
 *
 * sql_as_owner() is for functions that any role may call, on paths where a few
 * microseconds do not matter: settings, failures.  The caller's search_path and
 * privileges do not affect these statements, and they see the latest committed state
 * even in a REPEATABLE READ transaction.  sql_call() is for our own processes, which
 * have pinned their settings and run as their own role.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

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

/* Fetches values that are stored out of line, because the copy may outlive the transaction. */
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
 * The caller's search_path must not affect the statement.  auto_explain must not log
 * it: since PostgreSQL 16 it logs parameters, and they may contain secrets.  The executor
 * pins more settings (process/executor.c), and programs over libpq pin others
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
		{"auto_explain.log_min_duration", "-1"},
		{"pgaudit.log_parameter", "off"}};

	for (int i = 0; i < (int) lengthof(pins); i++)
	{
		if (GetConfigOption(pins[i].name, true, false) != NULL)
			(void) set_config_option(pins[i].name, pins[i].value, PGC_SUSET, PGC_S_SESSION,
									 GUC_ACTION_SAVE, true, 0, false);
	}
}

void
sql_begin_as(OwnerRights *before, Oid role, int context)
{
	before->settings = NewGUCNestLevel();
	GetUserIdAndSecContext(&before->user, &before->context);
	SetUserIdAndSecContext(role, before->context | context);
	pin_settings();
}

void
sql_begin_as_owner(OwnerRights *before, int context)
{
	sql_begin_as(before, get_role_oid(TASKQ_OWNER_ROLE, false), context);
}

void
sql_end_as(const OwnerRights *before)
{
	AtEOXact_GUC(true, before->settings);
	SetUserIdAndSecContext(before->user, before->context);
}

/* The caller has the rights of taskq_owner, and is connected to SPI. */
static void
execute_statement(Statement *statement, Datum *values, const char *nulls)
{
	int rc;

	if (statement->plan == NULL)
		prepare(statement);
	rc = SPI_execute_snapshot(statement->plan, values, nulls, GetLatestSnapshot(),
							  InvalidSnapshot, false, true, 0);
	if (rc < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql, SPI_result_code_string(rc));
}

bool
sql_as_owner(Statement *statement, Datum *values, const char *nulls, Datum *result, bool *isnull,
			 int ncols)
{
	MemoryContext caller = CurrentMemoryContext;
	OwnerRights before;
	bool found;

	sql_begin_as_owner(&before, SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	execute_statement(statement, values, nulls);
	found = SPI_tuptable != NULL && SPI_processed > 0;
	if (found)
		copy_row(caller, result, isnull, ncols);
	SPI_finish();
	sql_end_as(&before);
	return found;
}

/* Returns when the statement of the client times out; 0: never. */
static TimestampTz
limit_time(int max_ms)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), max_ms);
	TimestampTz before = 0;

	if (get_timeout_active(STATEMENT_TIMEOUT))
		before = get_timeout_finish_time(STATEMENT_TIMEOUT);
	if (before == 0 || before > until)
		enable_timeout_at(STATEMENT_TIMEOUT, until);
	return before;
}

static void
end_limit(TimestampTz before)
{
	if (before == 0)
		disable_timeout(STATEMENT_TIMEOUT, false);
	else
		enable_timeout_at(STATEMENT_TIMEOUT, before);
}

bool
sql_as_owner_within(int max_ms, Statement *statement, Datum *values, const char *nulls,
					Datum *result, bool *isnull, int ncols)
{
	volatile bool found = false;
	volatile TimestampTz before = limit_time(max_ms);

	PG_TRY();
	{
		found = sql_as_owner(statement, values, nulls, result, isnull, ncols);
	}
	PG_FINALLY();
	{
		end_limit(before);
	}
	PG_END_TRY();
	return found;
}

static void
see_rows(SPITupleTable *table, uint64 count, RowSeer see, void *arg)
{
	int ncols = table->tupdesc->natts;
	Datum *values = palloc_array(Datum, ncols);
	bool *nulls = palloc_array(bool, ncols);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "taskq row",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (uint64 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		heap_deform_tuple(table->vals[i], table->tupdesc, values, nulls);
		see(values, nulls, arg);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
sql_each_as_owner(Statement *statement, Datum *values, const char *nulls, RowSeer see, void *arg)
{
	OwnerRights before;

	sql_begin_as_owner(&before, SECURITY_LOCAL_USERID_CHANGE);
	(void) set_config_option("plan_cache_mode", "force_custom_plan", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	execute_statement(statement, values, nulls);
	sql_end_as(&before);
	if (SPI_tuptable != NULL)
		see_rows(SPI_tuptable, SPI_processed, see, arg);
	SPI_finish();
}

/* The first count arguments of the statement are those of the calling function. */
static Datum
pass_arguments(FunctionCallInfo fcinfo, Statement *statement, int count, Datum last)
{
	Datum values[STATEMENT_MAX_ARGS];
	char nulls[STATEMENT_MAX_ARGS];
	Datum result = (Datum) 0;
	bool isnull;

	for (int i = 0; i < count; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	if (count < statement->nargs)
	{
		nulls[count] = ' ';
		values[count] = last;
	}
	(void) sql_as_owner(statement, values, nulls, &result, &isnull, 1);
	return result;
}

Datum
sql_pass_on(FunctionCallInfo fcinfo, Statement *statement)
{
	return pass_arguments(fcinfo, statement, statement->nargs, (Datum) 0);
}

Datum
sql_pass_on_with(FunctionCallInfo fcinfo, Statement *statement, Datum last)
{
	return pass_arguments(fcinfo, statement, statement->nargs - 1, last);
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

void
sql_rethrow_hidden(MemoryContext caller)
{
	ErrorData *failure;

	MemoryContextSwitchTo(caller);
	failure = CopyErrorData();
	FlushErrorState();
	failure->hide_stmt = true;
	failure->context = NULL;
	ReThrowError(failure);
}

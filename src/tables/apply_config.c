/*
 * apply_config.c
 *		apply_config(): queues, endpoints, retry policies and schedules as a document says.
 *
 * What it does is SQL (sql/84_config.sql): a plan that taskq_owner makes, and calls of public
 * functions with the rights of the caller.  Here is only what SQL cannot do: to keep the values of
 * the document and of the plan, which may be secret, from the caller and out of the log; and names
 * that look alike.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
#include "utils/varlena.h"

#include "base/sql.h"
#include "tables/queue.h"

#define NCOLUMNS     4
#define NARGS        4
#define DRY_RUN      3   /* the last argument */
#define MAX_NAME_LEN 100 /* longer names are not compared */

static Statement make_plan = {
	"select coalesce(jsonb_agg(to_jsonb(p)), '[]') "
	"from taskq_private.config_plan($1, coalesce($2, false), coalesce($3, false), "
	"coalesce($4, false)) p",
	4,
	{JSONBOID, BOOLOID, BOOLOID, BOOLOID},
	NULL,
};
static Statement carry_out = {
	"select c.action, c.object, c.name, c.detail "
	"from taskq_private.carry_out($1, $2) c",
	2,
	{JSONBOID, BOOLOID},
	NULL,
};

static void
return_rows(uint64 count, ReturnSetInfo *result)
{
	for (uint64 i = 0; i < count; i++)
	{
		Datum values[NCOLUMNS];
		bool nulls[NCOLUMNS];

		for (int n = 0; n < NCOLUMNS; n++)
			values[n] = sql_column(i, n + 1, &nulls[n]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* The plan contains secrets that the caller may not know: it stays in this function. */
static void
apply(FunctionCallInfo fcinfo)
{
	Datum values[NARGS];
	char nulls[NARGS + 1] = {0};
	Datum plan[2];
	bool isnull;
	OwnerRights before;

	for (int i = 0; i < NARGS; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	InitMaterializedSRF(fcinfo, 0);
	client_call("taskq.apply_config()");
	(void) sql_as_owner(&make_plan, values, nulls, plan, &isnull, 1);
	plan[1] = BoolGetDatum(nulls[DRY_RUN] == ' ' && DatumGetBool(values[DRY_RUN]));
	/* For the settings; the rights stay those of the caller. */
	sql_begin_as(&before, GetUserId(), 0);
	SPI_connect();
	return_rows(sql_call(&carry_out, plan, NULL), (ReturnSetInfo *) fcinfo->resultinfo);
	SPI_finish();
	sql_end_as(&before);
}

/* The document may contain secrets, so an error must not write the statement into the log. */
PG_FUNCTION_INFO_V1(taskq_apply_config);
Datum
taskq_apply_config(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		apply(fcinfo);
	}
	PG_CATCH();
	{
		sql_rethrow_hidden(caller);
	}
	PG_END_TRY();
	return (Datum) 0;
}

/* The number of edits between two names, or more than max. */
static int
distance(text *a, text *b, int max)
{
	int a_len = VARSIZE_ANY_EXHDR(a);
	int b_len = VARSIZE_ANY_EXHDR(b);

	if (a_len > MAX_NAME_LEN || b_len > MAX_NAME_LEN)
		return max + 1;
	return varstr_levenshtein_less_equal(VARDATA_ANY(a), a_len, VARDATA_ANY(b), b_len, 1, 1, 1, max,
										 true);
}

/* taskq_private.nearest(name, names) */
PG_FUNCTION_INFO_V1(taskq_nearest);
Datum
taskq_nearest(PG_FUNCTION_ARGS)
{
	text *name = PG_GETARG_TEXT_PP(0);
	text *best = NULL;
	int least = VARSIZE_ANY_EXHDR(name) < 5 ? 2 : 3; /* fewer edits are few enough */
	Datum *names;
	bool *nulls;
	int count;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls,
					  &count);
	for (int i = 0; i < count; i++)
	{
		int edits = nulls[i] ? least : distance(name, DatumGetTextPP(names[i]), least - 1);

		if (edits < least)
		{
			best = DatumGetTextPP(names[i]);
			least = edits;
		}
	}
	if (best == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(best);
}

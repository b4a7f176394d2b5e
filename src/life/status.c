/*
 * status.c
 *		status(): why nothing is sent or acquired.
 *
 * The checks are SQL (sql/82_status.sql) and read what only taskq_owner may read.  Here stands what
 * they may tell the caller: of queues, only those on which it has a privilege.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/sql.h"
#include "tables/grant.h"
#include "tables/queue.h"

#define ANY_PRIVILEGE \
	(PRIVILEGE_SUBMIT | PRIVILEGE_WORK | PRIVILEGE_VIEW | PRIVILEGE_CONTROL)

/* Columns of status(), from zero. */
enum CheckColumn
{
	CHECK_NAME,
	CHECK_OK,
	CHECK_SEVERITY,
	CHECK_DETAIL,
	CHECK_HINT,
	CHECK_NCOLUMNS,
};

/* Of each text column an array with one element for each check. */
static Statement select_checks = {
	"select array_agg(s.\"check\" order by s.ordinality), "
	"array_agg(s.severity order by s.ordinality), "
	"array_agg(s.detail order by s.ordinality), array_agg(s.hint order by s.ordinality) "
	"from taskq_private.checks($1) with ordinality s",
	1,
	{INT4ARRAYOID},
	NULL,
};

static Statement select_granted = {
	"select array_agg(distinct g.queue_id) from taskq_private.queue_grant g",
	0,
	{0},
	NULL,
};

/* Those of the queues that are granted to some role on which the caller has a privilege. */
static Datum
granted_queues(void)
{
	Datum array;
	bool isnull;
	Datum *ids;
	bool *nulls;
	int count;
	int n = 0;

	(void) sql_as_owner(&select_granted, NULL, NULL, &array, &isnull, 1);
	if (isnull)
		return PointerGetDatum(construct_empty_array(INT4OID));
	deconstruct_array(DatumGetArrayTypeP(array), INT4OID, sizeof(int32), true, TYPALIGN_INT, &ids,
					  &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		const Queue *queue = queue_by_id(DatumGetInt32(ids[i]));

		CHECK_FOR_INTERRUPTS();
		if (queue != NULL && queue_may(queue, ANY_PRIVILEGE))
			ids[n++] = ids[i];
	}
	return PointerGetDatum(
		construct_array(ids, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/* The queues of which the checks may tell; *all: they may tell of all. */
static Datum
queues_to_check(FunctionCallInfo fcinfo, bool *all)
{
	const Queue *queue;
	Datum id;

	*all = false;
	if (!PG_ARGISNULL(0))
	{
		queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
		queue_require(queue, ANY_PRIVILEGE);
		id = Int32GetDatum(queue->id);
		return PointerGetDatum(
			construct_array(&id, 1, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	}
	*all = queue_may_all(ANY_PRIVILEGE);
	return *all ? (Datum) 0 : granted_queues();
}

/* The elements of a text array; returns their number. */
static int
text_elements(Datum array, Datum **values, bool **nulls)
{
	int count;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, values, nulls,
					  &count);
	return count;
}

/* Whether nothing needs to be done. */
static bool
is_ok(Datum severity)
{
	char *word = TextDatumGetCString(severity);

	return strcmp(word, "ok") == 0 || strcmp(word, "information") == 0;
}

PG_FUNCTION_INFO_V1(taskq_status);
Datum
taskq_status(PG_FUNCTION_ARGS)
{
	static const int text_columns[] = {CHECK_NAME, CHECK_SEVERITY, CHECK_DETAIL, CHECK_HINT};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum arrays[lengthof(text_columns)];
	bool isnull[lengthof(text_columns)];
	Datum *elements[lengthof(text_columns)];
	bool *element_nulls[lengthof(text_columns)];
	bool all;
	Datum ids;
	int count = 0;

	InitMaterializedSRF(fcinfo, 0);
	ids = queues_to_check(fcinfo, &all);
	(void) sql_as_owner(&select_checks, &ids, all ? "n" : " ", arrays, isnull,
						lengthof(text_columns));
	for (int c = 0; c < (int) lengthof(text_columns); c++)
		count = text_elements(arrays[c], &elements[c], &element_nulls[c]);
	for (int i = 0; i < count; i++)
	{
		Datum values[CHECK_NCOLUMNS];
		bool nulls[CHECK_NCOLUMNS] = {false};

		for (int c = 0; c < (int) lengthof(text_columns); c++)
		{
			values[text_columns[c]] = elements[c][i];
			nulls[text_columns[c]] = element_nulls[c][i];
		}
		values[CHECK_OK] = BoolGetDatum(is_ok(values[CHECK_SEVERITY]));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

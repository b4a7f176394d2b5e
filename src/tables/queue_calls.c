/*
 * queue_calls.c
 *		Functions on one queue whose work is SQL: pause, resume, purge.
 *
 * Each looks whether the current user may have it done, and then has it done
 * as taskq_owner by a private function.  A SECURITY DEFINER function could not
 * look: it does not know its caller.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/catalog.h"
#include "base/sql.h"
#include "tables/grant.h"
#include "tables/queue.h"

static Statement pause_or_resume = {
	"select taskq_private.pause($1, $2)",
	2,
	{TEXTOID, BOOLOID},
	NULL,
};
static Statement purge = {"select taskq_private.purge($1)", 1, {INT4OID}, NULL};

static const Queue *
queue_to_control(FunctionCallInfo fcinfo, const char *function)
{
	const Queue *queue;

	client_call(function);
	queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
	queue_require(queue, PRIVILEGE_CONTROL);
	return queue;
}

static bool
set_paused(FunctionCallInfo fcinfo, const char *function, bool paused)
{
	Datum values[2];
	Datum changed;
	bool isnull;

	(void) queue_to_control(fcinfo, function);
	values[0] = PG_GETARG_DATUM(0);
	values[1] = BoolGetDatum(paused);
	return sql_as_owner(&pause_or_resume, values, NULL, &changed, &isnull, 1) &&
		   DatumGetBool(changed);
}

PG_FUNCTION_INFO_V1(taskq_pause_queue);
Datum
taskq_pause_queue(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(set_paused(fcinfo, "taskq.pause_queue()", true));
}

PG_FUNCTION_INFO_V1(taskq_resume_queue);
Datum
taskq_resume_queue(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(set_paused(fcinfo, "taskq.resume_queue()", false));
}

PG_FUNCTION_INFO_V1(taskq_purge_queue);
Datum
taskq_purge_queue(PG_FUNCTION_ARGS)
{
	Datum id = Int32GetDatum(queue_to_control(fcinfo, "taskq.purge_queue()")->id);
	Datum purged = 0;
	bool isnull;

	(void) sql_as_owner(&purge, &id, NULL, &purged, &isnull, 1);
	PG_RETURN_DATUM(purged);
}

PG_FUNCTION_INFO_V1(taskq_queues_changed);
Datum
taskq_queues_changed(PG_FUNCTION_ARGS)
{
	CacheInvalidateRelcacheByRelid(catalog_relation("queue"));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_check_url);
Datum
taskq_check_url(PG_FUNCTION_ARGS)
{
	text *url = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);

	PG_RETURN_TEXT_P(cstring_to_text(url_to_ascii(url)));
}

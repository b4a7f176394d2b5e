/*
 * queue_calls.c
 *		Functions on queues whose work is SQL: create, alter, pause, resume, purge, subscribe,
 *		unsubscribe.
 *
 * Each function checks the privilege of the current user, and then runs a private SQL function
 * as taskq_owner.  A SECURITY DEFINER function could not check the privilege, because inside
 * it the current user is the owner.  For the same reason create_queue() and alter_queue() are here:
 * they pass on which role has called, because the calls among the follow-ups are made as this role.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"

#include "base/arg.h"
#include "base/catalog.h"
#include "base/sql.h"
#include "tables/grant.h"
#include "tables/queue.h"

#define MAX_KINDS 100 /* of one subscription */

static Statement pause_queue = {"select taskq_private.pause($1, true)", 1, {TEXTOID}, NULL};
static Statement resume_queue = {"select taskq_private.pause($1, false)", 1, {TEXTOID}, NULL};
static Statement purge_queue = {
	"select taskq_private.purge($1, $2)", 2, {TEXTOID, INT4OID}, NULL};
static Statement subscribe = {
	"select taskq_private.subscribe($1, $2, $3)", 3, {TEXTOID, TEXTOID, TEXTARRAYOID}, NULL};
static Statement unsubscribe = {
	"select taskq_private.unsubscribe($1, $2)", 2, {TEXTOID, TEXTOID}, NULL};

/* The parameters of create_queue() and alter_queue(), and the role that calls. */
#define SETTINGS                                                                            \
	TEXTOID, TEXTOID, TEXTOID, INTERVALOID, TEXTOID, INTERVALOID, INTERVALOID, INTERVALOID, \
		BOOLOID, TEXTOID, BOOLOID, BOOLOID, JSONBOID, JSONBOID, BOOLOID, TEXTOID, BOOLOID,  \
		TEXTARRAYOID, OIDOID
#define NSETTINGS 19

static Statement make_queue = {
	"select taskq_private.make_queue($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, "
	"$15, $16, $17, $18, $19)",
	NSETTINGS,
	{SETTINGS},
	NULL,
};
static Statement change_queue = {
	"select taskq_private.change_queue($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
	"$14, $15, $16, $17, $18, $19)",
	NSETTINGS,
	{SETTINGS},
	NULL,
};

PG_FUNCTION_INFO_V1(taskq_create_queue);
Datum
taskq_create_queue(PG_FUNCTION_ARGS)
{
	(void) sql_pass_on_with(fcinfo, &make_queue, ObjectIdGetDatum(GetUserId()));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_alter_queue);
Datum
taskq_alter_queue(PG_FUNCTION_ARGS)
{
	(void) sql_pass_on_with(fcinfo, &change_queue, ObjectIdGetDatum(GetUserId()));
	PG_RETURN_VOID();
}

/* The queue that argument n names, which the caller may control. */
static const Queue *
controlled(FunctionCallInfo fcinfo, int n, const char *name)
{
	const Queue *queue = queue_by_name(arg_name(fcinfo, n, name));

	queue_require(queue, PRIVILEGE_CONTROL);
	return queue;
}

static Datum
control(FunctionCallInfo fcinfo, const char *function, Statement *statement)
{
	client_call(function);
	queue_refuse_topic(controlled(fcinfo, 0, "queue"));
	return sql_pass_on(fcinfo, statement);
}

/* A call about a topic and a queue. */
static Datum
control_both(FunctionCallInfo fcinfo, const char *function, Statement *statement)
{
	client_call(function);
	require_argument(fcinfo, 0, "topic");
	(void) controlled(fcinfo, 0, "topic");
	(void) controlled(fcinfo, 1, "queue");
	return sql_pass_on(fcinfo, statement);
}

PG_FUNCTION_INFO_V1(taskq_pause_queue);
Datum
taskq_pause_queue(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(control(fcinfo, "taskq.pause_queue()", &pause_queue));
}

PG_FUNCTION_INFO_V1(taskq_resume_queue);
Datum
taskq_resume_queue(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(control(fcinfo, "taskq.resume_queue()", &resume_queue));
}

PG_FUNCTION_INFO_V1(taskq_purge_queue);
Datum
taskq_purge_queue(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(1))
		(void) arg_int32(fcinfo, 1, "max_tasks", 1, 1, TASKQ_MAX_SUBMIT);
	PG_RETURN_DATUM(control(fcinfo, "taskq.purge_queue()", &purge_queue));
}

PG_FUNCTION_INFO_V1(taskq_subscribe);
Datum
taskq_subscribe(PG_FUNCTION_ARGS)
{
	int count;

	if (!PG_ARGISNULL(2))
		(void) arg_names(fcinfo, 2, "kinds", MAX_KINDS, &count);
	(void) control_both(fcinfo, "taskq.subscribe()", &subscribe);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_unsubscribe);
Datum
taskq_unsubscribe(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(control_both(fcinfo, "taskq.unsubscribe()", &unsubscribe));
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

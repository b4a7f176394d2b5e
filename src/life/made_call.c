/*
 * made_call.c
 *		What the process that makes a call does for its task.
 *
 * The process has the role as which it calls.  What it does for taskq it does here, as taskq_owner
 * and with a pinned search_path, before the function begins and after it has returned.
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/arg.h"
#include "base/durability.h"
#include "base/errors.h"
#include "base/jsonmake.h"
#include "base/sql.h"
#include "core/outcome.h"
#include "life/finish.h"
#include "life/lease.h"
#include "life/made_call.h"
#include "tables/queue.h"
#include "tables/rows.h"

/* Longer texts in the detail of a failed attempt are cut. */
#define DETAIL_TEXT_MAX 1000

#define EXCEPTION "exception" /* class of an error of the function */

static void
begin(OwnerRights *before)
{
	PushActiveSnapshot(GetLatestSnapshot());
	sql_begin_as_owner(before, SECURITY_LOCAL_USERID_CHANGE);
	executor_call("taskq call");
}

static void
end(const OwnerRights *before)
{
	sql_end_as(before);
	PopActiveSnapshot();
}

bool
made_call_read(int64 id, int64 token, CallParts *parts)
{
	OwnerRights before;
	Row lease;
	Row task;
	bool there;

	begin(&before);
	there = row_read(HOT_LEASE, id, &lease) && ROW_INT64(&lease, LEASE_TOKEN) == token &&
			row_read(HOT_TASK, id, &task) && !task.nulls[TASK_CALL];
	if (there)
		call_read(PointerGetDatum(PG_DETOAST_DATUM_COPY(task.values[TASK_CALL])), parts);
	end(&before);
	return there;
}

static void
raise_lost(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
			 errmsg("the lease of task " INT64_FORMAT " is lost", id)));
}

/* The function may have made the transaction read-only. */
void
made_call_finish(int64 id, int64 token, Datum result)
{
	OwnerRights before;
	const Queue *queue;
	Row lease;

	XactReadOnly = false;
	if (result != 0)
		check_json(result, "result");
	begin(&before);
	durability_begin_weak();
	if (lease_take(id, token, &lease, true) != ROW_DONE)
		raise_lost(id);
	task_finish(&lease, result, result == 0);
	queue = queue_by_id(ROW_INT32(&lease, LEASE_QUEUE_ID));
	if (queue != NULL && !queue->durable_finish)
		durability_end_weak();
	end(&before);
}

/* ---- failures --------------------------------------------------------------------------- */

static void
add_part(JsonbParseState **state, const char *name, const char *text)
{
	if (text != NULL)
		json_add_string(state, name,
						pnstrdup(text, pg_mbcliplen(text, strlen(text), DETAIL_TEXT_MAX)));
}

static Datum
detail_of(const ErrorData *error)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	add_part(&state, "sqlstate", unpack_sql_state(error->sqlerrcode));
	add_part(&state, "detail", error->detail);
	add_part(&state, "hint", error->hint);
	add_part(&state, "context", error->context);
	add_part(&state, "schema", error->schema_name);
	add_part(&state, "table", error->table_name);
	add_part(&state, "column", error->column_name);
	add_part(&state, "constraint", error->constraint_name);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

static text *
error_text(const char *message)
{
	return cstring_to_text_with_len(message,
									pg_mbcliplen(message, strlen(message), TASKQ_MAX_ERROR));
}

static void
fail(int64 id, int64 token, const Failure *failure)
{
	OwnerRights before;
	Row lease;

	begin(&before);
	if (lease_take(id, token, &lease, true) == ROW_DONE)
		(void) task_fail(&lease, failure);
	end(&before);
}

void
made_call_fail(int64 id, int64 token, const ErrorData *error, bool timed_out)
{
	Failure failure = {
		.class = timed_out ? tq_class_name(TQ_CLASS_TIMEOUT) : EXCEPTION,
		.error = error_text(error->message != NULL ? error->message : ""),
		.detail = detail_of(error),
		.permanent = error->sqlerrcode == ERRCODE_TASKQ_DO_NOT_RETRY,
		.retry_in_us = -1,
	};

	fail(id, token, &failure);
}

void
made_call_refuse(int64 id, int64 token, const char *reason)
{
	Failure failure = {
		.class = CALL_REFUSED,
		.error = cstring_to_text(reason),
		.permanent = true,
	};

	fail(id, token, &failure);
}

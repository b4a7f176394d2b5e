/*
 * style.c
 *		Headers that handlers written for other systems read.
 *
 * Miyamoto has two (miyamoto/dispatcher.py).  Those of App Engine's task queue and of Cloud Tasks
 * have the same names behind their prefix, and nearly the same meanings: docs/http.md tells each
 * one with its source.  Some of them are about earlier attempts, so a retry reads those.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/string.h"
#include "utils/builtins.h"

#include "base/sql.h"
#include "core/request.h"
#include "core/style.h"
#include "push/headers.h"
#include "push/style.h"
#include "tables/rows.h"

/*
 * What became of the attempts before.  App Engine does not count those for which it had no
 * instance (503), Cloud Tasks none with a status of 5xx.
 */
static Statement select_before = {
	"select count(*) filter (where a.status <> 503), count(*) filter (where a.status < 500), "
	"(array_agg(a.status order by a.attempt desc, a.ended_at desc))[1], "
	"(array_agg(a.class order by a.attempt desc, a.ended_at desc))[1] "
	"from taskq_private.attempt a where a.task_id = $1",
	1,
	{INT8OID},
	NULL,
};

enum BeforeColumn
{
	BEFORE_ANSWERED,
	BEFORE_ACCEPTED,
	BEFORE_STATUS,
	BEFORE_CLASS,
	BEFORE_NCOLUMNS
};

static List *
miyamoto_lines(const Queue *queue, const Claim *claim)
{
	return list_make2(psprintf("X-Task: " INT64_FORMAT, ROW_INT64(&claim->task, TASK_ID)),
					  psprintf("X-Queue: %s", header_queue_value(queue)));
}

/* Whole seconds: a client library for App Engine reads no other number. */
static int64
due_seconds(const Row *task)
{
	int due = task->nulls[TASK_RETRY_AT] ? TASK_RUN_AT : TASK_RETRY_AT;

	return timestamptz_to_time_t(ROW_TIME(task, due));
}

static char *
name_of(const Row *task)
{
	return task->nulls[TASK_KEY] ? psprintf(INT64_FORMAT, ROW_INT64(task, TASK_ID))
								 : header_key_value(task);
}

/* A worker may have given the class; one that is no header value is left out. */
static List *
add_reason(List *lines, const char *prefix, const Datum *before, const bool *isnull)
{
	char *class;

	if (!isnull[BEFORE_STATUS])
		return lappend(lines, psprintf("%sTaskRetryReason: HTTP status %d", prefix,
									   DatumGetInt32(before[BEFORE_STATUS])));
	if (isnull[BEFORE_CLASS])
		return lines;
	class = TextDatumGetCString(before[BEFORE_CLASS]);
	if (!pg_is_ascii(class) || tq_header_invalid("TaskRetryReason", class) != NULL)
		return lines;
	return lappend(lines, psprintf("%sTaskRetryReason: %s", prefix, class));
}

/* Adds how often a handler has answered before, and the last answer. */
static List *
add_before(List *lines, const Queue *queue, const Claim *claim)
{
	const char *prefix = tq_style_prefix(queue->header_style);
	int executions = queue->header_style == TQ_STYLE_APPENGINE ? BEFORE_ANSWERED : BEFORE_ACCEPTED;
	Datum before[BEFORE_NCOLUMNS] = {0};
	bool isnull[BEFORE_NCOLUMNS] = {false, false, true, true};
	Datum id = claim->task.values[TASK_ID];

	if (ROW_INT32(&claim->lease, LEASE_ATTEMPT) > 1)
		(void) sql_as_owner(&select_before, &id, NULL, before, isnull, BEFORE_NCOLUMNS);
	lines = lappend(lines, psprintf("%sTaskExecutionCount: " INT64_FORMAT, prefix,
									DatumGetInt64(before[executions])));
	if (!isnull[BEFORE_STATUS])
		lines = lappend(lines, psprintf("%sTaskPreviousResponse: %d", prefix,
										DatumGetInt32(before[BEFORE_STATUS])));
	return add_reason(lines, prefix, before, isnull);
}

static List *
google_lines(const Queue *queue, const Claim *claim)
{
	const char *prefix = tq_style_prefix(queue->header_style);
	List *lines = NIL;

	lines = lappend(lines, psprintf("%sQueueName: %s", prefix, header_queue_value(queue)));
	lines = lappend(lines, psprintf("%sTaskName: %s", prefix, name_of(&claim->task)));
	lines = lappend(lines, psprintf("%sTaskRetryCount: %d", prefix,
									ROW_INT32(&claim->lease, LEASE_ATTEMPT) - 1));
	lines = lappend(lines, psprintf("%sTaskETA: " INT64_FORMAT, prefix, due_seconds(&claim->task)));
	return add_before(lines, queue, claim);
}

List *
style_lines(const Queue *queue, const Claim *claim)
{
	switch (queue->header_style)
	{
		case TQ_STYLE_TASKQ:
			return NIL;
		case TQ_STYLE_MIYAMOTO:
			return miyamoto_lines(queue, claim);
		case TQ_STYLE_APPENGINE:
		case TQ_STYLE_CLOUDTASKS:
			break;
	}
	return google_lines(queue, claim);
}

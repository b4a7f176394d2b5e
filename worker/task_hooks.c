/*
 * task_hooks.c
 *		The functions of --before and --after around the requests of a worker.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/json.h"
#include "client/utf8.h"
#include "core/protocol.h"
#include "core/text.h"
#include "task_hooks.h"

#define SKIP_SQL "select taskq.finish($1, $2)"
#define FAIL_SQL "select taskq.fail($1, $2, $3, class => 'before')"

/* Columns of the report: whether the task was ours, NULL if it is busy; then what is not read. */
#define REPORT_BEGIN "select r.ok, case when r.ok then "
#define REPORT_END   " end from (" TQ_SQL_REPORT " offset 0) r (ok)"
#define TASK         "$13::jsonb"
#define OUTCOME      "$14::jsonb"

const char task_hooks_report[] = "report_after";

/* A task of which the functions after will be told. */
typedef struct Known
{
	struct Known *next;
	int64_t id;
	char *object;
} Known;

struct task_hooks
{
	char *before; /* SQL; NULL: there are none, likewise the next */
	char *report;
	Known *known;
	void (*log)(const char *line);
};

static bool
make_report(task_hooks *h, const tq_hooks *hooks)
{
	char *after = tq_hooks_after_sql(hooks, TASK, OUTCOME);

	if (after == NULL || asprintf(&h->report, "%s%s%s", REPORT_BEGIN, after, REPORT_END) < 0)
		h->report = NULL;
	free(after);
	return h->report != NULL;
}

task_hooks *
task_hooks_new(const tq_hooks *hooks, void (*log)(const char *line))
{
	task_hooks *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->log = log;
	if (hooks->nbefore > 0)
		h->before = tq_hooks_before_sql(hooks);
	if ((hooks->nbefore == 0 || h->before != NULL) && (hooks->nafter == 0 || make_report(h, hooks)))
		return h;
	task_hooks_free(h);
	return NULL;
}

int
task_hooks_statements(const task_hooks *h, tq_statement *statements)
{
	int n = 0;

	if (h->before != NULL)
	{
		statements[n++] = (tq_statement){"before", h->before, 1};
		statements[n++] = (tq_statement){"skip", SKIP_SQL, 2};
		statements[n++] = (tq_statement){"fail", FAIL_SQL, 3};
	}
	if (h->report != NULL)
		statements[n++] = (tq_statement){task_hooks_report, h->report, TQ_REPORT_NARGUMENTS + 2};
	return n;
}

/* ---- tasks and outcomes as JSON -------------------------------------------------- */

static bool
is_text(const char *bytes, size_t len)
{
	const char *at = bytes;

	while (at < bytes + len)
	{
		size_t n = *at != '\0' ? tq_utf8_length(at, bytes + len) : 0;

		if (n == 0)
			return false;
		at += n;
	}
	return true;
}

/* A body that is no text is null, as one that is not there.  The caller frees the object. */
static char *
object_of(const tq_task *task)
{
	char *method = tq_json_string(task->method, strlen(task->method));
	char *url = tq_json_string(task->url, strlen(task->url));
	char *body = task->body != NULL && is_text(task->body, task->body_len)
					 ? tq_json_string(task->body, task->body_len)
					 : strdup("null");
	char *object = NULL;

	if (method == NULL || url == NULL || body == NULL ||
		asprintf(&object, "{\"id\":\"%" PRId64 "\",\"method\":%s,\"url\":%s,\"body\":%s}", task->id,
				 method, url, body) < 0)
		object = NULL;
	free(method);
	free(url);
	free(body);
	return object;
}

char *
task_hooks_outcome(const tq_result *result)
{
	const tq_response *r = result->response;
	char *error = tq_json_bytes(r->error, strlen(r->error));
	char *outcome = NULL;
	char status[16] = "null";

	if (r->status != 0)
		snprintf(status, sizeof(status), "%d", r->status);
	if (error == NULL ||
		asprintf(&outcome, "{\"outcome\":\"%s\",\"class\":\"%s\",\"status\":%s,\"error\":%s}",
				 result->outcome.verdict == TQ_SUCCESS ? "finished" : "failed",
				 tq_class_name(r->cls), status, r->error[0] != '\0' ? error : "null") < 0)
		outcome = NULL;
	free(error);
	return outcome;
}

/* ---- before ------------------------------------------------------------------------- */

static PGresult *
run_prepared(tq_connection *c, const char *statement, int n, const char *const *values)
{
	return PQexecPrepared(tq_connection_raw(c), statement, n, values, NULL, NULL, 0);
}

/* Ends a task that is not sent: with an error as failed, without one as finished. */
static void
end_task(tq_connection *c, const tq_task *task, const char *error)
{
	char id[24];
	char token[24];
	const char *values[] = {id, token, error};
	PGresult *result;

	snprintf(id, sizeof(id), "%" PRId64, task->id);
	snprintf(token, sizeof(token), "%" PRId64, task->token);
	result =
		error != NULL ? run_prepared(c, "fail", 3, values) : run_prepared(c, "skip", 2, values);
	if (PQresultStatus(result) != PGRES_TUPLES_OK && tq_connection_is_up(c))
		tq_connection_complain(c, result);
	PQclear(result);
}

/* What the functions before made of it. */
static bool
take_before(task_hooks *h, tq_connection *c, const tq_task *task, const PGresult *answer)
{
	char error[400];
	char line[500];

	if (PQresultStatus(answer) == PGRES_TUPLES_OK && !PQgetisnull(answer, 0, 0))
	{
		bool sent = strcmp(PQgetvalue(answer, 0, 0), "t") == 0;

		if (!sent)
			end_task(c, task, NULL);
		return sent;
	}
	/* Of a connection that was lost the lease gives the task back. */
	if (!tq_connection_is_up(c))
		return false;
	snprintf(error, sizeof(error), "a function before failed: %.300s",
			 PQresultStatus(answer) == PGRES_TUPLES_OK
				 ? "it returned NULL"
				 : PQresultErrorField(answer, PG_DIAG_MESSAGE_PRIMARY));
	snprintf(line, sizeof(line), "task %" PRId64 ": ", task->id);
	tq_text_printable(error, line + strlen(line), sizeof(line) - strlen(line));
	h->log(line);
	tq_text_printable(error, error, sizeof(error));
	end_task(c, task, error);
	return false;
}

static void
keep_known(task_hooks *h, int64_t id, char *object)
{
	Known *known = malloc(sizeof(*known));

	if (known == NULL)
	{
		free(object);
		return;
	}
	*known = (Known){h->known, id, object};
	h->known = known;
}

bool
task_hooks_after(const task_hooks *h)
{
	return h->report != NULL;
}

bool
task_hooks_admit(task_hooks *h, tq_connection *c, const tq_task *task)
{
	char *object;
	bool sent;

	if (h->before == NULL && h->report == NULL)
		return true;
	object = object_of(task);
	sent = object != NULL;
	if (sent && h->before != NULL)
	{
		const char *values[] = {object};
		PGresult *answer = run_prepared(c, "before", 1, values);

		sent = take_before(h, c, task, answer);
		PQclear(answer);
	}
	if (sent && h->report != NULL)
		keep_known(h, task->id, object);
	else
		free(object);
	return sent;
}

/* ---- after -------------------------------------------------------------------------- */

const char *
task_hooks_object(const task_hooks *h, int64_t id)
{
	const Known *known;

	for (known = h->known; known != NULL; known = known->next)
		if (known->id == id)
			return known->object;
	return NULL;
}

void
task_hooks_forget(task_hooks *h, int64_t id)
{
	Known **at = &h->known;
	Known *known;

	while (*at != NULL && (*at)->id != id)
		at = &(*at)->next;
	known = *at;
	if (known == NULL)
		return;
	*at = known->next;
	free(known->object);
	free(known);
}

void
task_hooks_free(task_hooks *h)
{
	if (h == NULL)
		return;
	while (h->known != NULL)
		task_hooks_forget(h, h->known->id);
	free(h->before);
	free(h->report);
	free(h);
}

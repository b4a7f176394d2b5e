/*
 * store_pq.c
 *		The engine's store on a connection to the database.
 *
 * Results go out in a pipeline, one transaction for REPORT_CHUNK of them: a
 * round trip for each would make the distance to the database the limit.
 */
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/protocol.h"
#include "core/text.h"
#include "store_pq.h"

#define REPORT_CHUNK 64

#define STATEMENT_TIMEOUT "10s"
#define LOCK_TIMEOUT      "1s"

struct tq_pq
{
	tq_pq_config config;
	char *queues; /* config's as an array literal; NULL: all */
	tq_connection *connection;
	bool disarmed; /* the database is not armed, and the log says so */
};

typedef enum pq_statement
{
	CLAIM,
	NEXT_DUE,
	REPORT,
	EXTEND,
	RELEASE,
	ARMED,
	QUEUES,
	NSTATEMENTS
} pq_statement;

static const tq_statement statements[NSTATEMENTS] = {
	[CLAIM] = {"claim", TQ_SQL_CLAIM, 3},
	[NEXT_DUE] = {"next_due", TQ_SQL_NEXT_DUE, 2},
	[REPORT] = {"report", TQ_SQL_REPORT, TQ_REPORT_NARGUMENTS},
	[EXTEND] = {"extend", TQ_SQL_EXTEND, 2},
	[RELEASE] = {"release", TQ_SQL_RELEASE, 3},
	[ARMED] = {"armed", TQ_SQL_ARMED, 0},
	[QUEUES] = {"queues", TQ_SQL_QUEUES, 1},
};

/* Listens to each queue that is served; queues that are made later are found by polling. */
static bool
listen_to_queues(tq_connection *c, void *arg)
{
	const tq_pq *pq = arg;
	const char *values[1] = {pq->queues};
	PGresult *names = tq_connection_run(c, QUEUES, values);
	bool ok = names != NULL;
	int i;

	for (i = 0; ok && i < PQntuples(names); i++)
	{
		char channel[256];

		snprintf(channel, sizeof(channel), "taskq_%s", PQgetvalue(names, i, 0));
		ok = tq_connection_listen(c, channel);
	}
	if (ok && i == 0)
		pq->config.log("there is no queue to serve yet: none of the named queues, or of all, is "
					   "external and granted to this role");
	PQclear(names);
	return ok;
}

/* ---- statements ------------------------------------------------------------------ */

static int64_t
bigint(const PGresult *result, int row, int column)
{
	uint64_t value;

	memcpy(&value, PQgetvalue(result, row, column), sizeof(value));
	return (int64_t) be64toh(value);
}

/* malloc'd; NULL: out of memory. */
static char *
copy_of(const PGresult *result, int row, int column)
{
	size_t len = PQgetlength(result, row, column);
	char *copy = malloc(len + 1);

	if (copy != NULL)
	{
		memcpy(copy, PQgetvalue(result, row, column), len);
		copy[len] = '\0';
	}
	return copy;
}

/* The task is complete enough for tq_task_free() at every moment. */
static bool
fill_task(tq_task *task, const PGresult *result, int row)
{
	task->id = bigint(result, row, TQ_CLAIM_ID);
	task->token = bigint(result, row, TQ_CLAIM_TOKEN);
	task->lease_ms = bigint(result, row, TQ_CLAIM_LEASE_MS);
	task->timeout_ms = bigint(result, row, TQ_CLAIM_TIMEOUT_MS);
	task->method = copy_of(result, row, TQ_CLAIM_METHOD);
	task->url = copy_of(result, row, TQ_CLAIM_URL);
	if (task->method == NULL || task->url == NULL ||
		!tq_task_set_headers(task, PQgetvalue(result, row, TQ_CLAIM_HEADERS)))
		return false;
	if (PQgetisnull(result, row, TQ_CLAIM_BODY))
		return true;
	task->body = copy_of(result, row, TQ_CLAIM_BODY);
	task->body_len = PQgetlength(result, row, TQ_CLAIM_BODY);
	return task->body != NULL;
}

/* A task for which there is no memory is left to its lease. */
static int
take_tasks(const PGresult *result, int max, tq_task **tasks)
{
	int n = 0;
	int row;

	for (row = 0; row < PQntuples(result) && n < max; row++)
	{
		tq_task *task = calloc(1, sizeof(*task));

		if (task != NULL && fill_task(task, result, row))
			tasks[n++] = task;
		else
			tq_task_free(task);
	}
	return n;
}

/* 1 armed, 0 not, -1 the question failed. */
static int
is_armed(tq_pq *pq)
{
	PGresult *result = tq_connection_run(pq->connection, ARMED, NULL);
	bool null;
	bool armed;

	if (result == NULL)
		return -1;
	null = PQntuples(result) == 0 || PQgetisnull(result, 0, 0);
	armed = !null && *PQgetvalue(result, 0, 0) != 0;
	PQclear(result);
	/* One that never was, before the first submit, is nothing to speak of. */
	if (!armed && !null && !pq->disarmed)
		pq->config.log("nothing is sent: the database is not armed, see taskq.arm()");
	if (armed && pq->disarmed)
		pq->config.log("the database is armed");
	pq->disarmed = !armed && !null;
	return armed;
}

static int
claim(void *self, int max, tq_task **tasks, tq_due *due)
{
	tq_pq *pq = self;
	char number[16];
	const char *values[3] = {number, pq->queues, pq->config.name};
	PGresult *result;
	int armed;
	int n;

	if (!tq_connection_is_up(pq->connection) || (armed = is_armed(pq)) < 0)
		return -1;
	if (!armed)
		return 0;
	snprintf(number, sizeof(number), "%d", max);
	result = tq_connection_run(pq->connection, CLAIM, values);
	if (result == NULL)
		return -1;
	n = take_tasks(result, max, tasks);
	PQclear(result);
	if (n < max && (result = tq_connection_run(pq->connection, NEXT_DUE, &values[1])) != NULL)
	{
		if (!PQgetisnull(result, 0, TQ_NEXT_DUE_MS))
			due->next_ms = bigint(result, 0, TQ_NEXT_DUE_MS);
		due->limited = *PQgetvalue(result, 0, TQ_NEXT_DUE_LIMITED) != 0;
		PQclear(result);
	}
	return n;
}

/* ---- reports ----------------------------------------------------------------------- */

/* A result's values; pointers are into it and into the buffers. */
typedef struct report_values
{
	char id[24];
	char token[24];
	char status[16];
	char elapsed[32];
	char error[256];
	char retry_after[32];
	char times[TQ_TIMES_JSON_SIZE];
	const char *value[TQ_REPORT_NARGUMENTS];
	int length[TQ_REPORT_NARGUMENTS];
	int format[TQ_REPORT_NARGUMENTS];
} report_values;

static void
fill_report(const tq_result *result, bool bare, report_values *v)
{
	const tq_response *r = result->response;

	memset(v, 0, sizeof(*v));
	snprintf(v->id, sizeof(v->id), "%" PRId64, result->id);
	snprintf(v->token, sizeof(v->token), "%" PRId64, result->token);
	snprintf(v->status, sizeof(v->status), "%d", r->status);
	snprintf(v->elapsed, sizeof(v->elapsed), "%" PRId64 " us",
			 r->elapsed_us > 0 ? r->elapsed_us : 0);
	snprintf(v->retry_after, sizeof(v->retry_after), "%" PRId64 " ms",
			 result->outcome.retry_after_ms);
	tq_text_printable(bare ? "the response could not be stored" : r->error, v->error,
					  sizeof(v->error));
	tq_times_json(&r->times, v->times);
	v->value[TQ_REPORT_ID] = v->id;
	v->value[TQ_REPORT_TOKEN] = v->token;
	v->value[TQ_REPORT_VERDICT] = tq_verdict_name(result->outcome.verdict);
	v->value[TQ_REPORT_CLASS] = tq_class_name(r->cls);
	v->value[TQ_REPORT_STATUS] = r->status != 0 ? v->status : NULL;
	v->value[TQ_REPORT_HEADERS] = bare ? NULL : r->headers;
	v->length[TQ_REPORT_HEADERS] = (int) r->headers_len;
	v->value[TQ_REPORT_BODY] = bare ? NULL : r->body;
	v->length[TQ_REPORT_BODY] = (int) r->body_len;
	v->format[TQ_REPORT_HEADERS] = v->format[TQ_REPORT_BODY] = 1;
	v->value[TQ_REPORT_TRUNCATED] = r->truncated || bare ? "t" : "f";
	v->value[TQ_REPORT_ELAPSED] = v->elapsed;
	v->value[TQ_REPORT_ERROR] = v->error[0] != '\0' ? v->error : NULL;
	v->value[TQ_REPORT_RETRY_AFTER] = result->outcome.retry_after_ms >= 0 ? v->retry_after : NULL;
	v->value[TQ_REPORT_TIMES] = v->times;
}

static bool
send_report(tq_pq *pq, const tq_result *result, bool bare)
{
	PGconn *conn = tq_connection_raw(pq->connection);
	report_values v;

	fill_report(result, bare, &v);
	return PQsendQueryPrepared(conn, statements[REPORT].name, TQ_REPORT_NARGUMENTS, v.value,
							   v.length, v.format, 1);
}

/* What one result of the pipeline, or of one report, says; NULL in *sqlstate if it went well. */
static void
take_report(tq_pq *pq, PGresult *answer, tq_result *result, char sqlstate[6])
{
	PGconn *conn = tq_connection_raw(pq->connection);

	if (PQresultStatus(answer) == PGRES_TUPLES_OK)
	{
		if (result != NULL)
			result->busy = PQgetisnull(answer, 0, 0);
	}
	else if (PQresultStatus(answer) == PGRES_FATAL_ERROR && sqlstate[0] == '\0')
	{
		const char *state = PQresultErrorField(answer, PG_DIAG_SQLSTATE);

		snprintf(sqlstate, 6, "%s", state != NULL ? state : "08006");
		if (PQstatus(conn) == CONNECTION_OK)
			tq_connection_complain(pq->connection, answer);
	}
	PQclear(answer);
}

/* Reads what was asked for to the end of the pipeline: n reports between begin and commit. */
static void
read_pipeline(tq_pq *pq, tq_result *results, int n, char sqlstate[6])
{
	PGconn *conn = tq_connection_raw(pq->connection);
	int command = 0;
	PGresult *answer;

	while (PQstatus(conn) == CONNECTION_OK)
	{
		answer = PQgetResult(conn);
		if (answer == NULL)
		{
			command++; /* the next command's answers follow */
			continue;
		}
		if (PQresultStatus(answer) == PGRES_PIPELINE_SYNC)
		{
			PQclear(answer);
			break;
		}
		take_report(pq, answer, command >= 1 && command <= n ? &results[command - 1] : NULL,
					sqlstate);
	}
}

/* One transaction; *sqlstate is empty if it was committed. */
static void
report_chunk(tq_pq *pq, tq_result *results, int n, char sqlstate[6])
{
	PGconn *conn = tq_connection_raw(pq->connection);
	bool sent;
	int i;

	sqlstate[0] = '\0';
	sent = PQenterPipelineMode(conn) &&
		   PQsendQueryParams(conn, "begin", 0, NULL, NULL, NULL, NULL, 0);
	for (i = 0; sent && i < n; i++)
		sent = send_report(pq, &results[i], false);
	sent = sent && PQsendQueryParams(conn, "commit", 0, NULL, NULL, NULL, NULL, 0) &&
		   PQpipelineSync(conn);
	if (sent)
		read_pipeline(pq, results, n, sqlstate);
	if (!sent || PQstatus(conn) != CONNECTION_OK || !PQexitPipelineMode(conn))
	{
		strcpy(sqlstate, "08006");
		if (PQstatus(conn) == CONNECTION_OK)
			tq_connection_drop(pq->connection, "reports could not be sent");
		return;
	}
	if (sqlstate[0] != '\0')
		PQclear(PQexec(conn, "rollback"));
}

static void
report_one(tq_pq *pq, tq_result *result, bool bare, char sqlstate[6])
{
	PGconn *conn = tq_connection_raw(pq->connection);
	PGresult *answer;

	sqlstate[0] = '\0';
	if (!send_report(pq, result, bare))
		strcpy(sqlstate, "08006");
	while ((answer = PQgetResult(conn)) != NULL)
		take_report(pq, answer, result, sqlstate);
}

/*
 * Writes one result by itself, at last without the peer's contribution.  False
 * only if trying again later may help; one that cannot be written is given up,
 * and its lease brings the task back.
 */
static bool
report_alone(tq_pq *pq, tq_result *result)
{
	char sqlstate[6];
	char line[100];

	report_one(pq, result, false, sqlstate);
	if (sqlstate[0] != '\0' && !tq_sqlstate_may_pass(sqlstate))
		report_one(pq, result, true, sqlstate);
	if (sqlstate[0] == '\0')
		return true;
	if (tq_sqlstate_may_pass(sqlstate))
		return false;
	snprintf(line, sizeof(line), "the result of task %" PRId64 " is given up", result->id);
	pq->config.log(line);
	return true;
}

static bool
report_each(tq_pq *pq, tq_result *results, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (!report_alone(pq, &results[i]))
			return false;
	return true;
}

/* What was committed before a failure is reported again with the rest, and changes nothing then. */
static int
report(void *self, tq_result *results, int n)
{
	tq_pq *pq = self;
	int done;

	for (done = 0; done < n; done += REPORT_CHUNK)
	{
		int chunk = n - done < REPORT_CHUNK ? n - done : REPORT_CHUNK;
		char sqlstate[6];

		if (!tq_connection_is_up(pq->connection))
			return -1;
		report_chunk(pq, results + done, chunk, sqlstate);
		if (sqlstate[0] == '\0')
			continue;
		if (tq_sqlstate_may_pass(sqlstate) || !tq_connection_is_up(pq->connection) ||
			!report_each(pq, results + done, chunk))
			return -1;
	}
	return n;
}

/* ---- leases -------------------------------------------------------------------------- */

/* An array literal of the ids, or of the tokens; malloc'd. */
static char *
array_of(const tq_lease *leases, int n, bool tokens)
{
	char *array = malloc((size_t) n * 21 + 3);
	size_t len = 0;
	int i;

	if (array == NULL)
		return NULL;
	array[len++] = '{';
	for (i = 0; i < n; i++)
		len += sprintf(array + len, "%s%" PRId64, i > 0 ? "," : "",
					   tokens ? leases[i].token : leases[i].id);
	strcpy(array + len, "}");
	return array;
}

/* delay: what a release has beside the leases; else NULL.  Returns NULL when it failed. */
static PGresult *
run_on_leases(tq_pq *pq, pq_statement s, const tq_lease *leases, int n, const char *delay)
{
	char *ids = array_of(leases, n, false);
	char *tokens = array_of(leases, n, true);
	const char *values[3] = {ids, tokens, delay};
	PGresult *result = NULL;

	if (ids != NULL && tokens != NULL && tq_connection_is_up(pq->connection))
		result = tq_connection_run(pq->connection, s, values);
	free(ids);
	free(tokens);
	return result;
}

/* The lease with the id in that row; NULL: it is none of these. */
static tq_lease *
lease_in(const PGresult *ids, int row, tq_lease *leases, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (leases[i].id == bigint(ids, row, 0))
			return &leases[i];
	return NULL;
}

static int
extend(void *self, tq_lease *leases, int n)
{
	PGresult *lost = run_on_leases(self, EXTEND, leases, n, NULL);
	tq_lease *lease;
	int row;

	if (lost == NULL)
		return -1;
	for (row = 0; row < PQntuples(lost); row++)
		if ((lease = lease_in(lost, row, leases, n)) != NULL)
			lease->lost = true;
	PQclear(lost);
	return n;
}

static int
release(void *self, tq_lease *leases, int n, int64_t delay_ms)
{
	char delay[32];
	PGresult *busy;
	tq_lease *lease;
	int row;

	snprintf(delay, sizeof(delay), "%" PRId64 " ms", delay_ms);
	busy = run_on_leases(self, RELEASE, leases, n, delay);
	if (busy == NULL)
		return -1;
	for (row = 0; row < PQntuples(busy); row++)
		if ((lease = lease_in(busy, row, leases, n)) != NULL)
			lease->busy = true;
	PQclear(busy);
	return n;
}

tq_store
tq_pq_store(tq_pq *pq)
{
	return (tq_store){claim, report, extend, release, pq};
}

/* ---- coming and going ------------------------------------------------------------------ */

/* Names as an array literal; malloc'd. */
static char *
names_literal(const char *const *names, int n)
{
	size_t size = 3;
	char *literal;
	char *to;
	int i;

	for (i = 0; i < n; i++)
		size += 2 * strlen(names[i]) + 3;
	literal = to = malloc(size);
	if (literal == NULL)
		return NULL;
	*to++ = '{';
	for (i = 0; i < n; i++)
	{
		const char *from;

		if (i > 0)
			*to++ = ',';
		*to++ = '"';
		for (from = names[i]; *from != '\0'; from++)
		{
			if (*from == '"' || *from == '\\')
				*to++ = '\\';
			*to++ = *from;
		}
		*to++ = '"';
	}
	strcpy(to, "}");
	return literal;
}

tq_pq *
tq_pq_new(const tq_pq_config *config)
{
	tq_pq *pq = calloc(1, sizeof(*pq));
	tq_connection_config connection = {
		.conninfo = config->conninfo,
		.program = "taskq-worker",
		.statement_timeout = STATEMENT_TIMEOUT,
		.lock_timeout = LOCK_TIMEOUT,
		.statements = statements,
		.nstatements = NSTATEMENTS,
		.prepare = listen_to_queues,
		.arg = pq,
		.log = config->log};

	if (pq == NULL)
		return NULL;
	pq->config = *config;
	pq->connection = tq_connection_new(&connection);
	if (config->nqueues > 0)
		pq->queues = names_literal(config->queues, config->nqueues);
	if (pq->connection == NULL || (config->nqueues > 0 && pq->queues == NULL))
	{
		tq_pq_free(pq);
		return NULL;
	}
	return pq;
}

tq_connection *
tq_pq_connection(tq_pq *pq)
{
	return pq->connection;
}

void
tq_pq_free(tq_pq *pq)
{
	tq_connection_free(pq->connection);
	free(pq->queues);
	free(pq);
}

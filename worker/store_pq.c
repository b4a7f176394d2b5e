/*
 * store_pq.c
 *		The engine's store on a connection to the database.
 *
 * Results go out together, and the next claim with them, in one transaction and one round
 * trip.  With functions after, each result needs a statement of its own: they go out in a pipeline,
 * one transaction for REPORT_CHUNK of them.
 */
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/array.h"
#include "core/protocol.h"
#include "core/text.h"
#include "outcomes.h"
#include "store_pq.h"
#include "task_hooks.h"

#define REPORT_CHUNK 64
#define MAX_NAMES    (1 << 20) /* bytes of all names of queues */

#define CONNECTION_FAILURE "08006"

#define STATEMENT_TIMEOUT "10s"
#define LOCK_TIMEOUT      "1s"

typedef enum pq_statement
{
	CLAIM,
	NEXT_DUE,
	REPORT,
	REPORT_MANY,
	EXTEND,
	RELEASE,
	QUEUES,
	NSTATEMENTS
} pq_statement;

static const tq_statement statements[NSTATEMENTS] = {
	[CLAIM] = {"claim", TQ_SQL_CLAIM, 3},
	[NEXT_DUE] = {"next_due", TQ_SQL_NEXT_DUE, 2},
	[REPORT] = {"report", TQ_SQL_REPORT, TQ_REPORT_NARGUMENTS},
	[REPORT_MANY] = {"report_many", TQ_SQL_REPORT_MANY, TQ_REPORT_NARGUMENTS},
	[EXTEND] = {"extend", TQ_SQL_EXTEND, 2},
	[RELEASE] = {"release", TQ_SQL_RELEASE, 3},
	[QUEUES] = {"queues", TQ_SQL_QUEUES, 1},
};

struct tq_pq
{
	tq_pq_config config;
	tq_buffer names;
	const char *queues; /* config's as an array literal, in names; NULL: all */
	task_hooks *hooks;
	outcomes outcomes;
	tq_statement statements[NSTATEMENTS + TASK_HOOKS_STATEMENTS];
	int missing; /* of them, when the connection was made */
	tq_connection *connection;
};

/* Says which of the named queues are not among those that are served. */
static void
tell_missing(tq_pq *pq, const PGresult *served)
{
	char line[512];
	int i;
	int row;

	pq->missing = 0;
	for (i = 0; i < pq->config.nqueues; i++)
	{
		char name[128];

		for (row = 0; row < PQntuples(served); row++)
			if (strcmp(PQgetvalue(served, row, 0), pq->config.queues[i]) == 0)
				break;
		if (row < PQntuples(served))
			continue;
		pq->missing++;
		tq_text_printable(pq->config.queues[i], name, sizeof(name));
		snprintf(line, sizeof(line),
				 "cannot serve --queue %s: there is no such queue, it is not a push queue with "
				 "executor => 'external', or this role has not the privilege work on it%s",
				 name, pq->config.once ? "" : "; it is looked for with every poll");
		pq->config.log(line);
	}
}

/* Listens to each queue that is served; queues that are made later are found by polling. */
static bool
listen_to_queues(tq_connection *c, void *arg)
{
	tq_pq *pq = arg;
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
	if (ok)
		tell_missing(pq, names);
	if (ok && i == 0 && pq->config.nqueues == 0)
		pq->config.log("there is no queue to serve yet: none is external and granted to this role; "
					   "new ones are looked for with every poll");
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

static tq_bytes
value_bytes(const PGresult *result, int row, int column)
{
	if (PQgetisnull(result, row, column))
		return (tq_bytes){NULL, 0};
	return (tq_bytes){PQgetvalue(result, row, column), PQgetlength(result, row, column)};
}

/* NULL: out of memory. */
static tq_task *
task_in(const PGresult *result, int row)
{
	tq_task *task = tq_task_new(value_bytes(result, row, TQ_CLAIM_METHOD),
								value_bytes(result, row, TQ_CLAIM_URL),
								value_bytes(result, row, TQ_CLAIM_HEADERS),
								value_bytes(result, row, TQ_CLAIM_BODY));

	if (task == NULL)
		return NULL;
	task->id = bigint(result, row, TQ_CLAIM_ID);
	task->token = bigint(result, row, TQ_CLAIM_TOKEN);
	task->lease_ms = bigint(result, row, TQ_CLAIM_LEASE_MS);
	task->timeout_ms = bigint(result, row, TQ_CLAIM_TIMEOUT_MS);
	return task;
}

/* A task for which there is no memory is left to its lease. */
static void
take_tasks(tq_pq *pq, const PGresult *result, int max, tq_claim *claim)
{
	int row;

	for (row = 0; row < PQntuples(result) && claim->n < max; row++)
	{
		tq_task *task = task_in(result, row);

		if (task != NULL && task_hooks_admit(pq->hooks, pq->connection, task))
			claim->tasks[claim->n++] = task;
		else
			tq_task_free(task);
	}
}

static void
take_next_due(const PGresult *result, tq_claim *claim)
{
	if (!PQgetisnull(result, 0, TQ_NEXT_DUE_MS))
		claim->next_ms = bigint(result, 0, TQ_NEXT_DUE_MS);
	claim->limited = *PQgetvalue(result, 0, TQ_NEXT_DUE_LIMITED) != 0;
	if (!PQgetisnull(result, 0, TQ_NEXT_DUE_ARMED))
		claim->arming = *PQgetvalue(result, 0, TQ_NEXT_DUE_ARMED) != 0 ? TQ_ARMED : TQ_DISARMED;
}

/* The parameters of a claim. */
typedef struct claim_values
{
	char max[16];
	const char *value[3];
} claim_values;

static void
fill_claim(const tq_pq *pq, int max, claim_values *v)
{
	snprintf(v->max, sizeof(v->max), "%d", max);
	v->value[0] = v->max;
	v->value[1] = pq->queues;
	v->value[2] = pq->config.name;
}

/* Takes what was claimed; if it is less than was asked for, asks when there is more. */
static void
take_claim(tq_pq *pq, PGresult *claimed, int max, tq_claim *claim)
{
	const char *values[2] = {pq->queues, pq->config.name};
	bool all = PQntuples(claimed) == max;
	PGresult *result;

	take_tasks(pq, claimed, max, claim);
	PQclear(claimed);
	if (all && claim->n == max)
		return;
	result = tq_connection_run(pq->connection, NEXT_DUE, values);
	if (result != NULL)
		take_next_due(result, claim);
	PQclear(result);
}

static tq_store_status
store_claim(void *self, int max, tq_claim *claim)
{
	tq_pq *pq = self;
	claim_values v;
	PGresult *result;

	fill_claim(pq, max, &v);
	result = tq_connection_run(pq->connection, CLAIM, v.value);
	if (result == NULL)
		return TQ_STORE_LATER;
	take_claim(pq, result, max, claim);
	return TQ_STORE_DONE;
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
	const char *value[TQ_REPORT_NARGUMENTS + 2]; /* and those of the functions after */
	int length[TQ_REPORT_NARGUMENTS + 2];
	int format[TQ_REPORT_NARGUMENTS + 2];
} report_values;

static void
fill_report(const tq_result *result, report_values *v)
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
	tq_text_printable(r->error, v->error, sizeof(v->error));
	tq_times_json(&r->times, v->times);
	v->value[TQ_REPORT_ID] = v->id;
	v->value[TQ_REPORT_TOKEN] = v->token;
	v->value[TQ_REPORT_VERDICT] = tq_verdict_name(result->outcome.verdict);
	v->value[TQ_REPORT_CLASS] = tq_class_name(r->cls);
	v->value[TQ_REPORT_STATUS] = r->status != 0 ? v->status : NULL;
	v->value[TQ_REPORT_HEADERS] = r->headers;
	v->length[TQ_REPORT_HEADERS] = (int) r->headers_len;
	v->value[TQ_REPORT_BODY] = r->body;
	v->length[TQ_REPORT_BODY] = (int) r->body_len;
	v->format[TQ_REPORT_HEADERS] = v->format[TQ_REPORT_BODY] = 1;
	v->value[TQ_REPORT_TRUNCATED] = r->truncated ? "t" : "f";
	v->value[TQ_REPORT_ELAPSED] = v->elapsed;
	v->value[TQ_REPORT_ERROR] = v->error[0] != '\0' ? v->error : NULL;
	v->value[TQ_REPORT_RETRY_AFTER] = result->outcome.retry_after_ms >= 0 ? v->retry_after : NULL;
	v->value[TQ_REPORT_TIMES] = v->times;
}

/* object: for the functions after; NULL: they are not called. */
static bool
send_report(PGconn *conn, const tq_result *result, const char *object)
{
	char *outcome = object != NULL ? task_hooks_outcome(result) : NULL;
	report_values v;
	bool sent;

	fill_report(result, &v);
	v.value[TQ_REPORT_NARGUMENTS] = object;
	v.value[TQ_REPORT_NARGUMENTS + 1] = outcome;
	if (outcome != NULL)
		sent = PQsendQueryPrepared(conn, task_hooks_report, TQ_REPORT_NARGUMENTS + 2, v.value,
								   v.length, v.format, 1);
	else
		sent = PQsendQueryPrepared(conn, statements[REPORT].name, TQ_REPORT_NARGUMENTS, v.value,
								   v.length, v.format, 1);
	free(outcome);
	return sent;
}

static bool
send_command(PGconn *conn, const char *command)
{
	return PQsendQueryParams(conn, command, 0, NULL, NULL, NULL, NULL, 0);
}

/*
 * Takes one answer of the pipeline; result is NULL when that is not the answer to a report.  Of
 * the first error *sqlstate is set.
 */
static void
take_answer(tq_pq *pq, PGresult *answer, tq_result *result, char sqlstate[6])
{
	if (PQresultStatus(answer) == PGRES_TUPLES_OK)
	{
		if (result != NULL)
			result->busy = PQgetisnull(answer, 0, 0);
	}
	else if (PQresultStatus(answer) == PGRES_FATAL_ERROR && sqlstate[0] == '\0')
	{
		const char *state = PQresultErrorField(answer, PG_DIAG_SQLSTATE);

		snprintf(sqlstate, 6, "%s", state != NULL ? state : CONNECTION_FAILURE);
		if (PQstatus(tq_connection_raw(pq->connection)) == CONNECTION_OK)
			tq_connection_complain(pq->connection, answer);
	}
	PQclear(answer);
}

/* Reads the answers to the end of the pipeline: n reports between begin and commit. */
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
		take_answer(pq, answer, command >= 1 && command <= n ? &results[command - 1] : NULL,
					sqlstate);
	}
}

/* Reports n results in one transaction; *sqlstate is empty if it was committed. */
static void
run_pipeline(tq_pq *pq, tq_result *results, int n, bool after, char sqlstate[6])
{
	PGconn *conn = tq_connection_raw(pq->connection);
	bool sent = PQenterPipelineMode(conn) && send_command(conn, "begin");
	int i;

	sqlstate[0] = '\0';
	for (i = 0; sent && i < n; i++)
		sent = send_report(conn, &results[i],
						   after ? task_hooks_object(pq->hooks, results[i].id) : NULL);
	sent = sent && send_command(conn, "commit") && PQpipelineSync(conn);
	if (sent)
		read_pipeline(pq, results, n, sqlstate);
	if (sent && PQstatus(conn) == CONNECTION_OK && PQexitPipelineMode(conn))
		return;
	strcpy(sqlstate, CONNECTION_FAILURE);
	if (PQstatus(conn) == CONNECTION_OK)
		tq_connection_drop(pq->connection, "reports could not be sent");
}

static tq_store_status
report_in_one(tq_pq *pq, tq_result *results, int n, bool after)
{
	char sqlstate[6];

	if (!tq_connection_is_up(pq->connection))
		return TQ_STORE_LATER;
	run_pipeline(pq, results, n, after, sqlstate);
	if (sqlstate[0] == '\0')
		return TQ_STORE_DONE;
	if (tq_connection_is_up(pq->connection))
		PQclear(PQexec(tq_connection_raw(pq->connection), "rollback"));
	return tq_sqlstate_may_pass(sqlstate) ? TQ_STORE_LATER : TQ_STORE_REFUSED;
}

/* A function after that fails must not keep a result from being stored. */
static tq_store_status
report_chunk(tq_pq *pq, tq_result *results, int n)
{
	tq_store_status status = report_in_one(pq, results, n, true);
	char line[128];
	int i;

	if (status == TQ_STORE_REFUSED && n == 1 && task_hooks_object(pq->hooks, results->id) != NULL)
	{
		snprintf(line, sizeof(line),
				 "task %" PRId64 ": a function after failed, the outcome is reported without it",
				 results->id);
		pq->config.log(line);
		status = report_in_one(pq, results, 1, false);
	}
	for (i = 0; status == TQ_STORE_DONE && i < n; i++)
		if (!results[i].busy)
			task_hooks_forget(pq->hooks, results[i].id);
	return status;
}

static tq_store_status
report_in_chunks(tq_pq *pq, tq_result *results, int n)
{
	tq_store_status status = TQ_STORE_DONE;
	int done;

	for (done = 0; done < n && status == TQ_STORE_DONE; done += REPORT_CHUNK)
		status = report_chunk(pq, results + done,
							  n - done < REPORT_CHUNK ? n - done : REPORT_CHUNK);
	return status;
}

/* ---- reports together ---------------------------------------------------------------- */

/* Which results are busy: an array of booleans, of which those are NULL. */
static void
take_stored(const PGresult *answer, tq_result *results, int n)
{
	const char *at = PQgetvalue(answer, 0, 0) + 5 * sizeof(int32_t);
	int i;

	for (i = 0; i < n; i++)
	{
		int32_t len;

		memcpy(&len, at, sizeof(len));
		len = (int32_t) be32toh((uint32_t) len);
		results[i].busy = len < 0;
		at += sizeof(len) + (len > 0 ? len : 0);
	}
}

/* *claimed becomes the answer to the claim, if there was one; PQclear() it. */
static void
read_together(tq_pq *pq, tq_result *results, int n, PGresult **claimed, char sqlstate[6])
{
	PGconn *conn = tq_connection_raw(pq->connection);
	int command = 0;
	PGresult *answer;

	while (PQstatus(conn) == CONNECTION_OK)
	{
		answer = PQgetResult(conn);
		if (answer == NULL)
			command++;
		else if (PQresultStatus(answer) == PGRES_PIPELINE_SYNC)
		{
			PQclear(answer);
			break;
		}
		else if (PQresultStatus(answer) == PGRES_TUPLES_OK && command == 1)
			*claimed = answer;
		else
		{
			if (PQresultStatus(answer) == PGRES_TUPLES_OK)
				take_stored(answer, results, n);
			take_answer(pq, answer, NULL, sqlstate);
		}
	}
}

static bool
send_together(tq_pq *pq, const tq_result *results, int n, int max)
{
	PGconn *conn = tq_connection_raw(pq->connection);
	const outcomes *o = &pq->outcomes;
	claim_values v;

	if (!outcomes_set(&pq->outcomes, results, n) ||
		!PQsendQueryPrepared(conn, statements[REPORT_MANY].name, TQ_REPORT_NARGUMENTS, o->value,
							 o->length, o->format, 1))
		return false;
	fill_claim(pq, max, &v);
	return (max == 0 || PQsendQueryPrepared(conn, statements[CLAIM].name, 3, v.value, NULL, NULL,
											1)) &&
		   PQpipelineSync(conn);
}

/* In one transaction, which ends with the pipeline.  max 0: without a claim. */
static tq_store_status
report_together(tq_pq *pq, tq_result *results, int n, int max, PGresult **claimed)
{
	PGconn *conn;
	char sqlstate[6] = "";
	bool sent;

	if (!tq_connection_is_up(pq->connection))
		return TQ_STORE_LATER;
	conn = tq_connection_raw(pq->connection);
	sent = PQenterPipelineMode(conn) && send_together(pq, results, n, max);
	if (sent)
		read_together(pq, results, n, claimed, sqlstate);
	if (!sent || PQstatus(conn) != CONNECTION_OK || !PQexitPipelineMode(conn))
	{
		strcpy(sqlstate, CONNECTION_FAILURE);
		if (PQstatus(conn) == CONNECTION_OK)
			tq_connection_drop(pq->connection, "reports could not be sent");
	}
	if (sqlstate[0] == '\0')
		return TQ_STORE_DONE;
	PQclear(*claimed);
	*claimed = NULL;
	return tq_sqlstate_may_pass(sqlstate) ? TQ_STORE_LATER : TQ_STORE_REFUSED;
}

/* The last call claims, unless max is 0. */
static tq_store_status
report_all(tq_pq *pq, tq_result *results, int n, int max, tq_claim *claim)
{
	tq_store_status status = TQ_STORE_DONE;
	PGresult *claimed = NULL;
	int some;
	int done;

	for (done = 0; done < n && status == TQ_STORE_DONE; done += some)
	{
		some = tq_results_together(results + done, n - done);
		status = report_together(pq, results + done, some, done + some == n ? max : 0, &claimed);
	}
	if (claimed != NULL)
		take_claim(pq, claimed, max, claim);
	return status;
}

static tq_store_status
store_report(void *self, tq_result *results, int n)
{
	tq_pq *pq = self;

	return task_hooks_after(pq->hooks) ? report_in_chunks(pq, results, n)
									   : report_all(pq, results, n, 0, NULL);
}

static tq_store_status
store_report_and_claim(void *self, tq_result *results, int n, int max, tq_claim *claim)
{
	return report_all(self, results, n, max, claim);
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

/* delay: of a release; else NULL.  NULL: it failed. */
static PGresult *
run_on_leases(tq_pq *pq, pq_statement s, const tq_lease *leases, int n, const char *delay)
{
	char *ids = array_of(leases, n, false);
	char *tokens = array_of(leases, n, true);
	const char *values[3] = {ids, tokens, delay};
	PGresult *result = NULL;

	if (ids != NULL && tokens != NULL)
		result = tq_connection_run(pq->connection, s, values);
	free(ids);
	free(tokens);
	return result;
}

/* The lease with the id in that row; NULL: it is not one of these. */
static tq_lease *
lease_in(const PGresult *ids, int row, tq_lease *leases, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (leases[i].id == bigint(ids, row, 0))
			return &leases[i];
	return NULL;
}

static tq_store_status
store_extend(void *self, tq_lease *leases, int n)
{
	PGresult *lost = run_on_leases(self, EXTEND, leases, n, NULL);
	tq_lease *lease;
	int row;

	if (lost == NULL)
		return TQ_STORE_LATER;
	for (row = 0; row < PQntuples(lost); row++)
		if ((lease = lease_in(lost, row, leases, n)) != NULL)
			lease->lost = true;
	PQclear(lost);
	return TQ_STORE_DONE;
}

static tq_store_status
store_release(void *self, tq_lease *leases, int n, int64_t delay_ms)
{
	char delay[32];
	tq_pq *pq = self;
	PGresult *busy;
	tq_lease *lease;
	int row;

	snprintf(delay, sizeof(delay), "%" PRId64 " ms", delay_ms);
	busy = run_on_leases(self, RELEASE, leases, n, delay);
	if (busy == NULL)
		return TQ_STORE_LATER;
	for (row = 0; row < PQntuples(busy); row++)
		if ((lease = lease_in(busy, row, leases, n)) != NULL)
			lease->busy = true;
	PQclear(busy);
	for (row = 0; row < n; row++)
		if (!leases[row].busy)
			task_hooks_forget(pq->hooks, leases[row].id);
	return TQ_STORE_DONE;
}

tq_store
tq_pq_store(tq_pq *pq)
{
	return (tq_store){
		.claim = store_claim,
		.report = store_report,
		.report_and_claim = task_hooks_after(pq->hooks) ? NULL : store_report_and_claim,
		.extend = store_extend,
		.release = store_release,
		.self = pq};
}

/* ---- the whole ------------------------------------------------------------------ */

/* False: no memory. */
static bool
prepare_values(tq_pq *pq)
{
	int i;

	outcomes_init(&pq->outcomes);
	tq_buffer_init(&pq->names, MAX_NAMES);
	for (i = 0; i < pq->config.nqueues; i++)
		tq_array_add(&pq->names, pq->config.queues[i]);
	if (i > 0)
		pq->queues = tq_array_end(&pq->names);
	pq->hooks = task_hooks_new(pq->config.hooks, pq->config.log);
	return !pq->names.overflowed && pq->hooks != NULL;
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
		.prepare = listen_to_queues,
		.arg = pq,
		.log = config->log,
		.once = config->once};

	if (pq == NULL)
		return NULL;
	pq->config = *config;
	if (prepare_values(pq))
	{
		memcpy(pq->statements, statements, sizeof(statements));
		connection.statements = pq->statements;
		connection.nstatements =
			NSTATEMENTS + task_hooks_statements(pq->hooks, pq->statements + NSTATEMENTS);
		pq->connection = tq_connection_new(&connection);
	}
	if (pq->connection == NULL)
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

int
tq_pq_missing(const tq_pq *pq)
{
	return pq->missing;
}

void
tq_pq_free(tq_pq *pq)
{
	tq_connection_free(pq->connection);
	task_hooks_free(pq->hooks);
	outcomes_free(&pq->outcomes);
	tq_buffer_free(&pq->names);
	free(pq);
}

/*
 * store_pq.c
 *		The engine's store on a connection to the database.
 *
 * Results go out in a pipeline, one transaction for REPORT_CHUNK of them: a
 * round trip for each would make the distance to the database the limit.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/protocol.h"
#include "store_pq.h"

#define REPORT_CHUNK      64
#define BACKOFF_FIRST_MS  200
#define BACKOFF_MAX_MS    10000
#define CONNECT_TIMEOUT_S 5

/* What a session of ours depends on; a role's or a database's own settings must not reach it. */
/* clang-format off */
#define SESSION_SQL \
	"select pg_catalog.set_config(name, value, false) from (values " \
	"('search_path', 'pg_catalog, pg_temp'), " \
	"('default_transaction_isolation', 'read committed'), " \
	"('default_transaction_read_only', 'off'), " \
	"('statement_timeout', '10s'), " \
	"('lock_timeout', '1s'), " \
	"('idle_in_transaction_session_timeout', '0'), " \
	"('synchronous_commit', case when pg_catalog.current_setting('synchronous_commit') " \
	"in ('off', 'local') then 'on' else pg_catalog.current_setting('synchronous_commit') end), " \
	"('client_encoding', pg_catalog.getdatabaseencoding())) as settings (name, value)"
/* clang-format on */

typedef enum pq_state
{
	PQ_DOWN,       /* then CONNECTING at retry_at_ms */
	PQ_CONNECTING, /* then UP or DOWN */
	PQ_UP          /* then DOWN */
} pq_state;

struct tq_pq
{
	tq_pq_config config;
	char *queues; /* config's as an array literal; NULL: all */
	pq_state state;
	PGconn *conn; /* NULL when DOWN */
	PostgresPollingStatusType polling;
	int64_t retry_at_ms;
	int64_t give_up_at_ms; /* CONNECTING */
	int64_t backoff_ms;
	bool complained; /* about the connection, since it last worked */
	bool disarmed;   /* and said so */
	char error[200]; /* the last one said of a statement; empty: they work */
};

typedef enum pq_statement
{
	CLAIM,
	NEXT_DUE,
	REPORT,
	EXTEND,
	RELEASE,
	ARMED
} pq_statement;

static const struct
{
	const char *name;
	const char *sql;
	int nparams;
	Oid types[12];
} statements[] = {
	/* Oids of bigint, text, int, bytea, boolean, interval, jsonb and arrays: they are fixed. */
	[CLAIM] = {"claim", TQ_SQL_CLAIM, 3, {23, 1009, 25}},
	[NEXT_DUE] = {"next_due", TQ_SQL_NEXT_DUE, 2, {1009, 25}},
	[REPORT] = {"report",
				TQ_SQL_REPORT,
				12,
				{20, 20, 25, 25, 23, 17, 17, 16, 1186, 25, 1186, 3802}},
	[EXTEND] = {"extend", TQ_SQL_EXTEND, 2, {1016, 1016}},
	[RELEASE] = {"release", TQ_SQL_RELEASE, 3, {1016, 1016, 1186}},
	[ARMED] = {"armed", TQ_SQL_ARMED, 0, {0}},
};

/* ---- what is said ------------------------------------------------------------ */

/* The first line of what libpq or the server says, without anything that could be a secret. */
static void
say(const tq_pq *pq, const char *what, const char *message)
{
	char line[400];
	char printable[256];
	size_t len = strcspn(message, "\n");
	char first[256];

	if (len >= sizeof(first))
		len = sizeof(first) - 1;
	memcpy(first, message, len);
	first[len] = '\0';
	tq_printable(first, printable, sizeof(printable));
	snprintf(line, sizeof(line), "%s: %s", what, printable);
	pq->config.log(line);
}

/* Of a statement that failed: each new error once. */
static void
complain(tq_pq *pq, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	char error[200];

	snprintf(error, sizeof(error), "%s (SQLSTATE %s)", message != NULL ? message : "no answer",
			 state != NULL ? state : "none");
	if (strcmp(error, pq->error) == 0)
		return;
	strcpy(pq->error, error);
	say(pq, "the database refuses", error);
}

/* ---- the connection ------------------------------------------------------------ */

static void
go_down(tq_pq *pq, const char *message)
{
	if (!pq->complained)
		say(pq, pq->state == PQ_UP ? "connection lost" : "cannot connect", message);
	pq->complained = true;
	PQfinish(pq->conn);
	pq->conn = NULL;
	pq->state = PQ_DOWN;
	pq->backoff_ms = pq->backoff_ms == 0 ? BACKOFF_FIRST_MS : pq->backoff_ms * 2;
	if (pq->backoff_ms > BACKOFF_MAX_MS)
		pq->backoff_ms = BACKOFF_MAX_MS;
	pq->retry_at_ms = tq_clock_ms() + pq->backoff_ms;
}

/* A call that failed for want of a connection takes it down. */
static bool
is_up(tq_pq *pq)
{
	if (pq->state == PQ_UP && PQstatus(pq->conn) != CONNECTION_OK)
		go_down(pq, PQerrorMessage(pq->conn));
	return pq->state == PQ_UP;
}

static void
start_connecting(tq_pq *pq)
{
	/* The first can be overridden by the connection string, the last cannot. */
	static const char *const keywords[] = {
		"tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count", "dbname",
		"fallback_application_name", NULL};
	const char *values[] = {"10000", "10", "5", "3", pq->config.conninfo, "taskq-worker", NULL};

	pq->conn = PQconnectStartParams(keywords, values, 1);
	if (pq->conn == NULL || PQstatus(pq->conn) == CONNECTION_BAD)
	{
		go_down(pq, pq->conn != NULL ? PQerrorMessage(pq->conn) : "out of memory");
		return;
	}
	pq->state = PQ_CONNECTING;
	pq->polling = PGRES_POLLING_WRITING;
	pq->give_up_at_ms = tq_clock_ms() + CONNECT_TIMEOUT_S * 1000;
}

static bool
worked(tq_pq *pq, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);
	bool ok = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;

	if (!ok)
		complain(pq, result);
	PQclear(result);
	return ok;
}

static bool
prepare_statements(tq_pq *pq)
{
	size_t i;

	for (i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
		if (!worked(pq, PQprepare(pq->conn, statements[i].name, statements[i].sql,
								  statements[i].nparams, statements[i].types)))
			return false;
	return true;
}

static bool
listen_to(tq_pq *pq, const char *queue)
{
	char channel[256];
	char command[600];
	char *identifier;

	snprintf(channel, sizeof(channel), "taskq_%s", queue);
	identifier = PQescapeIdentifier(pq->conn, channel, strlen(channel));
	if (identifier == NULL)
		return false;
	snprintf(command, sizeof(command), "listen %s", identifier);
	PQfreemem(identifier);
	return worked(pq, PQexec(pq->conn, command));
}

/* Queues that are made later are found by polling. */
static bool
listen_to_queues(tq_pq *pq)
{
	const char *values[1] = {pq->queues};
	PGresult *names = PQexecParams(pq->conn, TQ_SQL_QUEUES, 1, NULL, values, NULL, NULL, 0);
	bool ok = PQresultStatus(names) == PGRES_TUPLES_OK;
	int i;

	if (!ok)
		complain(pq, names);
	for (i = 0; ok && i < PQntuples(names); i++)
		ok = listen_to(pq, PQgetvalue(names, i, 0));
	if (ok && i == 0)
		pq->config.log("there is no queue to serve yet: none that is meant is external, with work "
					   "granted to this role");
	PQclear(names);
	return ok;
}

static void
settle(tq_pq *pq)
{
	if (!worked(pq, PQexec(pq->conn, SESSION_SQL)) || !prepare_statements(pq) ||
		!listen_to_queues(pq))
	{
		/* A statement that was refused has been told of, once for all attempts. */
		pq->complained = pq->complained || PQstatus(pq->conn) == CONNECTION_OK;
		go_down(pq, PQerrorMessage(pq->conn));
		return;
	}
	pq->state = PQ_UP;
	pq->error[0] = '\0';
	pq->backoff_ms = 0;
	pq->complained = false;
	say(pq, "connected to database", PQdb(pq->conn));
}

/* A step further, if the socket lets it. */
static void
go_on_connecting(tq_pq *pq)
{
	short events;
	struct pollfd fd = {tq_pq_fd(pq, &events), 0, 0};

	fd.events = events;
	if (poll(&fd, 1, 0) > 0)
		pq->polling = PQconnectPoll(pq->conn);
	if (pq->polling == PGRES_POLLING_OK)
		settle(pq);
	else if (pq->polling == PGRES_POLLING_FAILED)
		go_down(pq, PQerrorMessage(pq->conn));
	else if (tq_clock_ms() >= pq->give_up_at_ms)
		go_down(pq, "no answer in time");
}

int
tq_pq_fd(const tq_pq *pq, short *events)
{
	*events = pq->state == PQ_CONNECTING && pq->polling == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
	return pq->conn != NULL ? PQsocket(pq->conn) : -1;
}

int64_t
tq_pq_timeout(const tq_pq *pq)
{
	int64_t at = pq->state == PQ_DOWN ? pq->retry_at_ms : pq->give_up_at_ms;
	int64_t left = at - tq_clock_ms();

	if (pq->state == PQ_UP)
		return -1;
	return left > 0 ? left : 0;
}

static bool
take_notifications(tq_pq *pq)
{
	PGnotify *notification;
	bool any = false;

	if (!PQconsumeInput(pq->conn))
	{
		go_down(pq, PQerrorMessage(pq->conn));
		return false;
	}
	while ((notification = PQnotifies(pq->conn)) != NULL)
	{
		any = true;
		PQfreemem(notification);
	}
	return any;
}

bool
tq_pq_step(tq_pq *pq)
{
	if (pq->state == PQ_DOWN && tq_clock_ms() >= pq->retry_at_ms)
		start_connecting(pq);
	if (pq->state == PQ_CONNECTING)
	{
		go_on_connecting(pq);
		return pq->state == PQ_UP;
	}
	return is_up(pq) && take_notifications(pq);
}

/* ---- statements ------------------------------------------------------------------ */

/* NULL, complained about, unless it returned rows; in binary form. */
static PGresult *
run(tq_pq *pq, pq_statement s, const char *const *values)
{
	PGresult *result = PQexecPrepared(pq->conn, statements[s].name, statements[s].nparams, values,
									  NULL, NULL, 1);

	if (PQresultStatus(result) == PGRES_TUPLES_OK)
	{
		pq->error[0] = '\0';
		return result;
	}
	if (PQstatus(pq->conn) == CONNECTION_OK)
		complain(pq, result);
	PQclear(result);
	(void) is_up(pq);
	return NULL;
}

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
	PGresult *result = run(pq, ARMED, NULL);
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

	if (!is_up(pq) || (armed = is_armed(pq)) < 0)
		return -1;
	if (!armed)
		return 0;
	snprintf(number, sizeof(number), "%d", max);
	result = run(pq, CLAIM, values);
	if (result == NULL)
		return -1;
	n = take_tasks(result, max, tasks);
	PQclear(result);
	if (n < max && (result = run(pq, NEXT_DUE, &values[1])) != NULL)
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
	tq_printable(bare ? "the response could not be stored" : r->error, v->error, sizeof(v->error));
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
	report_values v;

	fill_report(result, bare, &v);
	return PQsendQueryPrepared(pq->conn, statements[REPORT].name, TQ_REPORT_NARGUMENTS, v.value,
							   v.length, v.format, 1);
}

/* What one result of the pipeline, or of one report, says; NULL in *sqlstate if it went well. */
static void
take_report(tq_pq *pq, PGresult *answer, tq_result *result, char sqlstate[6])
{
	if (PQresultStatus(answer) == PGRES_TUPLES_OK)
	{
		if (result != NULL)
			result->busy = PQgetisnull(answer, 0, 0);
	}
	else if (PQresultStatus(answer) == PGRES_FATAL_ERROR && sqlstate[0] == '\0')
	{
		const char *state = PQresultErrorField(answer, PG_DIAG_SQLSTATE);

		snprintf(sqlstate, 6, "%s", state != NULL ? state : "08006");
		if (PQstatus(pq->conn) == CONNECTION_OK)
			complain(pq, answer);
	}
	PQclear(answer);
}

/* Reads what was asked for to the end of the pipeline: n reports between begin and commit. */
static void
read_pipeline(tq_pq *pq, tq_result *results, int n, char sqlstate[6])
{
	int command = 0;
	PGresult *answer;

	while (PQstatus(pq->conn) == CONNECTION_OK)
	{
		answer = PQgetResult(pq->conn);
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
	bool sent;
	int i;

	sqlstate[0] = '\0';
	sent = PQenterPipelineMode(pq->conn) &&
		   PQsendQueryParams(pq->conn, "begin", 0, NULL, NULL, NULL, NULL, 0);
	for (i = 0; sent && i < n; i++)
		sent = send_report(pq, &results[i], false);
	sent = sent && PQsendQueryParams(pq->conn, "commit", 0, NULL, NULL, NULL, NULL, 0) &&
		   PQpipelineSync(pq->conn);
	if (sent)
		read_pipeline(pq, results, n, sqlstate);
	if (!sent || PQstatus(pq->conn) != CONNECTION_OK || !PQexitPipelineMode(pq->conn))
	{
		strcpy(sqlstate, "08006");
		if (PQstatus(pq->conn) == CONNECTION_OK)
			go_down(pq, "reports could not be sent");
		return;
	}
	if (sqlstate[0] != '\0')
		PQclear(PQexec(pq->conn, "rollback"));
}

static void
report_one(tq_pq *pq, tq_result *result, bool bare, char sqlstate[6])
{
	PGresult *answer;

	sqlstate[0] = '\0';
	if (!send_report(pq, result, bare))
		strcpy(sqlstate, "08006");
	while ((answer = PQgetResult(pq->conn)) != NULL)
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

		if (!is_up(pq))
			return -1;
		report_chunk(pq, results + done, chunk, sqlstate);
		if (sqlstate[0] == '\0')
			continue;
		if (tq_sqlstate_may_pass(sqlstate) || !is_up(pq) || !report_each(pq, results + done, chunk))
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

	if (ids != NULL && tokens != NULL && is_up(pq))
		result = run(pq, s, values);
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

	if (pq == NULL)
		return NULL;
	pq->config = *config;
	if (config->nqueues > 0)
	{
		pq->queues = names_literal(config->queues, config->nqueues);
		if (pq->queues == NULL)
		{
			free(pq);
			return NULL;
		}
	}
	return pq;
}

bool
tq_pq_is_up(const tq_pq *pq)
{
	return pq->state == PQ_UP;
}

void
tq_pq_free(tq_pq *pq)
{
	PQfinish(pq->conn);
	free(pq->queues);
	free(pq);
}

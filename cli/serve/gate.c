/*
 * gate.c
 *		Statements as other roles: each is a transaction of its own, in one round trip.
 *
 * Up to four are under way on a connection, so that the server always has something to do; more
 * would wait behind a slow one although another connection is free.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/serve/gate.h"
#include "client/connection.h"
#include "core/clock.h"

#define MAX_UNDER_WAY     4
#define QUEUED_MS         10000 /* longest time to wait for a connection */
#define ANSWER_MS         15000 /* and for the answer to a statement, which ends itself before */
#define STATEMENT_TIMEOUT "10s"
#define LOCK_TIMEOUT      "2s"

/* clang-format off */
static const char session_sql[] =
	"select pg_catalog.set_config(name, value, false) from (values "
	"('client_encoding', 'UTF8'), ('DateStyle', 'ISO'), ('IntervalStyle', 'postgres'), "
	"('TimeZone', 'UTC'), ('extra_float_digits', '1'), ('bytea_output', 'hex'), "
	"('log_parameter_max_length_on_error', '0')) as settings (name, value)";

static const tq_statement take_role = {"serve_role",
	"select pg_catalog.set_config('role', $1, true), "
	"pg_catalog.set_config('application_name', $2, true)", 2};
/* clang-format on */

typedef struct Line
{
	tq_connection *connection;
	gate_call *first; /* of those under way, in their order */
	gate_call *last;
	int n;
	int64_t answer_by_ms; /* for the first of them */
	bool unflushed;
	const gate_statement *prepared[GATE_MAX_STATEMENTS];
	int nprepared;
} Line;

struct gate
{
	gate_options options;
	tq_connection_config config[GATE_MAX_CONNECTIONS];
	Line lines[GATE_MAX_CONNECTIONS];
	gate_call *first; /* of those that wait for a connection */
	gate_call *last;
	int nqueued;
};

/* ---- ends ------------------------------------------------------------------------ */

static void
end_call(gate_call *call, gate_end end)
{
	PGresult *result = call->result;
	PGresult *failure = call->failure;

	if (failure != NULL)
		end = GATE_ERROR;
	call->take(call->arg, end, end == GATE_DONE ? result : end == GATE_ERROR ? failure
																			 : NULL);
	PQclear(result);
	PQclear(failure);
}

static gate_call *
take_first(gate_call **first, gate_call **last)
{
	gate_call *call = *first;

	*first = call->next;
	if (*first == NULL)
		*last = NULL;
	call->next = NULL;
	return call;
}

static void
add_last(gate_call **first, gate_call **last, gate_call *call)
{
	call->next = NULL;
	if (*last != NULL)
		(*last)->next = call;
	else
		*first = call;
	*last = call;
}

/* The connection was lost.  What the server has refused before was not done. */
static void
end_all(Line *line)
{
	line->unflushed = false;
	while (line->n > 0)
	{
		line->n--;
		end_call(take_first(&line->first, &line->last), GATE_UNKNOWN);
	}
}

/* ---- sending --------------------------------------------------------------------- */

static bool
is_prepared(const Line *line, const gate_statement *statement)
{
	int i;

	for (i = 0; i < line->nprepared; i++)
		if (line->prepared[i] == statement)
			return true;
	return false;
}

/* Whether that is under way: it may fail, so a second one must wait for the end of it. */
static bool
is_being_prepared(const Line *line, const gate_statement *statement)
{
	const gate_call *call;

	for (call = line->first; call != NULL; call = call->next)
		if (call->prepares && call->statement == statement)
			return true;
	return false;
}

static bool
enter_pipeline(PGconn *conn)
{
	if (PQpipelineStatus(conn) != PQ_PIPELINE_OFF)
		return true;
	return PQsetnonblocking(conn, 1) == 0 && PQenterPipelineMode(conn) == 1;
}

static bool
send_parts(PGconn *conn, const gate_call *call)
{
	const gate_statement *s = call->statement;
	const char *role[] = {call->role, call->application};
	int formats[GATE_MAX_VALUES];
	int i;

	for (i = 0; i < s->nvalues; i++)
		formats[i] = (s->binary >> i & 1) != 0;
	if (!enter_pipeline(conn) ||
		!PQsendQueryPrepared(conn, take_role.name, 2, role, NULL, NULL, 0))
		return false;
	if (call->prepares && !PQsendPrepare(conn, s->name, s->sql, 0, NULL))
		return false;
	return PQsendQueryPrepared(conn, s->name, s->nvalues, call->values, call->lengths, formats,
							   0) == 1 &&
		   PQpipelineSync(conn) == 1;
}

static void
flush_line(Line *line)
{
	if (line->unflushed)
		line->unflushed = PQflush(tq_connection_raw(line->connection)) == 1;
}

/* After a failure to send it is not known how much of it was. */
static void
send_on(Line *line, gate_call *call)
{
	call->prepares = !is_prepared(line, call->statement);
	if (line->n == 0)
		line->answer_by_ms = tq_clock_ms() + ANSWER_MS;
	add_last(&line->first, &line->last, call);
	line->n++;
	line->unflushed = true;
	if (!send_parts(tq_connection_raw(line->connection), call))
		tq_connection_drop(line->connection, "a statement could not be sent");
	else
		flush_line(line);
}

/* The connection with the fewest under way; NULL: none can take it now. */
static Line *
find_line(gate *g, const gate_call *call)
{
	Line *best = NULL;
	int i;

	for (i = 0; i < g->options.connections; i++)
	{
		Line *line = &g->lines[i];

		if (line->n < MAX_UNDER_WAY && (best == NULL || line->n < best->n) &&
			tq_connection_is_up(line->connection) && !is_being_prepared(line, call->statement))
			best = line;
	}
	return best;
}

static void
send_queued(gate *g)
{
	Line *line;

	while (g->first != NULL && (line = find_line(g, g->first)) != NULL)
	{
		g->nqueued--;
		send_on(line, take_first(&g->first, &g->last));
	}
}

bool
gate_send(gate *g, gate_call *call)
{
	if (g->nqueued >= g->options.max_queued)
		return false;
	call->result = call->failure = NULL;
	call->nresults = 0;
	call->queued_ms = tq_clock_ms();
	add_last(&g->first, &g->last, call);
	g->nqueued++;
	send_queued(g);
	return true;
}

/* ---- receiving ------------------------------------------------------------------- */

static bool
is_error_status(ExecStatusType status)
{
	return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

/* The parts of a call answer in their order: the role, perhaps the preparation, the statement. */
static void
take_part(Line *line, gate_call *call, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);
	int part = call->nresults++;

	if (is_error_status(status) && call->failure == NULL)
	{
		call->failure = result;
		return;
	}
	if (status == PGRES_COMMAND_OK && call->prepares && part == 1 &&
		line->nprepared < GATE_MAX_STATEMENTS)
		line->prepared[line->nprepared++] = call->statement;
	if (status == PGRES_TUPLES_OK && part == (call->prepares ? 2 : 1))
		call->result = result;
	else
		PQclear(result);
}

/* Whether the connection is there; what was under way on a lost one is ended. */
static bool
is_line_up(Line *line)
{
	if (tq_connection_is_up(line->connection))
		return true;
	end_all(line);
	return false;
}

static void
receive(Line *line)
{
	PGconn *conn;

	if (!is_line_up(line) || line->n == 0)
		return;
	conn = tq_connection_raw(line->connection);
	flush_line(line);
	while (line->n > 0 && PQstatus(conn) == CONNECTION_OK && !PQisBusy(conn))
	{
		/* NULL: the results of one part are over, those of the next follow. */
		PGresult *result = PQgetResult(conn);

		if (result == NULL)
			continue;
		if (PQresultStatus(result) != PGRES_PIPELINE_SYNC)
		{
			take_part(line, line->first, result);
			continue;
		}
		PQclear(result);
		line->n--;
		line->answer_by_ms = tq_clock_ms() + ANSWER_MS;
		end_call(take_first(&line->first, &line->last), GATE_DONE);
	}
	if (line->n > 0 && tq_clock_ms() >= line->answer_by_ms)
		tq_connection_drop(line->connection, "no answer in time");
	(void) is_line_up(line);
}

int
gate_queued(const gate *g)
{
	return g->nqueued;
}

/* ---- without a connection -------------------------------------------------------- */

bool
gate_is_up(gate *g)
{
	int i;

	for (i = 0; i < g->options.connections; i++)
		if (tq_connection_is_up(g->lines[i].connection))
			return true;
	return false;
}

static bool
has_failed(const gate *g)
{
	int i;

	for (i = 0; i < g->options.connections; i++)
		if (tq_connection_has_failed(g->lines[i].connection))
			return true;
	return false;
}

/* Those that wait in vain, the oldest first. */
static void
end_queued(gate *g)
{
	int64_t now = tq_clock_ms();
	bool down = !gate_is_up(g) && has_failed(g);

	while (g->first != NULL && (down || now - g->first->queued_ms >= QUEUED_MS))
	{
		g->nqueued--;
		end_call(take_first(&g->first, &g->last), GATE_NOT_SENT);
	}
}

/* ---- the whole ------------------------------------------------------------------- */

/* What a connection waits for; fd is -1 if that is nothing. */
static struct pollfd
wish_of(const Line *line)
{
	struct pollfd wish = {.revents = 0};

	wish.fd = tq_connection_fd(line->connection, &wish.events);
	if (line->unflushed)
		wish.events |= POLLOUT;
	return wish;
}

int
gate_poll(const gate *g, struct pollfd *fds)
{
	int n = 0;
	int i;

	for (i = 0; i < g->options.connections; i++)
	{
		fds[n] = wish_of(&g->lines[i]);
		n += fds[n].fd >= 0;
	}
	return n;
}

int64_t
gate_timeout(const gate *g)
{
	int64_t timeout = -1;
	int i;

	for (i = 0; i < g->options.connections; i++)
	{
		int64_t ms = tq_connection_timeout(g->lines[i].connection);

		if (ms >= 0 && (timeout < 0 || ms < timeout))
			timeout = ms;
	}
	return timeout;
}

/* Whether there is something to do although nothing has come. */
static bool
wants_a_step(Line *line)
{
	return !tq_connection_is_up(line->connection) ||
		   (line->n > 0 && tq_clock_ms() >= line->answer_by_ms);
}

/* Each look at a connection is a system call, so they are asked together who has something. */
void
gate_step(gate *g)
{
	struct pollfd fds[GATE_MAX_CONNECTIONS];
	int i;

	for (i = 0; i < g->options.connections; i++)
		fds[i] = wish_of(&g->lines[i]);
	(void) poll(fds, (nfds_t) g->options.connections, 0);
	for (i = 0; i < g->options.connections; i++)
	{
		if (fds[i].revents == 0 && !wants_a_step(&g->lines[i]))
			continue;
		(void) tq_connection_step(g->lines[i].connection);
		receive(&g->lines[i]);
	}
	send_queued(g);
	end_queued(g);
}

/* A new connection knows no statements. */
static bool
prepare_line(tq_connection *c, void *arg)
{
	Line *line = arg;

	(void) c;
	end_all(line);
	line->nprepared = 0;
	return true;
}

gate *
gate_new(const gate_options *options)
{
	gate *g = calloc(1, sizeof(*g));
	int i;

	if (g == NULL)
		return NULL;
	g->options = *options;
	for (i = 0; i < options->connections; i++)
	{
		g->config[i] = (tq_connection_config){
			.conninfo = options->conninfo,
			.program = "taskq serve",
			.statement_timeout = STATEMENT_TIMEOUT,
			.lock_timeout = LOCK_TIMEOUT,
			.session_sql = session_sql,
			.statements = &take_role,
			.nstatements = 1,
			.prepare = prepare_line,
			.arg = &g->lines[i],
			.log = options->log};
		g->lines[i].connection = tq_connection_new(&g->config[i]);
		if (g->lines[i].connection != NULL)
			continue;
		gate_free(g);
		return NULL;
	}
	return g;
}

void
gate_stop(gate *g)
{
	int i;

	g->options.max_queued = 0;
	for (i = 0; i < g->options.connections; i++)
		end_all(&g->lines[i]);
	while (g->first != NULL)
	{
		g->nqueued--;
		end_call(take_first(&g->first, &g->last), GATE_NOT_SENT);
	}
}

void
gate_free(gate *g)
{
	int i;

	if (g == NULL)
		return;
	for (i = 0; i < g->options.connections; i++)
		tq_connection_free(g->lines[i].connection);
	free(g);
}

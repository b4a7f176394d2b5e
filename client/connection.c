/*
 * connection.c
 *		A connection to the database that is made again whenever it is lost.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/connection.h"
#include "core/clock.h"
#include "core/text.h"

#define BACKOFF_FIRST_MS 200
#define BACKOFF_MAX_MS   10000
#define MAX_COMMAND      256
#define ANSWER_MS        5000 /* for the server to accept us, then to set the session up */

/* What a session depends on; settings of the role or the database must not change it. */
/* clang-format off */
#define SESSION_SQL \
	"select pg_catalog.set_config(name, value, false) from (values " \
	"('search_path', 'pg_catalog, pg_temp'), " \
	"('default_transaction_isolation', 'read committed'), " \
	"('default_transaction_read_only', 'off'), " \
	"('statement_timeout', $1), " \
	"('lock_timeout', $2), " \
	"('idle_in_transaction_session_timeout', '0'), " \
	"('synchronous_commit', case when pg_catalog.current_setting('synchronous_commit') " \
	"in ('off', 'local') then 'on' else pg_catalog.current_setting('synchronous_commit') end), " \
	"('client_encoding', pg_catalog.getdatabaseencoding())) as settings (name, value)"
/* clang-format on */

typedef enum state
{
	DOWN,       /* then CONNECTING at retry_at_ms */
	CONNECTING, /* then SETTING_UP or DOWN */
	SETTING_UP, /* the session, in a pipeline; then PREPARING or DOWN */
	PREPARING,  /* within tq_connection_step() only; then UP or DOWN */
	UP          /* then DOWN */
} state;

struct tq_connection
{
	tq_connection_config config;
	state state;
	PGconn *conn; /* NULL when DOWN */
	PostgresPollingStatusType polling;
	int64_t retry_at_ms;
	int64_t give_up_at_ms; /* CONNECTING, SETTING_UP, or while it is busy */
	bool unflushed;        /* SETTING_UP */
	bool busy;             /* UP: the answer to LISTEN is awaited */
	int64_t backoff_ms;    /* 0: the last connection was used */
	bool complained;       /* about the connection, since it last worked */
	char error[200];       /* the last one logged of a statement; empty: they work */
};

/* ---- the log --------------------------------------------------------------------- */

/* The first line of a message, as far as it is printable. */
static void
say(const tq_connection *c, const char *what, const char *message)
{
	char line[400];
	char first[256];
	char printable[256];

	snprintf(first, sizeof(first), "%.*s", (int) strcspn(message, "\n"), message);
	tq_text_printable(first, printable, sizeof(printable));
	snprintf(line, sizeof(line), "%s: %s", what, printable);
	c->config.log(line);
}

void
tq_connection_complain(tq_connection *c, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	char error[200];

	snprintf(error, sizeof(error), "%s (SQLSTATE %s)", message != NULL ? message : "no answer",
			 sqlstate != NULL ? sqlstate : "none");
	if (strcmp(error, c->error) == 0)
		return;
	strcpy(c->error, error);
	say(c, "the database refuses", error);
}

/* ---- coming and going ------------------------------------------------------------ */

/* Why there is no connection, and when the next one is tried. */
static void
say_down(tq_connection *c, const char *reason)
{
	char what[100];

	if (c->config.once)
		snprintf(what, sizeof(what), "%s", "cannot connect");
	else
		snprintf(what, sizeof(what), "%s, next try in %.1f s, then after up to %d s",
				 c->state == UP ? "connection lost" : "cannot connect",
				 (double) c->backoff_ms / 1000, BACKOFF_MAX_MS / 1000);
	say(c, what, reason);
}

void
tq_connection_drop(tq_connection *c, const char *reason)
{
	c->backoff_ms = c->backoff_ms == 0 ? BACKOFF_FIRST_MS
									   : tq_sooner(c->backoff_ms * 2, BACKOFF_MAX_MS);
	c->retry_at_ms = tq_clock_ms() + c->backoff_ms;
	if (!c->complained)
		say_down(c, reason);
	c->complained = true;
	PQfinish(c->conn);
	c->conn = NULL;
	c->busy = false;
	c->state = DOWN;
}

static void
start_connecting(tq_connection *c)
{
	/* Those before dbname can be overridden by the connection string. */
	static const char *const keywords[] = {
		"tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count", "dbname",
		"fallback_application_name", NULL};
	const char *values[] = {"10000", "10", "5", "3", c->config.conninfo, c->config.program, NULL};

	c->conn = PQconnectStartParams(keywords, values, 1);
	if (c->conn == NULL || PQstatus(c->conn) == CONNECTION_BAD)
	{
		tq_connection_drop(c, c->conn != NULL ? PQerrorMessage(c->conn) : "out of memory");
		return;
	}
	c->state = CONNECTING;
	c->polling = PGRES_POLLING_WRITING;
	c->give_up_at_ms = tq_clock_ms() + ANSWER_MS;
}

/* Frees the result. */
static bool
worked(tq_connection *c, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);
	bool ok = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;

	if (!ok)
		tq_connection_complain(c, result);
	PQclear(result);
	return ok;
}

/* All that a session needs, in one round trip. */
static bool
send_session(const tq_connection *c)
{
	const char *timeouts[2] = {c->config.statement_timeout, c->config.lock_timeout};
	int i;

	if (PQsetnonblocking(c->conn, 1) != 0 || !PQenterPipelineMode(c->conn) ||
		!PQsendQueryParams(c->conn, SESSION_SQL, 2, NULL, timeouts, NULL, NULL, 0) ||
		(c->config.session_sql != NULL &&
		 !PQsendQueryParams(c->conn, c->config.session_sql, 0, NULL, NULL, NULL, NULL, 0)))
		return false;
	for (i = 0; i < c->config.nstatements; i++)
	{
		const tq_statement *s = &c->config.statements[i];

		if (!PQsendPrepare(c->conn, s->name, s->sql, 0, NULL))
			return false;
	}
	return PQpipelineSync(c->conn) == 1;
}

static void
start_session(tq_connection *c)
{
	c->state = SETTING_UP;
	c->give_up_at_ms = tq_clock_ms() + ANSWER_MS;
	c->unflushed = true;
	if (!send_session(c))
		tq_connection_drop(c, PQerrorMessage(c->conn));
}

/* The log says already that a statement was refused, once for all attempts. */
static void
give_session_up(tq_connection *c)
{
	c->complained = c->complained || PQstatus(c->conn) == CONNECTION_OK;
	tq_connection_drop(c, PQerrorMessage(c->conn));
}

static void
settle(tq_connection *c)
{
	c->state = PREPARING;
	if (!PQexitPipelineMode(c->conn) || PQsetnonblocking(c->conn, 0) != 0 ||
		!c->config.prepare(c, c->config.arg))
	{
		give_session_up(c);
		return;
	}
	c->state = UP;
	c->error[0] = '\0';
	c->backoff_ms = 0;
	c->complained = false;
	say(c, "connected to database", PQdb(c->conn));
}

/* Takes the answers that have come.  True: that was the last one. */
static bool
take_session(tq_connection *c)
{
	while (!PQisBusy(c->conn))
	{
		/* NULL: the answer to one statement is over, that to the next follows. */
		PGresult *result = PQgetResult(c->conn);

		if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
		{
			PQclear(result);
			return true;
		}
		if ((result == NULL && PQstatus(c->conn) != CONNECTION_OK) ||
			(result != NULL && !worked(c, result)))
		{
			give_session_up(c);
			return false;
		}
	}
	return false;
}

static void
go_on_setting_up(tq_connection *c)
{
	if (c->unflushed)
		c->unflushed = PQflush(c->conn) == 1;
	if (!PQconsumeInput(c->conn))
		tq_connection_drop(c, PQerrorMessage(c->conn));
	else if (take_session(c))
		settle(c);
	else if (c->state == SETTING_UP && tq_clock_ms() >= c->give_up_at_ms)
		tq_connection_drop(c, "no answer in time");
}

/* One step further, if the socket is ready for it. */
static void
go_on_connecting(tq_connection *c)
{
	short events;
	struct pollfd fd = {tq_connection_fd(c, &events), 0, 0};

	fd.events = events;
	if (poll(&fd, 1, 0) > 0)
		c->polling = PQconnectPoll(c->conn);
	if (c->polling == PGRES_POLLING_OK)
		start_session(c);
	else if (c->polling == PGRES_POLLING_FAILED)
		tq_connection_drop(c, PQerrorMessage(c->conn));
	else if (tq_clock_ms() >= c->give_up_at_ms)
		tq_connection_drop(c, "no answer in time");
}

/* Whether the answer to LISTEN has come, or was awaited in vain. */
static void
end_listen(tq_connection *c)
{
	PGresult *result;

	if (!PQisBusy(c->conn))
	{
		c->busy = false;
		while ((result = PQgetResult(c->conn)) != NULL)
			(void) worked(c, result);
	}
	else if (tq_clock_ms() >= c->give_up_at_ms)
		tq_connection_drop(c, "no answer in time");
}

static bool
take_notifications(tq_connection *c)
{
	PGnotify *notification;
	bool any = false;

	if (!PQconsumeInput(c->conn))
	{
		tq_connection_drop(c, PQerrorMessage(c->conn));
		return false;
	}
	while ((notification = PQnotifies(c->conn)) != NULL)
	{
		any = true;
		if (c->config.notified != NULL)
			c->config.notified(notification->relname, c->config.arg);
		PQfreemem(notification);
	}
	if (c->busy)
		end_listen(c);
	return any;
}

bool
tq_connection_step(tq_connection *c)
{
	if (c->state == DOWN && tq_clock_ms() >= c->retry_at_ms)
		start_connecting(c);
	if (c->state == CONNECTING)
		go_on_connecting(c);
	if (c->state == SETTING_UP)
	{
		go_on_setting_up(c);
		return c->state == UP;
	}
	return tq_connection_is_up(c) && take_notifications(c);
}

int
tq_connection_fd(const tq_connection *c, short *events)
{
	*events = c->state == CONNECTING && c->polling == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
	if (c->state == SETTING_UP && c->unflushed)
		*events |= POLLOUT;
	return c->conn != NULL ? PQsocket(c->conn) : -1;
}

int64_t
tq_connection_timeout(const tq_connection *c)
{
	int64_t at = c->state == DOWN ? c->retry_at_ms : c->give_up_at_ms;

	return c->state == UP && !c->busy ? -1 : tq_later(at - tq_clock_ms(), 0);
}

bool
tq_connection_has_failed(const tq_connection *c)
{
	return c->state == DOWN && c->backoff_ms > 0;
}

bool
tq_connection_is_up(tq_connection *c)
{
	if (c->state == UP && PQstatus(c->conn) != CONNECTION_OK)
		tq_connection_drop(c, PQerrorMessage(c->conn));
	return c->state == UP;
}

/* ---- statements ------------------------------------------------------------------- */

PGresult *
tq_connection_run(tq_connection *c, int statement, const char *const *values)
{
	const tq_statement *s = &c->config.statements[statement];
	PGresult *result;

	if (c->state != PREPARING && !tq_connection_is_up(c))
		return NULL;
	result = PQexecPrepared(c->conn, s->name, s->nparameters, values, NULL, NULL, 1);
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
	{
		c->error[0] = '\0';
		return result;
	}
	if (PQstatus(c->conn) == CONNECTION_OK)
		tq_connection_complain(c, result);
	PQclear(result);
	(void) tq_connection_is_up(c);
	return NULL;
}

/* The statement that listens.  False: it failed and the log says why. */
static bool
make_listen(tq_connection *c, const char *channel, char *command, size_t size)
{
	char *identifier = PQescapeIdentifier(c->conn, channel, strlen(channel));
	bool fits;

	if (identifier == NULL)
	{
		say(c, "cannot listen", PQerrorMessage(c->conn));
		return false;
	}
	fits = snprintf(command, size, "listen %s", identifier) < (int) size;
	PQfreemem(identifier);
	if (!fits)
		say(c, "cannot listen", "the name of the channel is too long");
	return fits;
}

bool
tq_connection_listen(tq_connection *c, const char *channel)
{
	char command[MAX_COMMAND];

	return make_listen(c, channel, command, sizeof(command)) &&
		   worked(c, PQexec(c->conn, command));
}

bool
tq_connection_start_listen(tq_connection *c, const char *channel)
{
	char command[MAX_COMMAND];

	if (!make_listen(c, channel, command, sizeof(command)))
		return false;
	c->busy = true;
	c->give_up_at_ms = tq_clock_ms() + ANSWER_MS;
	if (PQsendQuery(c->conn, command))
		return true;
	tq_connection_drop(c, PQerrorMessage(c->conn));
	return false;
}

bool
tq_connection_is_busy(const tq_connection *c)
{
	return c->busy;
}

PGconn *
tq_connection_raw(tq_connection *c)
{
	return c->conn;
}

/* ---- the whole --------------------------------------------------------------------- */

tq_connection *
tq_connection_new(const tq_connection_config *config)
{
	tq_connection *c = calloc(1, sizeof(*c));

	if (c != NULL)
		c->config = *config;
	return c;
}

void
tq_connection_free(tq_connection *c)
{
	if (c != NULL)
		PQfinish(c->conn);
	free(c);
}

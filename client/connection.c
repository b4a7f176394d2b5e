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

#define BACKOFF_FIRST_MS  200
#define BACKOFF_MAX_MS    10000
#define CONNECT_TIMEOUT_S 5

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
	CONNECTING, /* then PREPARING or DOWN */
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
	int64_t give_up_at_ms; /* CONNECTING */
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
	c->give_up_at_ms = tq_clock_ms() + CONNECT_TIMEOUT_S * 1000;
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

static bool
set_up_session(tq_connection *c)
{
	const char *timeouts[2] = {c->config.statement_timeout, c->config.lock_timeout};
	int i;

	if (!worked(c, PQexecParams(c->conn, SESSION_SQL, 2, NULL, timeouts, NULL, NULL, 0)))
		return false;
	for (i = 0; i < c->config.nstatements; i++)
	{
		const tq_statement *s = &c->config.statements[i];

		if (!worked(c, PQprepare(c->conn, s->name, s->sql, 0, NULL)))
			return false;
	}
	return c->config.prepare(c, c->config.arg);
}

static void
settle(tq_connection *c)
{
	c->state = PREPARING;
	if (!set_up_session(c))
	{
		/* The log says already that a statement was refused, once for all attempts. */
		c->complained = c->complained || PQstatus(c->conn) == CONNECTION_OK;
		tq_connection_drop(c, PQerrorMessage(c->conn));
		return;
	}
	c->state = UP;
	c->error[0] = '\0';
	c->backoff_ms = 0;
	c->complained = false;
	say(c, "connected to database", PQdb(c->conn));
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
		settle(c);
	else if (c->polling == PGRES_POLLING_FAILED)
		tq_connection_drop(c, PQerrorMessage(c->conn));
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
	return any;
}

bool
tq_connection_step(tq_connection *c)
{
	if (c->state == DOWN && tq_clock_ms() >= c->retry_at_ms)
		start_connecting(c);
	if (c->state == CONNECTING)
	{
		go_on_connecting(c);
		return c->state == UP;
	}
	return tq_connection_is_up(c) && take_notifications(c);
}

int
tq_connection_fd(const tq_connection *c, short *events)
{
	*events = c->state == CONNECTING && c->polling == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
	return c->conn != NULL ? PQsocket(c->conn) : -1;
}

int64_t
tq_connection_timeout(const tq_connection *c)
{
	int64_t at = c->state == DOWN ? c->retry_at_ms : c->give_up_at_ms;

	return c->state == UP ? -1 : tq_later(at - tq_clock_ms(), 0);
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

bool
tq_connection_listen(tq_connection *c, const char *channel)
{
	char command[256];
	char *identifier = PQescapeIdentifier(c->conn, channel, strlen(channel));
	bool fits;

	if (identifier == NULL)
	{
		say(c, "cannot listen", PQerrorMessage(c->conn));
		return false;
	}
	fits = snprintf(command, sizeof(command), "listen %s", identifier) < (int) sizeof(command);
	PQfreemem(identifier);
	if (!fits)
		say(c, "cannot listen", "the name of the channel is too long");
	return fits && worked(c, PQexec(c->conn, command));
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

/*
 * session.c
 *		The connection of a command: one session; errors end the program.
 *
 * A command that a person waits for fails at once if the database cannot be reached, so it does not
 * use client/connection.c, which is for programs that go on trying.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/report.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "core/clock.h"

#define DEFAULT_TIMEOUT "30 s"
#define CONNECT_TIMEOUT "10"
#define MAX_PASSWORD    256
#define TICK_MS         200
#define LOCAL_TIME_LINK "/etc/localtime"
#define ZONE_DIRECTORY  "zoneinfo/"

/* clang-format off */
/* Settings of the role or the database must not change what is printed. */
#define SESSION_SQL \
	"select pg_catalog.set_config(name, value, false) from (values " \
	"('search_path', 'pg_catalog, pg_temp'), ('DateStyle', 'ISO'), ('IntervalStyle', " \
	"'postgres'), " \
	"('extra_float_digits', '1'), ('bytea_output', 'hex'), " \
	"('statement_timeout', case when $2::boolean then '0' else " \
	"(extract(epoch from $1::interval) * 1000)::bigint::text end)" \
	") as settings (name, value)"
/* clang-format on */

static PGconn *connection;
static const char *other_database; /* instead of that of the settings; NULL: that */
static bool unlimited;             /* statements may take as long as they like */

/* ---- connecting -------------------------------------------------------------- */

/* Reads a password from the terminal without showing it. */
static const char *
ask_password(void)
{
	static char password[MAX_PASSWORD];
	FILE *terminal = fopen("/dev/tty", "r+");
	struct termios before;
	struct termios hidden;

	if (terminal == NULL)
		cli_fail(EXIT_CONNECTION, "Use ~/.pgpass.",
				 "a password is needed, and there is "
				 "no terminal");
	tcgetattr(fileno(terminal), &before);
	hidden = before;
	hidden.c_lflag &= (tcflag_t) ~ECHO;
	tcsetattr(fileno(terminal), TCSAFLUSH, &hidden);
	fputs("Password: ", terminal);
	fflush(terminal);
	if (fgets(password, sizeof(password), terminal) == NULL)
		password[0] = '\0';
	tcsetattr(fileno(terminal), TCSAFLUSH, &before);
	fputc('\n', terminal);
	fclose(terminal);
	password[strcspn(password, "\n")] = '\0';
	return password;
}

static PGconn *
connect_with(const char *password)
{
	/* Those before dbname can be overridden by the connection string. */
	static const char *const keywords[] = {"connect_timeout",
										   "dbname",
										   "host",
										   "port",
										   "user",
										   "password",
										   "client_encoding",
										   "fallback_application_name",
										   "dbname",
										   NULL};
	const char *values[] = {CONNECT_TIMEOUT,
							settings.database,
							settings.host,
							settings.port,
							settings.username,
							password,
							"UTF8",
							"taskq",
							other_database,
							NULL};

	return PQconnectdbParams(keywords, values, 1);
}

/* What to do about a role that the server does not let in; NULL: not known. */
static const char *
connection_hint(const char *message)
{
	if (strstr(message, "role \"") != NULL && strstr(message, "does not exist") != NULL)
		return "taskq connects as psql does: as the role with your name, or that of -U.  On Debian "
			   "\"sudo -u postgres taskq ...\" is the superuser.";
	if (strstr(message, "Peer authentication") != NULL)
		return "Over a socket the name of the user must be that of the role: use \"sudo -u\" to be "
			   "that user, or -h localhost and a password.";
	if (strstr(message, "database \"") != NULL && strstr(message, "does not exist") != NULL)
		return "-d or PGDATABASE names the database.";
	return NULL;
}

/* The first line of what libpq says. */
static void
fail_to_connect(const char *message)
{
	int status = strstr(message, "password") != NULL || strstr(message, "authentication") != NULL ||
						 strstr(message, "permission denied for database") != NULL
					 ? EXIT_PERMISSION
					 : EXIT_CONNECTION;

	cli_fail(status, connection_hint(message), "cannot connect: %.*s",
			 (int) strcspn(message, "\n"), message);
}

/* The name of the local time zone; NULL: not known, the server's own is used. */
static const char *
local_zone(void)
{
	static char target[256];
	const char *zone = getenv("TZ");
	ssize_t len;

	if (settings.utc)
		return "UTC";
	if (zone != NULL && *zone != '\0' && *zone != ':')
		return zone;
	len = readlink(LOCAL_TIME_LINK, target, sizeof(target) - 1);
	if (len <= 0)
		return NULL;
	target[len] = '\0';
	zone = strstr(target, ZONE_DIRECTORY);
	return zone != NULL ? zone + strlen(ZONE_DIRECTORY) : NULL;
}

/* What a session cannot do without. */
static void
require_done(PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		exit(cli_report_error(result, NULL));
	PQclear(result);
}

static void
set_up_session(void)
{
	const char *timeout = settings.timeout != NULL ? settings.timeout : DEFAULT_TIMEOUT;
	const char *values[2] = {timeout, unlimited ? "true" : "false"};
	const char *zone = local_zone();
	PGresult *result = cli_try(SESSION_SQL, 2, values);

	if (PQresultStatus(result) != PGRES_TUPLES_OK && settings.timeout != NULL)
		cli_fail(EXIT_USAGE, HINT_DURATION, "--timeout: \"%s\" is not a duration",
				 settings.timeout);
	require_done(result);
	if (zone != NULL)
		PQclear(cli_try("select pg_catalog.set_config('TimeZone', $1, false)", 1, &zone));
	if (settings.role != NULL)
		require_done(cli_try("select pg_catalog.set_config('role', $1, false)", 1, &settings.role));
	if (settings.dry_run)
		require_done(cli_try("begin", 0, NULL));
}

/* Notices of the server are notes of the program. */
static void
take_notice(void *arg, const PGresult *result)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);

	(void) arg;
	if (message != NULL)
		cli_note("notice: %s", message);
	if (message != NULL && hint != NULL)
		cli_note("hint: %s", hint);
}

PGconn *
cli_connection(void)
{
	if (connection != NULL)
		return connection;
	connection = connect_with(settings.ask_password ? ask_password() : NULL);
	if (connection != NULL && PQstatus(connection) != CONNECTION_OK &&
		PQconnectionNeedsPassword(connection) && !settings.never_ask_password &&
		isatty(STDIN_FILENO))
	{
		PQfinish(connection);
		connection = connect_with(ask_password());
	}
	if (connection == NULL || PQstatus(connection) != CONNECTION_OK)
		fail_to_connect(connection != NULL ? PQerrorMessage(connection) : "out of memory");
	PQsetNoticeReceiver(connection, take_notice, NULL);
	set_up_session();
	return connection;
}

PGconn *
cli_another_connection(void)
{
	PGconn *first = cli_connection();
	PGconn *more = connect_with(PQpass(first));

	if (more == NULL || PQstatus(more) != CONNECTION_OK)
		fail_to_connect(more != NULL ? PQerrorMessage(more) : "out of memory");
	PQsetNoticeReceiver(more, take_notice, NULL);
	/* The same statements go to it as to the first one. */
	connection = more;
	set_up_session();
	connection = first;
	return more;
}

void
cli_session_without_limit(void)
{
	unlimited = true;
	if (connection != NULL)
		require_done(cli_try("set statement_timeout = 0", 0, NULL));
}

void
cli_session_switch(const char *dbname)
{
	PQfinish(connection);
	connection = NULL;
	other_database = dbname;
}

int
cli_session_end(int status)
{
	if (connection == NULL)
		return status;
	if (settings.dry_run)
	{
		PQclear(PQexec(connection, "rollback"));
		cli_note("Nothing was done.");
	}
	PQfinish(connection);
	connection = NULL;
	return status;
}

/* ---- statements -------------------------------------------------------------- */

static void (*ticker)(void); /* NULL: nobody watches */

void
cli_session_watch(void (*tick)(void))
{
	ticker = tick;
}

/* As PQexecParams(), but the ticker is called meanwhile. */
static PGresult *
execute_watched(PGconn *c, const char *sql, int nvalues, const char *const *values)
{
	PGresult *last = NULL;
	PGresult *result;

	if (!PQsendQueryParams(c, sql, nvalues, NULL, values, NULL, NULL, 0))
		return NULL;
	while (PQisBusy(c))
	{
		struct pollfd fd = {PQsocket(c), POLLIN, 0};

		if (poll(&fd, 1, TICK_MS) > 0 && !PQconsumeInput(c))
			break;
		ticker();
	}
	while ((result = PQgetResult(c)) != NULL)
	{
		PQclear(last);
		last = result;
	}
	return last;
}

PGresult *
cli_try(const char *sql, int nvalues, const char *const *values)
{
	PGconn *c = cli_connection();
	int64_t start = tq_clock_ms();
	PGresult *result = ticker != NULL
						   ? execute_watched(c, sql, nvalues, values)
						   : PQexecParams(c, sql, nvalues, NULL, values, NULL, NULL, 0);

	if (settings.verbose)
		fprintf(stderr, "%s\n-- %lld ms\n", sql, (long long) (tq_clock_ms() - start));
	return result;
}

bool
cli_has_code(const PGresult *result, const char *code)
{
	const char *got = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return got != NULL && strcmp(got, code) == 0;
}

void
cli_session_recover(void)
{
	if (connection != NULL && PQtransactionStatus(connection) == PQTRANS_INERROR)
		PQclear(PQexec(connection, "rollback"));
}

PGresult *
cli_read_as(Oid type, const char *value)
{
	return PQexecParams(cli_connection(), "select $1", 1, &type, &value, NULL, NULL, 0);
}

/*
 * serve.c
 *		serve: the queue over HTTP.
 *
 * One process, one thread, one poll(): the library's descriptor, the connections to the database,
 * and signals.  It has no state that matters, so any number of them may run.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/query.h"
#include "cli/report.h"
#include "cli/serve/auth.h"
#include "cli/serve/listen.h"
#include "cli/serve/listener.h"
#include "cli/serve/own_routes.h"
#include "cli/serve/request.h"
#include "cli/serve/serve.h"
#include "cli/serve/stats.h"
#include "cli/serve/streams.h"
#include "cli/serve/tokens.h"
#include "cli/serve/waiters.h"
#include "cli/server.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "cli/values.h"
#include "cli/worklog.h"
#include "client/signals.h"
#include "client/supervisor.h"
#include "core/clock.h"

#define DEFAULT_ADDRESS "127.0.0.1:8088"
#define DEFAULT_TOKENS  "/etc/taskq/tokens"
#define DEFAULT_READER  "taskq_reader"
#define CONNECTIONS     16
#define MAX_QUEUED      512
#define MAX_WAITING     1024
#define MAX_STREAMS     1000 /* of events */
#define MAX_NUMBER      100000
#define STOP_MS         10000
#define PATIENCE        1 /* signals to stop, before one that ends the program at once */
#define MAX_POLL        (1 + HTTP_MAX_POLL + GATE_MAX_CONNECTIONS + 1)
#define SAME_LINE_MS    1000

static const cli_option serve_options[] = {
	{0, "listen", "ADDRESS",
	 "a port of loopback, HOST:PORT, or the path of a\nUNIX socket; may be repeated\n"
	 "(default: " DEFAULT_ADDRESS ")",
	 NULL, NULL, NULL},
	{0, "tokens", "FILE",
	 "who may come in: see taskq token new\n(default: " DEFAULT_TOKENS ", if it is there)", NULL,
	 NULL, NULL},
	{0, "anonymous", "ROLE", "the role of requests without a token", NULL, NULL, NULL},
	{0, "behind-proxy", NULL,
	 "a proxy is in front: X-Forwarded-For and\nX-Forwarded-Proto are believed, and other "
	 "addresses\nthan loopback may be listened on",
	 NULL, NULL, NULL},
	{0, "user-header", "NAME",
	 "a header in which a proxy tells whose line of the\nfile of tokens a request is; with UNIX "
	 "sockets only",
	 NULL, NULL, NULL},
	{0, "session-key", "FILE",
	 "the key of logins, where several gateways share\nthem (default: made at the start)", NULL,
	 NULL, NULL},
	{0, "reader", "ROLE",
	 "the role that looks at all queues, for statistics\nand for those who wait "
	 "(default: " DEFAULT_READER ")",
	 NULL, NULL, NULL},
	{0, "connections", "N", "to the database (default: 16)", NULL, NULL, NULL},
	{0, "max-queued", "N", "requests that wait for a connection (default: 512)", NULL, NULL, NULL},
	{0, "max-waiting", "N", "requests that wait for a task or its end\n(default: 1024)", NULL, NULL,
	 NULL},
	{0, "create-queues", NULL, "a submit by Miyamoto's API makes its queue", NULL, NULL, NULL},
	{0, "hide-payload", NULL, "lists of tasks are without payloads", NULL, NULL, NULL},
	{0, "web-dir", "DIRECTORY", "files of the dashboard, instead of those in the\nprogram", NULL,
	 NULL, NULL},
	{0, "check", NULL, "tell whether the role of each token can be taken,\nand what it may do",
	 NULL, NULL, NULL},
	{0, "log", "FILE", "instead of standard error; SIGHUP opens it again", NULL, NULL, NULL},
	{0, "log-format", "FORMAT", "text (the default) or json", NULL, NULL, NULL},
};

typedef struct Server
{
	gateway g;
	listener *listener;
	bool ready;
	int64_t watchdog_at_ms;
	int64_t stop_at_ms; /* 0: it goes on */
} Server;

/* ---- options --------------------------------------------------------------------- */

/* A credential of systemd, or the usual file; NULL: there is none. */
static const char *
default_tokens(void)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	static char path[4096];

	if (directory != NULL &&
		snprintf(path, sizeof(path), "%s/tokens", directory) < (int) sizeof(path) &&
		access(path, F_OK) == 0)
		return path;
	return access(DEFAULT_TOKENS, F_OK) == 0 ? DEFAULT_TOKENS : NULL;
}

static auth *
read_auth(const cli_call *call)
{
	auth_options o = {.tokens = cli_value(call, "tokens"),
					  .anonymous = cli_value(call, "anonymous"),
					  .user_header = cli_value(call, "user-header"),
					  .session_key = cli_value(call, "session-key")};

	if (o.tokens == NULL)
		o.tokens = default_tokens();
	if (o.tokens == NULL && o.anonymous == NULL)
		cli_usage("nobody could come in: there is no " DEFAULT_TOKENS ", and neither --tokens nor "
				  "--anonymous is given");
	return auth_new(&o);
}

/* What would let strangers in is refused. */
static void
check_sockets(const cli_call *call, const listen_sockets *s)
{
	if (!s->all_local && !cli_is_on(call, "behind-proxy"))
		cli_usage("an address that is not loopback needs --behind-proxy: TLS and limits are the "
				  "proxy's");
	if (!s->all_files && cli_value(call, "user-header") != NULL)
		cli_usage("--user-header goes with UNIX sockets only: anybody could send that header");
}

/* ---- --check --------------------------------------------------------------------- */

static bool
check_role(const char *name, const char *role)
{
	static const char sql[] =
		"select pg_catalog.concat_ws(', ', "
		"case when pg_catalog.pg_has_role('taskq_admin', 'usage') then 'everything' end, "
		"case when pg_catalog.pg_has_role('taskq_submitter', 'usage') then 'submit' end, "
		"case when pg_catalog.pg_has_role('taskq_worker', 'usage') then 'work' end, "
		"case when pg_catalog.pg_has_role('taskq_reader', 'usage') then 'view' end, "
		"(select pg_catalog.string_agg(p.queue || ': ' || "
		"pg_catalog.array_to_string(p.privileges, ' '), ', ') "
		"from taskq._own_privileges() p))";
	const char *values[1] = {role};
	PGresult *taken = cli_try("select pg_catalog.set_config('role', $1, false)", 1, values);
	PGresult *may = NULL;
	bool done = PQresultStatus(taken) == PGRES_TUPLES_OK;

	if (done)
	{
		may = cli_try(sql, 0, NULL);
		done = PQresultStatus(may) == PGRES_TUPLES_OK;
	}
	printf("%s\t%s\t%s\t%s\n", name, role, done ? "ok" : "refused",
		   done ? PQgetvalue(may, 0, 0)
				: PQresultErrorField(may != NULL ? may : taken, PG_DIAG_MESSAGE_PRIMARY));
	PQclear(taken);
	PQclear(may);
	PQclear(cli_query("select pg_catalog.set_config('role', 'none', false)", 0, NULL));
	return done;
}

static int
run_check(const cli_call *call, const auth *a, const char *reader)
{
	const char *anonymous = cli_value(call, "anonymous");
	const char *name;
	const char *role;
	bool done = check_role("(reader)", reader);
	int i;

	for (i = 0; auth_line(a, i, &name, &role); i++)
		done = check_role(name, role) && done;
	if (anonymous != NULL)
		done = check_role("(anonymous)", anonymous) && done;
	return done ? EXIT_DONE : EXIT_REFUSED;
}

/* ---- the loop -------------------------------------------------------------------- */

/* Sixteen connections say the same when the database goes away or comes back. */
static void
log_connection(const char *line)
{
	static char last[400];
	static int64_t last_ms;
	int64_t now = tq_clock_ms();

	if (strcmp(line, last) == 0 && now - last_ms < SAME_LINE_MS)
		return;
	snprintf(last, sizeof(last), "%s", line);
	last_ms = now;
	cli_log_text(line);
}

static void
reload(Server *s)
{
	char fault[TOKEN_FAULT_SIZE];

	cli_log_reopen();
	if (auth_reload(s->g.auth, fault))
		cli_log(NULL, "the tokens were read again");
	else
		cli_log(NULL, "the tokens stay as they were: %s", fault);
}

static void
begin_to_stop(Server *s)
{
	cli_log(NULL, "stopping");
	tq_supervisor_tell("STOPPING=1");
	s->stop_at_ms = tq_clock_ms() + STOP_MS;
	s->g.stopping = true;
	http_quiesce(s->g.http);
	waiters_stop(s->g.waiters);
	streams_stop(s->g.streams);
}

static void
react_to_signals(Server *s)
{
	tq_signals_clear();
	if (tq_signals_came(SIGHUP))
		reload(s);
	if (tq_signals_stops() > 0 && s->stop_at_ms == 0)
		begin_to_stop(s);
}

static void
tell_state(Server *s)
{
	int64_t now = tq_clock_ms();

	if (!s->ready && gate_is_up(s->g.gate))
	{
		s->ready = true;
		cli_log(NULL, "ready");
		tq_supervisor_tell("READY=1");
	}
	if (tq_supervisor_watchdog_ms() > 0 && now >= s->watchdog_at_ms)
	{
		tq_supervisor_tell("WATCHDOG=1");
		s->watchdog_at_ms = now + tq_supervisor_watchdog_ms();
	}
}

static int
soonest(int64_t a, int64_t b)
{
	if (a < 0)
		return (int) b;
	return (int) (b < 0 ? a : tq_sooner(a, b));
}

static void
wait_for_anything(Server *s)
{
	struct pollfd fds[MAX_POLL];
	int n = 0;
	int ms = http_timeout(s->g.http);

	fds[n++] = (struct pollfd){tq_signals_fd(), POLLIN, 0};
	n += http_poll(s->g.http, fds + n);
	n += gate_poll(s->g.gate, fds + n);
	n += listener_poll(s->listener, fds + n);
	ms = soonest(gate_timeout(s->g.gate), ms);
	ms = soonest(waiters_timeout(s->g.waiters), ms);
	ms = soonest(streams_timeout(s->g.streams), ms);
	ms = soonest(listener_timeout(s->listener), ms);
	ms = soonest(stats_timeout(s->g.stats), ms);
	ms = soonest(own_routes_timeout(), ms);
	(void) poll(fds, (nfds_t) n, ms);
}

static void
turn_once(Server *s)
{
	react_to_signals(s);
	gate_step(s->g.gate);
	listener_step(s->listener);
	waiters_step(s->g.waiters);
	streams_step(s->g.streams);
	own_routes_step();
	stats_step(s->g.stats);
	http_step(s->g.http);
	tell_state(s);
}

static bool
is_finished(const Server *s)
{
	return s->stop_at_ms != 0 &&
		   (http_count(s->g.http) == 0 || tq_clock_ms() >= s->stop_at_ms);
}

/* The library wants every request to be answered before it goes. */
static void
end_server(Server *s)
{
	gate_stop(s->g.gate);
	waiters_stop(s->g.waiters);
	streams_stop(s->g.streams);
	http_step(s->g.http);
	http_free(s->g.http);
	stats_free(s->g.stats);
	listener_free(s->listener);
	waiters_free(s->g.waiters);
	streams_free(s->g.streams);
	gate_free(s->g.gate);
	auth_free(s->g.auth);
	listen_remove_files();
	cli_log(NULL, "stopped");
}

static void
handle_gone(void *arg, http_request *r)
{
	exchange *x = r->owner;

	(void) arg;
	if (x->stream != NULL)
		streams_gone(x);
	else
		waiters_gone(x);
}

/* ---- the command ----------------------------------------------------------------- */

static void
start_server(Server *s, const cli_call *call, const listen_sockets *sockets)
{
	static http_handlers handlers = {request_begin, request_handle, handle_gone, request_end,
									 NULL};
	gate_options o = {.conninfo = cli_server_conninfo(true),
					  .connections = cli_number(call, "connections", 1, GATE_MAX_CONNECTIONS,
												CONNECTIONS),
					  .max_queued = cli_number(call, "max-queued", 1, MAX_NUMBER, MAX_QUEUED),
					  .log = log_connection};
	http_options web = {.sockets = sockets->fds,
						.nsockets = sockets->n,
						.behind_proxy = cli_is_on(call, "behind-proxy")};

	web.max_of_one = web.behind_proxy ? 0 : HTTP_MAX_OF_ONE;
	handlers.arg = &s->g;
	s->g.max_payload = cli_server_longest_line();
	s->g.waiters = waiters_new(&s->g, cli_number(call, "max-waiting", 1, MAX_NUMBER, MAX_WAITING));
	s->g.streams = streams_new(&s->g, MAX_STREAMS);
	s->g.stats = stats_new(&s->g);
	s->g.gate = gate_new(&o);
	s->listener = listener_new(o.conninfo, s->g.waiters, s->g.streams, log_connection);
	s->g.http = http_new(&web, &handlers);
	if (s->g.waiters == NULL || s->g.streams == NULL || s->g.stats == NULL || s->g.gate == NULL ||
		s->listener == NULL || s->g.http == NULL || !tq_signals_take(PATIENCE) ||
		!tq_signals_add(SIGHUP))
		cli_fail(EXIT_REFUSED, NULL, "cannot start: out of memory or descriptors");
}

/* Each request that waits has a descriptor. */
static void
raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void) setrlimit(RLIMIT_NOFILE, &limit);
}

static int
run_serve(cli_call *call)
{
	Server s = {.ready = false};
	listen_sockets sockets;
	const char *reader = cli_value(call, "reader");

	if (settings.dry_run)
		cli_usage("taskq serve has no dry run; there is --check");
	s.g.auth = read_auth(call);
	s.g.reader = reader != NULL ? reader : DEFAULT_READER;
	s.g.web_dir = cli_value(call, "web-dir");
	s.g.create_queues = cli_is_on(call, "create-queues");
	s.g.hide_payload = cli_is_on(call, "hide-payload");
	if (cli_is_on(call, "check"))
		return run_check(call, s.g.auth, s.g.reader);
	sockets = listen_open(call, DEFAULT_ADDRESS);
	check_sockets(call, &sockets);
	cli_log_begin(call);
	raise_descriptors();
	start_server(&s, call, &sockets);
	(void) cli_session_end(EXIT_DONE);
	do
		turn_once(&s);
	while (!is_finished(&s) && (wait_for_anything(&s), true));
	end_server(&s);
	return EXIT_DONE;
}

const cli_command cli_serve = {
	.name = "serve",
	.synopsis = "[OPTION]...",
	.about = "The queue over HTTP, and the dashboard",
	.details =
		"Requests show a token (Authorization: Bearer TOKEN), which is a role of the database:\n"
		"what that role may do, they may do.  The login of the gateway needs no rights but to\n"
		"become those roles, and the role of --reader.  Its routes: GET /v1/openapi.json.\n"
		"\n"
		"SIGHUP: reads the tokens and opens the log again.  SIGTERM: takes no more connections,\n"
		"answers those who wait, and ends when all requests are answered, after 10 s at the\n"
		"latest.  Sockets of systemd (LISTEN_FDS) are listened on.",
	.examples = "  taskq serve --anonymous taskq_submitter --check",
	.options = serve_options,
	.noptions = COUNT(serve_options),
	.run = run_serve};

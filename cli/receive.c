/*
 * receive.c
 *		receive: answers requests by a command.
 *
 * One process, one thread, one poll(): the web server, the pipes of the commands, and signals.  It
 * needs no database: what it gets is told by the requests.
 *
 * A request waits in a line until there is room for its command.  Its caller may go away at any
 * time: then it leaves the line, or its command is killed, since nobody would get the answer and
 * the sender will try again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "cli/child.h"
#include "cli/outcome.h"
#include "cli/program.h"
#include "cli/receive.h"
#include "cli/receiver.h"
#include "cli/report.h"
#include "cli/requestenv.h"
#include "cli/scan.h"
#include "cli/serve/listen.h"
#include "cli/settings.h"
#include "cli/values.h"
#include "cli/worklog.h"
#include "client/signals.h"
#include "client/supervisor.h"
#include "client/utf8.h"
#include "core/clock.h"

#define DEFAULT_JOBS  16
#define MAX_JOBS      256
#define DEFAULT_BODY  (1 << 20)
#define MAX_BODY      (256 << 20)
#define MAX_OUTPUT    (1 << 20)
#define MAX_WAITING   512
#define KILL_AFTER_MS 10000
#define FLUSH_MS      5000 /* for callers to read their answers, at a stop */
#define PATIENCE      2    /* signals to stop, before one that ends the program at once */
#define MAX_POLL      (1 + HTTP_MAX_POLL + MAX_JOBS * CHILD_NFDS)
#define MAX_NAME      32

static const cli_option receive_options[] = {
	{0, "listen", "ADDRESS",
	 "a port of loopback, HOST:PORT, or the path of a\nUNIX socket; may be repeated", NULL, NULL,
	 NULL},
	{'j', "jobs", "N", "commands at a time; more requests wait (default: 16)", NULL, NULL, NULL},
	{0, "secret-file", "FILE",
	 "secrets of an endpoint, one a line: a request without\na signature by one of them is "
	 "answered 401",
	 NULL, NULL, NULL},
	{0, "max-body", "BYTES", "of a request; a longer one is answered 413\n(default: 1048576)", NULL,
	 NULL, NULL},
	{0, "log", "FILE", "instead of standard error; SIGHUP opens it again", NULL, NULL, NULL},
	{0, "log-format", "FORMAT", "text (the default) or json", NULL, NULL, NULL},
};

/* A request, from its arrival until its command has ended. */
typedef struct Run
{
	struct Run *next;
	http_request *request; /* NULL: it was answered, since its caller has gone away */
	char name[MAX_NAME];   /* in the log */
	bool started;
	cli_child child; /* valid once started */
} Run;

typedef struct Server
{
	cli_receiver *receiver;
	cli_runner_options o;
	Run *runs; /* in the order of their arrival */
	int nstarted;
	int nwaiting;
	int max_jobs;
	int stops;       /* signals to stop that were seen */
	int64_t idle_ms; /* since when nothing runs, at a stop; 0: something does */
} Server;

/* ---- what becomes of a command --------------------------------------------------- */

static bool
is_utf8(const char *text, size_t len)
{
	const char *end = text + len;
	size_t n;

	for (; text < end; text += n)
		if ((n = tq_utf8_length(text, end)) == 0)
			return false;
	return true;
}

static const char *
type_of(const char *text, size_t len)
{
	if (cli_scan(text, len, NULL, NULL))
		return HTTP_TYPE_JSON;
	return is_utf8(text, len) ? "text/plain; charset=utf-8" : HTTP_TYPE_BYTES;
}

static void
refuse_run(Run *run, int status, const char *reason)
{
	if (status == 503)
		http_add(run->request, "Retry-After", "1");
	cli_receiver_refuse(run->request, status, reason);
	run->request = NULL;
}

/* The output, whatever the command ended with; if there is none, the reason. */
static void
answer(Run *run, int status, const char *reason)
{
	const tq_buffer *output = &run->child.output;
	http_request *r = run->request;

	if (status != 200 && output->len == 0)
	{
		refuse_run(run, status, reason);
		return;
	}
	run->request = NULL;
	http_answer(r, status, output->len > 0 ? type_of(output->data, output->len) : NULL,
				output->len > 0 ? output->data : "", output->len);
}

static void
end_run(const Server *s, Run *run)
{
	const cli_child *c = &run->child;
	bool fine = WIFEXITED(c->end.status) && WEXITSTATUS(c->end.status) == 0;
	char *error = cli_outcome_error(c->end.status, c->last_line);
	char *reason = cli_outcome_error(c->end.status, "");

	if (fine && !c->output.overflowed)
		cli_log_at(LOG_USUAL, NULL, "%s: done in %d ms", run->name, (int) c->end.ms);
	else
		cli_log(NULL, "%s: %s", run->name, fine || error == NULL ? "output is too long" : error);
	if (run->request == NULL)
		;
	else if (c->kill_at_ms != 0 && s->stops > 1)
		refuse_run(run, 503, "the receiver stops");
	else if (c->output.overflowed)
		refuse_run(run, 500, "the output of the command is too long");
	else
		answer(run, fine ? 200 : 500, reason != NULL ? reason : "the command has failed");
	free(error);
	free(reason);
}

/* ---- commands -------------------------------------------------------------------- */

/* What a log line calls it: its task, if the request tells one. */
static void
name_run(Run *run)
{
	const char *id = http_header(run->request, "X-Task-Id");

	if (id != NULL && *id != '\0' && strlen(id) < 20 && strspn(id, "0123456789") == strlen(id))
		snprintf(run->name, sizeof(run->name), "task %s", id);
	else
		strcpy(run->name, "request");
}

static void
tell_errors(Run *run, bool all)
{
	cli_child *c = &run->child;
	char line[1024];
	const char *bytes;
	size_t len;

	while ((bytes = cli_lines_next(&c->errors, &len)) != NULL ||
		   (all && (bytes = cli_lines_rest(&c->errors, &len)) != NULL))
	{
		tq_utf8_clean(bytes, len < sizeof(line) ? len : sizeof(line) - 1, line);
		cli_log(NULL, "%s: stderr: %s", run->name, line);
		if (len > 0)
			tq_utf8_clean(bytes, len < sizeof(c->last_line) ? len : sizeof(c->last_line) - 1,
						  c->last_line);
	}
}

static int
start_command(const Server *s, Run *run)
{
	char **environment = cli_requestenv_make(&s->o, run->request);
	const tq_buffer *body = &run->request->body;
	int error;

	if (environment == NULL)
		return ENOMEM;
	error = cli_child_start(&run->child, &s->o.surroundings, s->o.command, environment);
	cli_requestenv_free(&s->o, environment);
	if (error != 0)
		return error;
	if (body->len > 0 && !cli_child_write(&run->child, body->data, body->len))
		cli_child_kill(&run->child, SIGKILL, 0);
	cli_child_end_input(&run->child);
	return 0;
}

/* One that cannot be started has done nothing, so the sender may try again at once. */
static void
start_run(Server *s, Run *run)
{
	int error = start_command(s, run);

	s->nwaiting--;
	if (error != 0)
	{
		cli_log(NULL, "%s: cannot run %s: %s", run->name, s->o.command[0], strerror(error));
		refuse_run(run, 503, "the command cannot be started");
		return;
	}
	run->started = true;
	s->nstarted++;
	cli_child_transfer(&run->child);
}

static void
free_run(Server *s, Run *run)
{
	if (run->started)
	{
		cli_child_free(&run->child);
		s->nstarted--;
	}
	free(run);
}

/* Goes on with a run; false: it is over. */
static bool
step_run(Server *s, Run *run)
{
	bool ended;

	if (!run->started && run->request != NULL && s->nstarted < s->max_jobs)
		start_run(s, run);
	if (!run->started)
		return run->request != NULL;
	cli_child_transfer(&run->child);
	ended = cli_child_step(&run->child);
	tell_errors(run, ended);
	if (ended)
		end_run(s, run);
	return !ended;
}

static void
step_runs(Server *s)
{
	Run **place = &s->runs;

	while (*place != NULL)
	{
		Run *run = *place;

		if (step_run(s, run))
			place = &run->next;
		else
		{
			*place = run->next;
			free_run(s, run);
		}
	}
}

/* ---- requests -------------------------------------------------------------------- */

static void
take_request(void *arg, http_request *r)
{
	Server *s = arg;
	Run *run = s->nwaiting < MAX_WAITING ? calloc(1, sizeof(*run)) : NULL;
	Run **place = &s->runs;

	if (run == NULL)
	{
		http_add(r, "Retry-After", "1");
		cli_receiver_refuse(r, 503, "too many requests wait");
		return;
	}
	while (*place != NULL)
		place = &(*place)->next;
	*place = run;
	run->request = r;
	r->owner = run;
	name_run(run);
	s->nwaiting++;
	(void) http_watch(r);
}

/* What has not begun is forgotten with the next step. */
static void
take_gone(void *arg, http_request *r)
{
	Server *s = arg;
	Run *run = r->owner;

	cli_log(NULL, "%s: its caller has gone away", run->name);
	if (run->started)
		cli_child_kill(&run->child, SIGTERM, KILL_AFTER_MS);
	else
		s->nwaiting--;
	refuse_run(run, 503, "its caller has gone away");
}

/* ---- the loop -------------------------------------------------------------------- */

/* Those that wait are refused. */
static void
begin_to_stop(Server *s)
{
	Run *run;

	cli_log(NULL, "stopping");
	tq_supervisor_tell("STOPPING=1");
	cli_receiver_stop(s->receiver);
	for (run = s->runs; run != NULL; run = run->next)
	{
		if (run->started || run->request == NULL)
			continue;
		s->nwaiting--;
		refuse_run(run, 503, "the receiver stops");
	}
}

static void
kill_all(Server *s)
{
	Run *run;

	cli_log(NULL, "killing what runs");
	for (run = s->runs; run != NULL; run = run->next)
		if (run->started)
			cli_child_kill(&run->child, SIGTERM, KILL_AFTER_MS);
}

static void
react_to_signals(Server *s)
{
	int stops;

	tq_signals_clear();
	stops = tq_signals_stops();
	if (tq_signals_came(SIGHUP))
		cli_log_reopen();
	if (stops > 0 && s->stops == 0)
		begin_to_stop(s);
	if (stops > 1 && s->stops < 2)
		kill_all(s);
	s->stops = stops;
}

static int
due_in(const Server *s)
{
	int64_t now = tq_clock_ms();
	int64_t ms = cli_receiver_timeout(s->receiver);
	const Run *run;

	for (run = s->runs; run != NULL; run = run->next)
	{
		int64_t due = run->started ? cli_child_due_ms(&run->child) : -1;

		if (due >= 0 && due - now < ms)
			ms = due > now ? due - now : 0;
	}
	return (int) ms;
}

static void
wait_for_anything(const Server *s)
{
	struct pollfd fds[MAX_POLL] = {{tq_signals_fd(), POLLIN, 0}};
	const Run *run;
	int n = 1;

	n += cli_receiver_poll(s->receiver, fds + n);
	for (run = s->runs; run != NULL; run = run->next)
		if (run->started)
			n += cli_child_poll(&run->child, fds + n);
	(void) poll(fds, (nfds_t) n, due_in(s));
}

/* Once nothing runs, the answers are to be read. */
static bool
is_finished(Server *s)
{
	if (s->stops == 0 || s->runs != NULL)
		return false;
	if (s->idle_ms == 0)
		s->idle_ms = tq_clock_ms();
	return cli_receiver_count(s->receiver) == 0 || tq_clock_ms() >= s->idle_ms + FLUSH_MS;
}

/* A command that ends frees a place, which the first in the line gets in the next turn. */
static void
run_server(Server *s)
{
	do
	{
		react_to_signals(s);
		cli_receiver_step(s->receiver);
		step_runs(s);
		if (!is_finished(s))
			wait_for_anything(s);
	} while (!is_finished(s));
}

/* ---- the command ----------------------------------------------------------------- */

static void
tell_ready(const listen_sockets *sockets)
{
	char host[INET6_ADDRSTRLEN] = "127.0.0.1";
	struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
	socklen_t size = sizeof(address);
	const struct sockaddr_in *four = (const struct sockaddr_in *) &address;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *) &address;

	(void) getsockname(sockets->fds[0], (struct sockaddr *) &address, &size);
	if (address.ss_family == AF_INET)
		cli_log(NULL, "ready on %s:%d", inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host)),
				ntohs(four->sin_port));
	else if (address.ss_family == AF_INET6)
		cli_log(NULL, "ready on [%s]:%d", inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host)),
				ntohs(six->sin6_port));
	else
		cli_log(NULL, "ready");
	tq_supervisor_tell("READY=1");
}

static listen_sockets
open_sockets(const cli_call *call)
{
	listen_sockets s = listen_open(call, NULL);

	if (s.n == 0)
		cli_usage("taskq receive needs --listen ADDRESS");
	if (!s.all_local && cli_value(call, "secret-file") == NULL)
		cli_usage("an address that is not loopback needs --secret-file: anybody could run the "
				  "command");
	return s;
}

static void
read_options(Server *s, const cli_call *call)
{
	if (settings.dry_run)
		cli_usage("taskq receive has no dry run");
	if (call->nafter == 0 || call->narguments > call->nafter)
		cli_usage("taskq receive needs a command after \"--\", and nothing before it");
	s->o.command = call->arguments;
	s->o.nwords = call->nafter;
	s->o.surroundings.max_output = MAX_OUTPUT;
	s->max_jobs = cli_number(call, "jobs", 1, MAX_JOBS, DEFAULT_JOBS);
	cli_requestenv_begin(&s->o);
	cli_program_check(&s->o);
}

static int
run_receive(cli_call *call)
{
	Server s = {.runs = NULL};
	const cli_receiver_handlers handlers = {take_request, take_gone, &s};
	const char *secrets = cli_value(call, "secret-file");
	listen_sockets sockets;

	read_options(&s, call);
	sockets = open_sockets(call);
	s.receiver = cli_receiver_new(
		sockets.fds, sockets.n, (size_t) cli_number(call, "max-body", 1, MAX_BODY, DEFAULT_BODY),
		secrets != NULL ? cli_secrets_read(secrets) : NULL, &handlers);
	cli_log_begin(call);
	if (s.receiver == NULL || !tq_signals_take(PATIENCE) || !tq_signals_add(SIGHUP) ||
		!tq_signals_add(SIGCHLD))
		cli_fail(EXIT_REFUSED, NULL, "cannot start: out of memory or descriptors");
	tell_ready(&sockets);
	run_server(&s);
	cli_receiver_free(s.receiver);
	listen_remove_files();
	cli_log(NULL, "stopped");
	return EXIT_DONE;
}

const cli_command cli_receive = {
	.name = "receive",
	.synopsis = "--listen ADDRESS [OPTION]... -- COMMAND [ARGUMENT]...",
	.about = "Run a command for each HTTP request: the other end of a push queue",
	.details =
		"The command reads the body from standard input.  If it exits with 0, its output is the\n"
		"answer, with status 200; else the status is 500.  Its environment has REQUEST_METHOD,\n"
		"REQUEST_URI, CONTENT_TYPE, each header as HTTP_NAME, and of a request that taskq sends\n"
		"TASKQ_TASK_ID, TASKQ_QUEUE, TASKQ_ATTEMPT, TASKQ_KEY, TASKQ_TOKEN, TRACEPARENT and\n"
		"TASKQ_TRACE, as far as there are such.\n"
		"\n"
		"When the caller goes away, the process group of the command gets SIGTERM, and after 10 s\n"
		"SIGKILL.  SIGTERM: new requests are answered 503, and it ends when no command runs any\n"
		"more.  A second one kills what runs.  Sockets of systemd (LISTEN_FDS) are listened on.",
	.max_arguments = -1,
	.options = receive_options,
	.noptions = COUNT(receive_options),
	.run = run_receive};

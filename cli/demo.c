/*
 * demo.c
 *		demo: shows what taskq does, in queues of its own.
 *
 * Each statement is printed as a person would type it, and what it returned.  What is printed is
 * what runs, so values are in the text; they are constants of this file, or numbers.
 */
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/demo.h"
#include "cli/query.h"
#include "cli/receiver.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "client/signals.h"
#include "core/clock.h"

#define MAX_STATEMENT 1024
#define LOOK_MS       50
#define LIMIT_MS      20000 /* for the end of a task */

static const cli_option demo_options[] = {
	{0, "keep", NULL, "keep the queues taskq_demo and taskq_demo_push", NULL, NULL, NULL},
};

typedef struct Demo
{
	cli_receiver *receiver; /* NULL: no push tasks are shown */
	int port;               /* of it */
	int received;
	char first[32]; /* the id of its first task: the history may have those of an earlier run */
} Demo;

static const char *const queues[] = {"taskq_demo", "taskq_demo_push"};
static int nmade; /* of the queues, that are to be dropped */

/* ---- statements ------------------------------------------------------------------ */

/* What exit() does as well, so that an error or a signal leaves no queue behind. */
static void
clean_up(void)
{
	while (nmade > 0)
		PQclear(cli_try("select taskq.drop_queue($1, true)", 1, &queues[--nmade]));
}

/* Ends the program if the user wants so. */
static void
check_signals(void)
{
	if (tq_signals_stops() > 0)
		exit(128 + SIGINT);
}

/* Runs a statement, prints it and the value that it returned, and returns that. */
__attribute__((format(printf, 1, 2))) static char *
show(const char *format, ...)
{
	char sql[MAX_STATEMENT];
	const char *value;
	PGresult *result;
	char *copy;
	va_list args;

	check_signals();
	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	printf("=> %s;\n", sql);
	result = cli_try(sql, 0, NULL);
	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		cli_fail_result(result);
	value = PQntuples(result) > 0 && PQnfields(result) > 0 ? PQgetvalue(result, 0, 0) : "";
	copy = cli_copy(value);
	if (*value != '\0')
		printf("%s\n", value);
	fflush(stdout);
	PQclear(result);
	return copy;
}

static void
headline(const char *text)
{
	printf("\n-- %s\n", text);
}

/* Waits a moment, while the receiver answers. */
static void
wait_a_moment(const Demo *demo)
{
	struct pollfd fds[1 + HTTP_MAX_POLL] = {{tq_signals_fd(), POLLIN, 0}};
	int n = 1;

	if (demo->receiver != NULL)
		n += cli_receiver_poll(demo->receiver, fds + 1);
	(void) poll(fds, (nfds_t) n, LOOK_MS);
	if (demo->receiver != NULL)
		cli_receiver_step(demo->receiver);
	check_signals();
}

/* Waits until a task has ended; false: it took too long. */
static bool
wait_for_end(const Demo *demo, const char *id)
{
	int64_t end = tq_clock_ms() + LIMIT_MS;

	while (tq_clock_ms() < end)
	{
		PGresult *result =
			cli_query("select ended_at is not null from taskq.tasks where id = $1", 1, &id);
		bool ended = PQntuples(result) == 1 && *PQgetvalue(result, 0, 0) == 't';

		PQclear(result);
		if (ended)
			return true;
		wait_a_moment(demo);
	}
	return false;
}

/* ---- pull ------------------------------------------------------------------------- */

static bool
is_due(void)
{
	PGresult *result = cli_query("select due > 0 from taskq.queue_stats('taskq_demo')", 0, NULL);
	bool due = *PQgetvalue(result, 0, 0) == 't';

	PQclear(result);
	return due;
}

/* Acquires the next task, when it is due; returns its id. */
static char *
acquire(const Demo *demo, char *token, size_t size)
{
	int64_t end = tq_clock_ms() + LIMIT_MS;
	char *row;
	char *blank;

	while (!is_due() && tq_clock_ms() < end)
		wait_a_moment(demo);
	row = show("select id || ' ' || token || ' ' || payload from "
			   "taskq.acquire('taskq_demo', worker => 'demo')");
	blank = strchr(row, ' ');
	if (blank == NULL)
		cli_fail(EXIT_REFUSED, NULL, "no task became due in time");
	*blank++ = '\0';
	snprintf(token, size, "%.*s", (int) strcspn(blank, " "), blank);
	return row;
}

static void
show_pull(Demo *demo)
{
	char token[32];
	char *id;

	headline("A task is put into a queue by the transaction that wants it done.");
	free(show("begin"));
	free(show("select taskq.submit('taskq_demo', '{\"never\": true}')"));
	free(show("rollback"));
	free(show("select taskq.submit('taskq_demo', '{\"sum\": [20, 22]}', key => 'sum')"));
	headline("The same key again: it is the same task.");
	free(show("select taskq.submit('taskq_demo', '{\"sum\": [1, 1]}', key => 'sum')"));
	headline("A worker acquires it: id, token and payload.  What was rolled back is not there.");
	id = acquire(demo, token, sizeof(token));
	snprintf(demo->first, sizeof(demo->first), "%s", id);
	headline("It fails, and is tried again by the retry policy.");
	free(show("select taskq.fail(%s, %s, 'no calculator', retry_in => '100 ms')", id, token));
	free(id);
	headline("So the worker gets it once more when it is due.");
	id = acquire(demo, token, sizeof(token));
	free(show("select taskq.finish(%s, %s, '{\"sum\": 42}')", id, token));
	free(show("select state || ' ' || result from taskq.result(%s)", id));
	free(id);
}

/* ---- push -------------------------------------------------------------------------- */

static void
take_demo_request(void *arg, http_request *r)
{
	Demo *demo = arg;

	demo->received++;
	printf("   the receiver got a request for %s with %.*s\n", r->path, (int) r->body.len,
		   r->body.len > 0 ? r->body.data : "");
	http_answer(r, 204, NULL, "", 0);
}

/* What must be so for a request to reach this program; NULL: it is. */
static const char *
why_no_push(void)
{
	static const char sql[] =
		"select case when not coalesce(bool_and(ok) filter (where \"check\" in ('preloaded', "
		"'executor', 'armed')), false) then 'the executor does not send; see taskq status' end "
		"from taskq.status()";
	static char why[200];
	PGresult *result = cli_query(sql, 0, NULL);
	bool fine = PQgetisnull(result, 0, 0);

	snprintf(why, sizeof(why), "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	return fine ? NULL : why;
}

static void
show_push(Demo *demo)
{
	const cli_receiver_handlers handlers = {take_demo_request, NULL, demo};
	const char *why = why_no_push();
	char *id;
	char *class;

	headline("A push task is sent as an HTTP request, here to this program.");
	if (why != NULL)
	{
		printf("   not shown: %s\n", why);
		return;
	}
	demo->receiver = cli_receiver_on_loopback(&handlers, &demo->port);
	if (demo->receiver == NULL)
	{
		puts("   not shown: this program cannot listen on 127.0.0.1");
		return;
	}
	id = show("select taskq.submit_http('http://127.0.0.1:%d/hello', '{\"n\": 1}', "
			  "queue => 'taskq_demo_push', retry => 'none')",
			  demo->port);
	if (!wait_for_end(demo, id))
		puts("   it was not sent in time");
	class = show("select coalesce((select class || ': ' || error from taskq.attempts where "
				 "task_id = %s), (select state::text from taskq.result(%s)))",
				 id, id);
	if (demo->received == 0)
		puts(
			"   To allow it, set taskq.http_allow = '127.0.0.1' and taskq.http_ports = ''; and the "
			"server must\n   run on this machine.");
	free(class);
	free(id);
}

/* ---- the command ----------------------------------------------------------------------- */

static void
make_queues(bool keep)
{
	(void) atexit(clean_up);
	headline(keep ? "Queues of its own, which are kept."
				  : "Queues of its own, which are dropped at the end.");
	free(show("select taskq.create_queue('%s', keep_payload => true)", queues[0]));
	nmade = keep ? 0 : 1;
	free(show("select taskq.create_queue('%s', mode => 'push')", queues[1]));
	nmade = keep ? 0 : 2;
}

static int
run_demo(cli_call *call)
{
	Demo demo = {.receiver = NULL};

	if (settings.dry_run)
		cli_usage("taskq demo has no dry run; it cleans up after itself");
	if (!tq_signals_take(1))
		cli_fail(EXIT_REFUSED, NULL, "out of descriptors");
	make_queues(cli_value(call, "keep") != NULL);
	show_pull(&demo);
	show_push(&demo);
	headline("All tasks of these queues:");
	free(show("select string_agg(format('%%s %%s %%s, attempt %%s', queue, id, state, attempt), "
			  "e'\\n' order by id) from taskq.tasks where queue like 'taskq\\_demo%%' and id >= %s",
			  demo.first));
	clean_up();
	cli_receiver_free(demo.receiver);
	return EXIT_DONE;
}

const cli_command cli_demo = {
	.name = "demo",
	.synopsis = "[--keep]",
	.about = "Show what taskq does, with the statements that do it",
	.details = "It works in queues of its own, taskq_demo and taskq_demo_push, and drops\n"
			   "them at the end.  The role must be allowed to create queues.",
	.examples = "  taskq demo",
	.options = demo_options,
	.noptions = COUNT(demo_options),
	.run = run_demo};

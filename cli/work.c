/*
 * work.c
 *		work: runs a command for each task of a queue.
 *
 * The first connection is that of every command: a mistake in a name, a privilege or a duration
 * ends the program with a message before anything is claimed.  The worker then has one of its own,
 * which is made again whenever it is lost.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pool.h"
#include "cli/query.h"
#include "cli/routes.h"
#include "cli/report.h"
#include "cli/runopts.h"
#include "cli/server.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "cli/values.h"
#include "cli/work.h"
#include "cli/workfile.h"
#include "cli/worklog.h"
#include "client/workername.h"

#define BREAKER_DEFAULT   10
#define POLL_DEFAULT_MS   5000
#define DELAY_DEFAULT     "1 min" /* of a declined task, as in decline(), likewise the next */
#define TIMES_DEFAULT     10
#define MAX_TIMES         1000
#define STATEMENT_TIMEOUT "30 s"

static const cli_option work_options[] = {
	{'j', "jobs", "N", "tasks at a time, of each queue that names no number\n(default: 1)", NULL,
	 NULL, NULL},
	{0, "lease", "DURATION",
	 "for how long this worker may be silent before\nanother takes over "
	 "(default: the queue's)",
	 NULL, NULL, NULL},
	{0, "heartbeat", "DURATION", "how often leases are extended\n(default: a third of the lease)",
	 NULL, NULL, NULL},
	{0, "run-timeout", "DURATION", "a task that has run for so long is killed, and\nhas failed",
	 NULL, NULL, NULL},
	{0, "kill-signal", "SIGNAL", "what the process group gets first (default: TERM)", NULL, NULL,
	 NULL},
	{0, "kill-after", "DURATION", "when SIGKILL follows (default: 10 s)", NULL, NULL, NULL},
	{0, "stop-timeout", "DURATION",
	 "on SIGTERM running tasks may go on for so long,\nthen they are "
	 "killed and given back\n(default: no limit)",
	 NULL, NULL, NULL},
	{0, "max-age", "DURATION", "a task that was submitted so long ago is not run:\nit dies", NULL,
	 NULL, NULL},
	{0, "stdin", "WHAT", "what the command reads: payload (the default), text,\ntask or none", NULL,
	 NULL, NULL},
	{0, "id", "WHAT", "what the last argument is: id (the default), key\nor none", NULL, NULL,
	 NULL},
	{0, "result", "WHAT", "what its output becomes: auto (the default), json,\ntext or none", NULL,
	 NULL, NULL},
	{0, "max-result", "BYTES", "of output that are kept (default: 65536)", NULL, NULL, NULL},
	{0, "stderr-tail", "BYTES",
	 "of standard error that are kept with a failed\nattempt (default: "
	 "4096)",
	 NULL, NULL, NULL},
	{0, "permanent-exit", "LIST", "exit statuses after which a task is not tried\nagain: 2,64",
	 NULL, NULL, NULL},
	{0, "retry-in", "DURATION", "when a failed task is due again\n(default: by its policy)", NULL,
	 NULL, NULL},
	{0, "env", "NAME=VALUE", "a variable for the command; may be repeated", NULL, NULL, NULL},
	{0, "clean-env", NULL, "of the worker's own environment it gets PATH only", NULL, NULL, NULL},
	{0, "chdir", "DIRECTORY", "where it runs", NULL, NULL, NULL},
	{0, "user", "USER[:GROUP]", "as whom it runs; only for root", NULL, NULL, NULL},
	{0, "nice", "N", "its priority, -20 to 19", NULL, NULL, NULL},
	{0, "rlimit", "NAME=N",
	 "a limit: as, cpu, core, data, fsize, nofile or nproc;\nmay be repeated", NULL, NULL, NULL},
	{0, "lines", NULL, "the command stays, and reads and answers tasks as\nlines", NULL, NULL,
	 NULL},
	{0, "per-child", "N", "with --lines: tasks at a time of one process\n(default: 1)", NULL, NULL,
	 NULL},
	{0, "max-tasks", "N", "with --lines: tasks after which a process ends\n(default: no limit)",
	 NULL, NULL, NULL},
	{0, "breaker", "N",
	 "so many failures in a row stop claiming for a while;\n0: never (default: "
	 "10)",
	 NULL, NULL, NULL},
	{0, "no-route", "WHAT",
	 "what becomes of a task for whose kind a file has no\nroute, without a command for all others:"
	 " decline\n(the default): left to other workers; dead",
	 NULL, NULL, NULL},
	{0, "no-route-delay", "DURATION", "when a declined task is due again (default: 1 min)", NULL,
	 NULL, NULL},
	{0, "no-route-times", "N", "a task that was declined so often before is dead\n(default: 10)",
	 NULL, NULL, NULL},
	{0, "before", "FUNCTION",
	 "an SQL function, called with the task as jsonb; false:\nit counts as "
	 "done and is not run; may be repeated",
	 NULL, NULL, NULL},
	{0, "after", "FUNCTION",
	 "an SQL function, called with the task and its outcome\nas jsonb; may be "
	 "repeated: the last one is first",
	 NULL, NULL, NULL},
	{0, "drain", NULL, "end when nothing is due", NULL, NULL, NULL},
	{0, "once", NULL, "end after one task", NULL, NULL, NULL},
	{0, "idle-exit", "DURATION", "end after so long without a task", NULL, NULL, NULL},
	{0, "name", "NAME", "what taskq.workers shows (default: host and process)", NULL, NULL, NULL},
	{0, "poll", "DURATION",
	 "longest time between looks, beside notifications\n(default: 5 s, and "
	 "at random up to a fifth more\nor less)",
	 NULL, NULL, NULL},
	{0, "log", "FILE", "instead of standard error; SIGHUP opens it again", NULL, NULL, NULL},
	{0, "log-format", "FORMAT", "text (the default) or json", NULL, NULL, NULL},
	{0, "config", "FILE",
	 "read options from a file, one a line: NAME = VALUE;\nqueue = QUEUE=JOBS and command = WORDS "
	 "as well, and\nsections [route PATTERN]",
	 NULL, NULL, NULL},
};

/* ---- queues --------------------------------------------------------------------- */

/* QUEUE or QUEUE=JOBS. */
static void
read_queue(cli_workdb_options *o, const char *argument, int jobs)
{
	char *name = cli_copy(argument);
	char *number = strrchr(name, '=');
	cli_queue *queue = &o->queues[o->nqueues++];
	char *end;
	long n = jobs;

	if (number != NULL)
	{
		*number++ = '\0';
		n = strtol(number, &end, 10);
		if (end == number || *end != '\0' || n < 1 || n > RUNOPTS_MAX_JOBS)
			cli_usage("\"%s\" is not QUEUE=JOBS, with 1 to %d jobs", argument, RUNOPTS_MAX_JOBS);
	}
	cli_server_check_queue(name);
	queue->name = name;
	queue->max_jobs = (int) n;
}

static void
read_queues(const cli_call *call, const cli_workfile *f, cli_workdb_options *o)
{
	int jobs = cli_number(call, "jobs", 1, RUNOPTS_MAX_JOBS, 1);
	int i;

	o->queues = calloc((size_t) f->nqueues, sizeof(*o->queues));
	if (o->queues == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	for (i = 0; i < f->nqueues; i++)
		read_queue(o, f->queues[i], jobs);
}

/* ---- the other options ------------------------------------------------------------ */

static void
read_hooks(const cli_call *call, tq_hooks *hooks)
{
	int i;

	for (i = 0; i < call->ngiven; i++)
	{
		const char *option = call->given[i].option->name;
		const char *function = call->given[i].value;
		bool before = strcmp(option, "before") == 0;
		const char *mistake;

		if (!before && strcmp(option, "after") != 0)
			continue;
		mistake = tq_hooks_add(hooks, before, function);
		if (mistake != NULL)
			cli_usage("%s--%s: \"%s\": %s", call->given[i].place, option, function, mistake);
	}
}

/* Fails if the server does not find the functions of an expression, with these arguments. */
static void
check_functions(const char *begin, char *expression)
{
	char *sql;
	PGresult *prepared;

	if (expression == NULL || asprintf(&sql, "%s%s", begin, expression) < 0)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	prepared = PQprepare(cli_connection(), "", sql, 0, NULL);
	if (PQresultStatus(prepared) != PGRES_COMMAND_OK)
		cli_fail_result(prepared);
	PQclear(prepared);
	free(sql);
	free(expression);
}

static void
check_hooks(const tq_hooks *hooks)
{
	if (hooks->nbefore > 0)
		check_functions("", tq_hooks_before_sql(hooks));
	if (hooks->nafter > 0)
		check_functions("select ", tq_hooks_after_sql(hooks, "$1::jsonb", "$2::jsonb"));
}

/* Of the queue's own lease it is seen with each claim: see cli_workdb_options. */
static void
check_heartbeat(const cli_call *call, const cli_workdb_options *o)
{
	if (o->lease != NULL && o->heartbeat_ms >= cli_duration_ms(call, "lease", 0))
		cli_usage("--heartbeat must be less than --lease");
}

static void
read_database(const cli_call *call, const cli_workfile *f, const tq_hooks *hooks,
			  cli_workdb_options *o)
{
	o->name = cli_value(call, "name");
	if (o->name == NULL)
		o->name = tq_workername_default();
	if (!tq_workername_valid(o->name))
		cli_usage("--name: \"%s\" is empty or too long", o->name);
	o->lease = cli_duration_text(call, "lease");
	o->max_age = cli_duration_text(call, "max-age");
	o->retry_in = cli_duration_text(call, "retry-in");
	o->heartbeat_ms = cli_duration_ms(call, "heartbeat", 0);
	check_heartbeat(call, o);
	o->poll_ms = cli_duration_ms(call, "poll", POLL_DEFAULT_MS);
	o->timeout = settings.timeout != NULL ? settings.timeout : STATEMENT_TIMEOUT;
	o->hooks = hooks;
	read_queues(call, f, o);
	o->conninfo = cli_server_conninfo(true);
}

/* ---- commands --------------------------------------------------------------------- */

/* The arguments are queues, and the command after "--", which goes before that of a file. */
static void
read_words(const cli_call *call, cli_workfile *f)
{
	int nqueues = call->narguments - call->nafter;
	int i;

	for (i = 0; i < nqueues; i++)
		cli_workfile_add_queue(f, call->arguments[i]);
	if (call->nafter > 0)
	{
		f->command = call->arguments + nqueues;
		f->nwords = call->nafter;
	}
	if (f->nqueues == 0)
		cli_usage("taskq work needs a queue");
	if (f->command == NULL && f->nroutes == 0)
		cli_usage("taskq work needs a command after \"--\"");
}

static void
give_again(cli_call *call, const struct cli_given *given)
{
	cli_give(call, given->option, given->value, given->place);
}

/* The options of the worker, and after them those of a section, which so win. */
static cli_call
call_of_section(const cli_call *call, const cli_section *section)
{
	cli_call both = {.command = call->command};
	int i;

	for (i = 0; i < call->ngiven; i++)
		give_again(&both, &call->given[i]);
	for (i = 0; i < section->options.ngiven; i++)
		give_again(&both, &section->options.given[i]);
	return both;
}

static void
read_route(const cli_call *call, const cli_workfile *f, const cli_section *section, int jobs,
		   const cli_workdb_options *db, cli_route *route)
{
	cli_call both = section != NULL ? call_of_section(call, section) : *call;
	cli_runner_options *r = &route->runner;

	if (section != NULL && section->command == NULL)
		cli_usage("%sroute %s has no command", section->place, section->pattern);
	route->pattern = section != NULL ? section->pattern : NULL;
	r->command = section != NULL ? section->command : f->command;
	r->nwords = section != NULL ? section->nwords : f->nwords;
	cli_runopts_read(&both, r);
	cli_runopts_read_environment(&both, r, cli_server_conninfo(false), db->name);
	r->max_processes = (jobs + r->per_child - 1) / r->per_child;
}

/* The sections in their order, and the command for all other kinds. */
static void
read_routes(const cli_call *call, const cli_workfile *f, const cli_workdb_options *db,
			cli_routes *routes)
{
	int jobs = 0;
	int i;

	for (i = 0; i < db->nqueues; i++)
		jobs += db->queues[i].max_jobs;
	routes->routes = calloc((size_t) f->nroutes + 1, sizeof(*routes->routes));
	if (routes->routes == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	for (i = 0; i < f->nroutes; i++)
		read_route(call, f, &f->routes[i], jobs, db, &routes->routes[routes->n++]);
	if (f->command != NULL)
		read_route(call, f, NULL, jobs, db, &routes->routes[routes->n++]);
}

/* What becomes of a task whose kind has no route. */
static void
read_no_route(const cli_call *call, cli_workdb_options *db)
{
	static const char *const actions[] = {"decline", "dead"};
	bool dead = cli_choice(call, "no-route", actions, COUNT(actions)) == 1;
	char times[16];

	snprintf(times, sizeof(times), "%d",
			 cli_number(call, "no-route-times", 0, MAX_TIMES, TIMES_DEFAULT));
	db->decline_times = dead ? "0" : cli_copy(times);
	db->decline_delay = cli_duration_text(call, "no-route-delay");
	if (db->decline_delay == NULL)
		db->decline_delay = DELAY_DEFAULT;
}

/* The server refuses a pattern that no kind can have. */
static void
check_patterns(const cli_routes *routes, const cli_workdb_options *db)
{
	const char *values[] = {db->queues[0].name, cli_routes_kinds(routes)};

	PQclear(cli_query("select taskq.serve(array[$1], $2)", 2, values));
}

/* A worker that ends when nothing is due ends at once then. */
static void
tell_paused(const cli_workdb_options *db)
{
	int i;

	for (i = 0; i < db->nqueues; i++)
	{
		PGresult *paused = cli_try("select from taskq.queues where queue = $1 and paused", 1,
								   &db->queues[i].name);

		if (PQntuples(paused) > 0)
			cli_note("queue \"%s\" is paused: none of its tasks is done", db->queues[i].name);
		PQclear(paused);
	}
}

/* ---- the command --------------------------------------------------------------------- */

static int
run_work(cli_call *call)
{
	cli_pool_options o = {.stop_timeout_ms = -1};
	cli_workfile file = {.nqueues = 0};
	cli_routes routes = {NULL, 0};
	tq_hooks hooks = {.nbefore = 0, .nafter = 0};

	if (settings.dry_run)
		cli_usage("taskq work has no dry run");
	cli_workfile_read(&file, call);
	read_words(call, &file);
	cli_log_begin(call);
	read_hooks(call, &hooks);
	read_database(call, &file, &hooks, &o.database);
	check_hooks(&hooks);
	read_no_route(call, &o.database);
	read_routes(call, &file, &o.database, &routes);
	check_patterns(&routes, &o.database);
	o.database.routes = &routes;
	o.stop_timeout_ms = cli_duration_ms(call, "stop-timeout", -1);
	o.idle_exit_ms = cli_duration_ms(call, "idle-exit", -1);
	o.breaker = cli_number(call, "breaker", 0, INT_MAX, BREAKER_DEFAULT);
	o.drain = cli_is_on(call, "drain");
	o.once = cli_is_on(call, "once");
	if (o.drain || o.once)
		tell_paused(&o.database);
	(void) cli_session_end(EXIT_DONE);
	return cli_pool_run(&o);
}

const cli_command cli_work = {
	.name = "work",
	.synopsis = "QUEUE[=JOBS]... [OPTION]... -- COMMAND [ARGUMENT]...",
	.about = "Run a command for each task of a queue",
	.details =
		"The command reads the payload, and gets the id of the task as its last argument.  Exit\n"
		"status 0 finishes the task, and the output becomes its result; any other status fails\n"
		"the attempt.  TASKQ_TASK_ID, TASKQ_TOKEN, TASKQ_QUEUE, TASKQ_ATTEMPT and others are in\n"
		"its environment.  On descriptor 3 it may say more, a line of JSON each:\n"
		"{\"progress\":0.4,\"message\":\"resizing\"}, {\"fail\":\"no such "
		"order\",\"permanent\":true},\n"
		"{\"release\":5} or {\"finish\":RESULT}.\n"
		"\n"
		"A file of options may have sections [route PATTERN], each with a command and options of\n"
		"its own for tasks of some kinds.  * in a pattern stands for any characters, and the\n"
		"first route that fits is taken.  An option that a section does not have is as before the\n"
		"first section.  A section may have: command, run-timeout, kill-signal, kill-after,\n"
		"stdin, id, result, max-result, stderr-tail, permanent-exit, env, clean-env, chdir, user,\n"
		"nice, rlimit, lines, per-child and max-tasks.\n"
		"\n"
		"SIGTERM and SIGINT: nothing more is claimed, and running tasks may end; the second one\n"
		"kills them and gives them back, the third ends the worker at once.  SIGHUP opens the log\n"
		"again, and renews the processes of --lines.",
	.examples = "  taskq work default --drain -- sh -c 'read -r payload; echo done'\n"
				"  taskq work default=4 --drain --id none -- cat",
	.max_arguments = -1,
	.options = work_options,
	.noptions = COUNT(work_options),
	.run = run_work};

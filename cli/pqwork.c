/*
 * pqwork.c
 *		The worker of taskq perfectqueue: --exec and --run.
 *
 * The engine is that of taskq work.  What is PerfectQueue's own is the words of its log, and that
 * a failure uses up nothing: a task is tried until it is too old.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/daemon.h"
#include "cli/environment.h"
#include "cli/pool.h"
#include "cli/pqwork.h"
#include "cli/program.h"
#include "cli/report.h"
#include "cli/server.h"
#include "cli/session.h"
#include "cli/worklog.h"
#include "client/workername.h"

#define RUBY              "ruby"
#define DRIVER            "../share/taskq/perfectqueue_run.rb" /* from the program's directory */
#define STATEMENT_TIMEOUT "30 s"
#define TAIL              4096
#define KILLS             10 /* calls of the method kill before the process is killed */
#define MS                1000

/* ---- the log ----------------------------------------------------------------------- */

static const char *
id_of(const cli_job *job)
{
	return job->key != NULL ? job->key : job->id;
}

/* For cli_log_tell(). */
static void
tell_event(cli_event event, const cli_job *job, const char *what)
{
	switch (event)
	{
		case EVENT_ACQUIRED:
			cli_log_at(LOG_VERBOSE, NULL, "acquired task id=%s", id_of(job));
			break;
		case EVENT_STARTED:
			cli_log(NULL, "processing task id=%s", id_of(job));
			break;
		case EVENT_EXTENDED:
			cli_log_at(LOG_VERBOSE, NULL, "extending timeout=%s id=%s", what, id_of(job));
			break;
		case EVENT_FINISHED:
			cli_log(NULL, "finished id=%s", id_of(job));
			break;
		case EVENT_FAILED:
			cli_log(NULL, "failed id=%s: %s", id_of(job), what);
			break;
		case EVENT_EXPIRED:
			cli_log(NULL, "canceling expired task id=%s", id_of(job));
			break;
		case EVENT_CANCELLED:
			cli_log(NULL, "task id=%s is canceled.", id_of(job));
			break;
		case EVENT_KILLING:
			cli_log(NULL, "killing %s...", id_of(job));
			break;
		case EVENT_STOPPING:
			cli_log(NULL, "shutting down...");
			break;
	}
}

static void
open_pq_log(const cli_pqoptions *o)
{
	if (!cli_log_open(o->log, false, o->verbose ? LOG_VERBOSE : LOG_USUAL))
		cli_fail(EXIT_REFUSED, NULL, "cannot open %s: %s", o->log, strerror(errno));
	cli_log_tell(tell_event);
}

/* ---- the command --------------------------------------------------------------------- */

/* Adds the words, and the arguments of the options, to an array that ends with NULL. */
static void
make_command(const cli_pqoptions *o, const char *const *words, int n, cli_runner_options *r)
{
	int i;

	r->command = calloc((size_t) (n + o->nargs) + 1, sizeof(char *));
	if (r->command == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	for (i = 0; i < n; i++)
		r->command[i] = (char *) words[i];
	for (i = 0; i < o->nargs; i++)
		r->command[n + i] = o->args[i];
	r->nwords = n + o->nargs;
}

static void
make_exec(const cli_pqoptions *o, cli_runner_options *r)
{
	make_command(o, &o->argument, 1, r);
	r->input = INPUT_TEXT;
	r->id = ID_NAME;
	r->result = RESULT_NONE;
	r->kill_after_ms = (int64_t) o->kill_interval * MS;
	cli_program_check(r);
}

/* Never freed. */
static char *
path_of_driver(void)
{
	char program[PATH_MAX] = "";
	char *path = NULL;

	if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0 ||
		strrchr(program, '/') == NULL)
		cli_fail(EXIT_REFUSED, NULL, "cannot read /proc/self/exe: %s", strerror(errno));
	*strrchr(program, '/') = '\0';
	if (asprintf(&path, "%s/%s", program, DRIVER) < 0)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	if (access(path, R_OK) != 0)
		cli_fail(EXIT_REFUSED, "\"make install-cli\" installs it.", "cannot read %s: %s", path,
				 strerror(errno));
	return path;
}

/* The script says what shall be on descriptor 3; its output is the worker's own. */
static void
make_run(const cli_pqoptions *o, cli_runner_options *r)
{
	char interval[16];
	const char *words[] = {RUBY, NULL, o->argument, o->run_class, NULL};

	snprintf(interval, sizeof(interval), "%d", o->kill_interval);
	words[4] = cli_copy(interval);
	make_command(o, words, COUNT(words), r);
	if (!cli_program_is_there(r))
		cli_fail(EXIT_REFUSED, "Install the package ruby.", "--run needs ruby");
	if (access(o->argument, R_OK) != 0)
		cli_fail(EXIT_REFUSED, NULL, "cannot read %s: %s", o->argument, strerror(errno));
	r->command[1] = path_of_driver();
	r->lines = true;
	r->kill_after_ms = (int64_t) o->kill_interval * KILLS * MS;
}

static void
make_runner(const cli_pqoptions *o, cli_runner_options *r)
{
	if (o->action == PQ_RUN)
		make_run(o, r);
	else
		make_exec(o, r);
	r->per_child = 1;
	r->max_processes = o->workers;
	r->kill_signal = SIGTERM;
	r->run_timeout_ms = (int64_t) o->kill_timeout * MS;
	r->surroundings.with_lines = r->lines;
	r->surroundings.with_reply = true;
	r->surroundings.own_output = true;
	r->surroundings.max_tail = TAIL;
	r->surroundings.max_line = cli_server_longest_line();
}

static void
make_environment(const cli_pqoptions *o, const char *database, const char *worker,
				 cli_runner_options *r)
{
	int i;

	cli_environment_make(r, false, database, worker);
	for (i = 0; i < o->nenv; i++)
		cli_environment_put(r, o->env[i]);
}

/* ---- the database ----------------------------------------------------------------------- */

/* Seconds as an interval; never freed. */
static char *
interval_of(int seconds)
{
	char text[32];

	snprintf(text, sizeof(text), "%d s", seconds);
	return cli_copy(text);
}

static void
make_database(const cli_pqoptions *o, cli_workdb_options *db)
{
	char too_old[64];

	db->queues = calloc(1, sizeof(*db->queues));
	if (db->queues == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	db->queues[0].name = o->table;
	db->queues[0].max_jobs = o->workers;
	db->nqueues = 1;
	db->lease = interval_of(o->timeout);
	db->heartbeat_ms = (int64_t) o->heartbeat_interval * MS;
	db->retry_in = interval_of(o->retry_wait);
	db->max_age = interval_of(o->expire);
	snprintf(too_old, sizeof(too_old), "expired: older than %d s", o->expire);
	db->too_old = cli_copy(too_old);
	db->poll_ms = (int64_t) o->poll_interval * MS;
	db->timeout = STATEMENT_TIMEOUT;
	db->conninfo = cli_server_conninfo(true);
}

int
cli_pqwork_run(const cli_pqoptions *o)
{
	static const tq_hooks no_hooks = {.nbefore = 0, .nafter = 0};
	cli_route route = {.pattern = NULL};
	const cli_routes routes = {&route, 1};
	cli_pool_options pool = {.stop_timeout_ms = -1, .idle_exit_ms = -1};
	const char *database;
	int status;

	open_pq_log(o);
	make_database(o, &pool.database);
	pool.database.hooks = &no_hooks;
	pool.database.routes = &routes;
	make_runner(o, &route.runner);
	database = cli_server_conninfo(false);
	(void) cli_session_end(EXIT_DONE);
	if (o->daemon != NULL)
		cli_daemon_start(o->daemon);
	/* It has the number of this process. */
	pool.database.name = tq_workername_default();
	make_environment(o, database, pool.database.name, &route.runner);
	status = cli_pool_run(&pool);
	if (o->daemon != NULL)
		cli_daemon_end(o->daemon);
	return status;
}

/*
 * perfectqueue.c
 *		perfectqueue: the command line of PerfectQueue on a queue of taskq.
 *
 * A task of PerfectQueue is a task whose key is the id and whose payload is the data, as a JSON
 * string, so that all of its characters come out again.  Of a payload that is no string the data
 * is its JSON text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/names.h"
#include "cli/perfectqueue.h"
#include "cli/pqoptions.h"
#include "cli/pqwork.h"
#include "cli/query.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/settings.h"

static const char push_sql[] =
	"select taskq.submit($1, pg_catalog.to_jsonb($2::text), key => $3, max_attempts => 2147483647, "
	"on_duplicate => 'raise')";
static const char cancel_sql[] = "select taskq.cancel_key($1, $2)";
static const char create_sql[] =
	"select taskq.create_queue($1, lease_for => pg_catalog.make_interval(secs => $2::float8), "
	"keep_key => pg_catalog.make_interval(secs => $3::float8))";
static const char ready_sql[] = "call taskq.wait_ready($1, '0')";

/* Tasks that have ended have a time in ended_at.  So those are not read. */
static const char list_sql[] =
	"select coalesce(t.key, t.id::text), pg_catalog.to_char(t.submitted_at, format), "
	"pg_catalog.to_char(due, format), case pg_catalog.jsonb_typeof(t.payload) when 'string' "
	"then t.payload #>> '{}' else t.payload::text end "
	"from taskq.tasks t cross join (values ('YYYY-MM-DD HH24:MI:SS TZHTZM')) f (format) "
	"cross join lateral (select coalesce(t.lease_until, t.run_at)) d (due) "
	"where t.queue = $1 and t.ended_at is null order by due, t.id";

static const cli_option pq_options[] = {
	{0, "push", "ID=DATA", "push a task to the queue", NULL, NULL, NULL},
	{0, "list", NULL, "show queued tasks", NULL, NULL, NULL},
	{0, "cancel", "ID", "cancel a queued task", NULL, NULL, NULL},
	{0, "configure", "PATH.yaml", "write a configuration file", NULL, NULL, NULL},
	{0, "exec", "COMMAND", "execute a command for each task", NULL, NULL, NULL},
	{0, "run", "SCRIPT.rb", "run the method run of a class that the script\ndefines", NULL, NULL,
	 NULL},
	{'f', "file", "PATH.yaml", "read a configuration file; may be repeated", NULL, NULL, NULL},
	{'C', "run-class", "CLASS", "the class for --run (default: ::Run)", NULL, NULL, NULL},
	{'t', "timeout", "SEC",
	 "time for another worker to take over a task when\nthis worker goes down (default: 600)", NULL,
	 NULL, NULL},
	{'b', "heartbeat-interval", "SEC", "how often that time is extended\n(default: timeout * 3/4)",
	 NULL, NULL, NULL},
	{'x', "kill-timeout", "SEC",
	 "time after which a task that runs is killed\n(default: timeout * 10)", NULL, NULL, NULL},
	{'X', "kill-interval", "SEC", "time to kill it again (default: 60)", NULL, NULL, NULL},
	{'i', "poll-interval", "SEC", "polling interval (default: 1)", NULL, NULL, NULL},
	{'r', "retry-wait", "SEC", "time to retry a failed task\n(default: same as timeout)", NULL,
	 NULL, NULL},
	{'e', "expire", "SEC", "time after which a task is given up\n(default: 345600, 4 days)", NULL,
	 NULL, NULL},
	{'D', "delete-wait", "SEC", "how long the id of an ended task stays taken, when\nthe queue is "
								"made (default: 3600)",
	 NULL, NULL, NULL},
	{0, "database", "URI", "the database (default: that of taskq)", NULL, NULL, NULL},
	{0, "table", "NAME", "the queue, which is made if it is not there\n(default: perfectqueue)",
	 NULL, NULL, NULL},
	{0, "simpledb", "DOMAIN", "not supported", NULL, NULL, NULL},
	{'k', "key-id", "ID", "not supported", NULL, NULL, NULL},
	{'s', "secret-key", "KEY", "not supported", NULL, NULL, NULL},
	{'w', "worker", "NUM", "tasks at a time (default: 1)", NULL, NULL, NULL},
	{'d', "daemon", "PIDFILE", "run as a daemon (default: in the foreground)", NULL, NULL, NULL},
	{'o', "log", "PATH", "the log file; SIGHUP opens it again", NULL, NULL, NULL},
	{'v', "verbose", NULL, "log more", NULL, NULL, NULL},
	{0, "env", "NAME=VALUE", "a variable for the command; may be repeated", NULL, NULL, NULL},
	{'h', "help", NULL, "show this, and exit", NULL, NULL, NULL},
};
/* ---- the queue ----------------------------------------------------------------------- */

/* False: it may not be made, and *refusal says why not. */
static bool
make_queue(const cli_pqoptions *o, PGresult **refusal)
{
	char timeout[16];
	char keep[16];
	const char *values[] = {o->table, timeout, keep};
	bool made;

	snprintf(timeout, sizeof(timeout), "%d", o->timeout);
	snprintf(keep, sizeof(keep), "%d", o->delete_wait);
	*refusal = cli_try(create_sql, 3, values);
	/* Or another session has been faster. */
	made = PQresultStatus(*refusal) == PGRES_TUPLES_OK || cli_has_code(*refusal, "TQ002");
	return made;
}

/* Runs a statement on the queue, which is made if it is not there, as PerfectQueue does. */
static PGresult *
try_on_queue(const cli_pqoptions *o, const char *sql, int nvalues, const char *const *values)
{
	PGresult *result = cli_try(sql, nvalues, values);
	PGresult *refusal;

	if (!cli_has_code(result, "TQ001"))
		return result;
	if (!make_queue(o, &refusal))
		cli_fail_result(cli_has_code(refusal, "42501") ? result : refusal);
	PQclear(refusal);
	PQclear(result);
	return cli_try(sql, nvalues, values);
}

static void
fail_unless_done(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		cli_fail_result(result);
}

/* On standard error, beside the messages of PerfectQueue. */
static void
tell_missing(const cli_pqoptions *o)
{
	cli_note("queue \"%s\" does not exist yet; --push, --exec and --run make it", o->table);
}

/* ---- tasks ------------------------------------------------------------------------------ */

static int
push(const cli_pqoptions *o)
{
	char *id = cli_copy(o->argument);
	char *data = strchr(id, '=');
	const char *values[] = {o->table, data != NULL ? data + 1 : NULL, id};
	PGresult *result;
	bool taken;

	if (data == NULL)
		cli_pq_usage("invalid argument: --push %s", o->argument);
	*data = '\0';
	result = try_on_queue(o, push_sql, 3, values);
	taken = cli_has_code(result, "TQ003");
	if (!taken)
		fail_unless_done(result);
	printf(taken ? "Task id=%s already exists.\n" : "Task id=%s is submitted.\n", id);
	PQclear(result);
	return EXIT_DONE;
}

/* A queue that is not there has no task; it is not made for that. */
static int
cancel(const cli_pqoptions *o)
{
	const char *values[] = {o->table, o->argument};
	PGresult *result = cli_try(cancel_sql, 2, values);
	bool cancelled = false;

	if (cli_has_code(result, "TQ001"))
		tell_missing(o);
	else
	{
		fail_unless_done(result);
		cancelled = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	}
	printf(cancelled ? "Task id=%s is canceled.\n" : "Task id=%s does not exist.\n", o->argument);
	PQclear(result);
	return EXIT_DONE;
}

/* So it is with a list. */
static int
list(const cli_pqoptions *o)
{
	PGresult *result;
	int i;

	result = cli_query(list_sql, 1, &o->table);
	printf("%26s %26s %26s  %s\n", "id", "created_at", "timeout", "data");
	for (i = 0; i < PQntuples(result); i++)
		printf("%26s %26s %26s  %s\n", PQgetvalue(result, i, 0), PQgetvalue(result, i, 1),
			   PQgetvalue(result, i, 2), PQgetvalue(result, i, 3));
	printf("%d entries.\n", PQntuples(result));
	if (PQntuples(result) == 0 && !cli_name_exists(KIND_QUEUE, o->table))
		tell_missing(o);
	PQclear(result);
	return EXIT_DONE;
}

static int
work(const cli_pqoptions *o)
{
	PGresult *result = try_on_queue(o, ready_sql, 1, &o->table);

	fail_unless_done(result);
	PQclear(result);
	return cli_pqwork_run(o);
}

/* ---- the command ---------------------------------------------------------------------------- */

static int
run_perfectqueue(cli_call *call)
{
	cli_pqoptions o;

	cli_pqoptions_read(&o, call);
	if (o.database != NULL)
		settings.database = o.database;
	switch (o.action)
	{
		case PQ_PUSH:
			return push(&o);
		case PQ_CANCEL:
			return cancel(&o);
		case PQ_LIST:
			return list(&o);
		default:
			return work(&o);
	}
}

const cli_command cli_perfectqueue = {
	.name = "perfectqueue",
	.synopsis = "[options] [-- <ARGV-for-exec-or-run>]",
	.about = "The command line of PerfectQueue on a queue of taskq",
	.details =
		"The same when taskq is called perfectqueue.  --exec runs COMMAND with the arguments\n"
		"after \"--\" and the id of the task; the data is its standard input, and exit status 0\n"
		"means success.  --run makes an instance of a class in Ruby for each task and calls its\n"
		"method run.  All times are seconds.",
	.examples = "  taskq perfectqueue --push task1='{\"any\":\"data\"}'\n"
				"  taskq perfectqueue --list\n"
				"  taskq perfectqueue --cancel task1",
	.max_arguments = -1,
	.options = pq_options,
	.noptions = COUNT(pq_options),
	.raw = true,
	.run = run_perfectqueue};

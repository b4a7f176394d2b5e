/*
 * admin.c
 *		Commands about queues, endpoints, retry policies and schedules.
 *
 * Nearly all are rows of a table: the function of the extension, and its parameters as options.
 * Secrets come from files, never from arguments, which every user of the machine can read.
 */
#include <stdio.h>

#include "cli/admin.h"
#include "cli/call.h"
#include "cli/endpointtest.h"
#include "cli/flow.h"
#include "cli/input.h"
#include "cli/names.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/report.h"

/* ---- lists ------------------------------------------------------------------- */

static const char queues_sql[] =
	"select queue, mode, paused, lease_for, retry, keep_finished, keep_dead, keep_key, url, "
	"executor, pause_reason, durable_finish, keep_payload, keep_origin, ordered, "
	"header_style, accept_202, pg_catalog.to_jsonb(events) as events, on_finish, "
	"on_dead, "
	"created_at from taskq.queues order by queue";
static const char endpoints_sql[] =
	"select endpoint, circuit, failures, rate, max_running, timeout, signed, url, "
	"pg_catalog.to_jsonb(header_names) as header_names, old_secret_until, secrets_missing, "
	"next_start from taskq.endpoints order by endpoint";
static const char policies_sql[] =
	"select name, backoff, base, factor, max_delay, jitter, max_attempts, max_age, built_in, "
	"max_doublings, pg_catalog.to_jsonb(delays) as delays from taskq.retry_policies order by name";
static const char runs_sql[] =
	"select schedule, run_at, fired_at, outcome, task_id, error from taskq.schedule_runs "
	"where $1::text is null or schedule = $1 order by fired_at desc, run_at desc, schedule";
static const char schedules_sql[] =
	"select schedule, cron, every, timezone, paused, next_run, last_run, last_outcome, owner, "
	"starts, ends, overlap, missed, missed_within, jitter, task, last_task, created_at "
	"from taskq.schedules order by schedule";
static const char subscriptions_sql[] =
	"select topic, queue, pg_catalog.array_to_string(kinds, ',') as kinds from taskq.subscriptions "
	"order by topic, queue";
static const char preview_sql[] =
	"select n as attempt, taskq.backoff($1, n) as delay "
	"from pg_catalog.generate_series(1, $2::int) as n where n < coalesce((select max_attempts from "
	"taskq.retry_policies where name = $1), n + 1)";

static int
print_list(const char *sql, int ncolumns)
{
	PGresult *rows = cli_query(sql, 0, NULL);

	cli_print(rows, ncolumns);
	PQclear(rows);
	return EXIT_DONE;
}

static int
list_queues(cli_call *call)
{
	(void) call;
	return print_list(queues_sql, 9);
}

static int
list_endpoints(cli_call *call)
{
	(void) call;
	return print_list(endpoints_sql, 8);
}

static int
list_policies(cli_call *call)
{
	(void) call;
	return print_list(policies_sql, 9);
}

static int
list_subscriptions(cli_call *call)
{
	(void) call;
	return print_list(subscriptions_sql, 3);
}

static int
list_schedules(cli_call *call)
{
	(void) call;
	return print_list(schedules_sql, 8);
}

static int
list_runs(cli_call *call)
{
	const char *schedule = cli_argument(call, 0);
	PGresult *runs;

	if (schedule != NULL && !cli_name_exists(KIND_SCHEDULE, schedule))
		cli_fail(EXIT_NOTHING, cli_suggest(KIND_SCHEDULE, schedule),
				 "%s: there is no such schedule", schedule);
	runs = cli_query(runs_sql, 1, &schedule);
	cli_print(runs, PQnfields(runs));
	PQclear(runs);
	return EXIT_DONE;
}

/* ---- what is more than one call ---------------------------------------------- */

/* grant_queue() and revoke_queue(): their last argument is a list. */
static int
run_grant(cli_call *call)
{
	cli_statement s;

	cli_begin(&s, "*", call->command->function);
	cli_pass(&s, "queue", NULL, call->arguments[0]);
	cli_pass(&s, "role", NULL, call->arguments[1]);
	cli_pass(&s, "privileges", NULL, cli_array(call->arguments[2]));
	PQclear(cli_end_or_fail(&s, ""));
	return EXIT_DONE;
}

static int
preview_policy(cli_call *call)
{
	const char *attempts = cli_value(call, "attempts");
	const char *values[2] = {call->arguments[0], attempts != NULL ? attempts : "10"};
	PGresult *rows = cli_query(preview_sql, 2, values);

	cli_print(rows, PQnfields(rows));
	PQclear(rows);
	return EXIT_DONE;
}

/* The next times of a schedule, or of options that could be one. */
static int
preview_schedule(cli_call *call)
{
	cli_statement s;
	PGresult *times;

	cli_begin(&s, "next_runs as next_run", "next_runs");
	cli_pass(&s, "schedule", NULL, cli_argument(call, 0));
	cli_pass_options(&s, call);
	if (cli_value(call, "runs") == NULL)
		cli_pass(&s, "runs", NULL, "10");
	times = cli_end_or_fail(&s, "");
	cli_print(times, 1);
	PQclear(times);
	return EXIT_DONE;
}

/* ---- tables ------------------------------------------------------------------ */

/* An option that is the parameter of the same meaning. */
#define OPTION(name, argument, parameter, help)        \
	{                                                  \
		0, name, argument, help, parameter, NULL, NULL \
	}

#define QUEUE_OPTIONS                                                                            \
	OPTION("mode", "MODE", "mode", "pull, push or topic"),                                       \
		OPTION("url", "URL", "url", "push: where payloads are sent"),                            \
		OPTION("lease-for", "DURATION", "lease_for", "lease of an attempt without a heartbeat"), \
		OPTION("retry", "POLICY", "retry", "retry policy of its tasks"),                         \
		OPTION("keep-finished", "DURATION", "keep_finished", "how long finished tasks are "      \
															 "kept"),                            \
		OPTION("keep-dead", "DURATION", "keep_dead", "how long other ended tasks are kept"),     \
		OPTION("keep-key", "DURATION", "keep_key", "how long a key stays taken after the end"),  \
		OPTION("durable-finish", "BOOLEAN", "durable_finish", "whether a finish waits for "      \
															  "the disk"),                       \
		OPTION("executor", "EXECUTOR", "executor", "builtin or external"),                       \
		OPTION("keep-payload", "BOOLEAN", "keep_payload", "whether finished tasks keep "         \
														  "their payload"),                      \
		OPTION("keep-origin", "BOOLEAN", "keep_origin", "whether tasks keep who submitted "      \
														"them"),                                 \
		OPTION("ordered", "BOOLEAN", "ordered", "whether the tasks of a group run one at a\n"    \
												"time, in order"),                               \
		OPTION("header-style", "STYLE", "header_style", "taskq, miyamoto, appengine or "         \
														"cloudtasks"),                           \
		OPTION("accept-202", "BOOLEAN", "accept_202", "whether a receiver may answer "           \
													  "202 and report later"),                   \
		OPTION("on-finish", "JSON", "on_finish", "follow-ups of finished tasks"),                \
		OPTION("on-dead", "JSON", "on_dead", "follow-ups of dead and expired tasks"),            \
	{                                                                                            \
		0, "events", "EVENT,...", "the changes of its tasks that become "                        \
								  "events,\nfor tail; '': none",                                 \
			"events", NULL, cli_array                                                            \
	}

static const cli_option queue_options[] = {QUEUE_OPTIONS};

#define LIMIT_OPTIONS                                                                  \
	OPTION("max-running", "N", "max_running", "so many tasks run at a time; 0: none"), \
		OPTION("rate", "NUMBER", "rate", "so many tasks start in the time of --per"),  \
		OPTION("per", "DURATION", "per", "the time of --rate (default: 1 s)"),         \
		OPTION("burst", "N", "burst", "so many of them may start at once (default: 1)")

static const cli_option limit_options[] = {LIMIT_OPTIONS};

static const cli_option group_limit_options[] = {
	LIMIT_OPTIONS,
	OPTION("weight", "N", "weight", "its share of what runs, 1 to 100\n(default: 1)")};

static const cli_option groups_options[] = {
	OPTION("group-key", "GROUP", "group_key", "only this group"),
	OPTION("max-groups", "N", "max_groups", "at most so many (default: 100)")};

static const cli_option subscribe_options[] = {
	{0, "kinds", "KIND,...", "only messages of these kinds (default: all)", "kinds", NULL,
	 cli_array}};

static const cli_option force_options[] = {
	{0, "force", NULL, "also with live tasks, which are cancelled", "force", NULL, NULL}};

#define ENDPOINT_OPTIONS                                                                   \
	{0, "header-file", "FILE", "lines \"Name: value\", - for standard "                    \
							   "input",                                                    \
	 "headers", NULL, cli_file_headers},                                                   \
		{0, "secret-file", "FILE", "the secret of its signatures, - for "                  \
								   "standard\ninput",                                      \
		 "secret", NULL, cli_file_content},                                                \
		OPTION("attempt-timeout", "DURATION", "timeout", "how long one request may take"), \
		OPTION("max-running", "N", "max_running", "requests under way at a time"),         \
		OPTION("rate", "N", "rate", "requests that may start in a second")

static const cli_option create_endpoint_options[] = {
	ENDPOINT_OPTIONS, OPTION("retry", "POLICY", "retry", "retry policy (default: webhook)"),
	OPTION("executor", "EXECUTOR", "executor", "builtin or external"),
	OPTION("header-style", "STYLE", "header_style", "taskq, miyamoto, appengine or cloudtasks"),
	OPTION("accept-202", "BOOLEAN", "accept_202", "whether a receiver may answer 202 and "
												  "report later")};

static const cli_option alter_endpoint_options[] = {
	OPTION("url", "URL", "url", "where requests are sent"), ENDPOINT_OPTIONS};

static const cli_option rotate_options[] = {
	{0, "secret-file", "FILE", "the new secret (default: the server makes "
							   "one)",
	 "secret", NULL, cli_file_content},
	OPTION("keep-old", "DURATION", "keep_old", "so long requests are signed with both")};

static const cli_option test_options[] = {
	OPTION("path", "PATH", "path", "appended to the URL of the endpoint"),
	OPTION("method", "METHOD", "method", "default: POST")};

static const cli_option policy_options[] = {
	OPTION("backoff", "KIND", "backoff", "fixed, linear, exponential, power or schedule"),
	OPTION("base", "DURATION", "base", "the first delay"),
	OPTION("factor", "NUMBER", "factor", "of exponential and power"),
	OPTION("max-delay", "DURATION", "max_delay", "the longest delay"),
	OPTION("max-doublings", "N", "max_doublings", "then it grows by the same amount"),
	OPTION("jitter", "NUMBER", "jitter", "0 to 1: a random part of the delay"),
	OPTION("max-attempts", "N", "max_attempts", "then the task is dead"),
	OPTION("max-age", "DURATION", "max_age", "older tasks are not tried again"),
	{0, "delays", "DURATION,...", "the delays, for the kind "
								  "schedule",
	 "delays", "interval[]", cli_array}};

static const cli_option preview_options[] = {
	OPTION("attempts", "N", NULL, "how many (default: 10)")};

#define TIMES_OPTIONS                                                              \
	OPTION("cron", "EXPRESSION", "cron", "minute, hour, day, month, day of week"), \
		OPTION("every", "DURATION", "every", "so long after each other"),          \
		OPTION("timezone", "ZONE", "timezone", "of cron (default: UTC)"),          \
		OPTION("starts", "TIME", "starts", "no run before that time"),             \
		OPTION("ends", "TIME", "ends", "no run after that time")

static const cli_option schedule_options[] = {
	TIMES_OPTIONS,
	OPTION("overlap", "WHAT", "overlap", "skip, queue, replace or allow, if the last task is live"),
	OPTION("missed", "WHAT", "missed", "skip, once or all"),
	OPTION("missed-within", "DURATION", "missed_within", "older times are not made up"),
	OPTION("jitter", "DURATION", "jitter", "later by a random time up to this")};

static const cli_option next_options[] = {
	TIMES_OPTIONS, OPTION("runs", "N", "runs", "how many times (default: 10)")};

static const char *const queue_parameter[] = {"queue"};
static const char *const endpoint_parameter[] = {"endpoint"};
static const char *const endpoint_parameters[] = {"endpoint", "url"};
static const char *const name_parameter[] = {"name"};
static const char *const group_parameters[] = {"queue", "group_key"};
static const char *const subscription_parameters[] = {"topic", "queue"};
static const char *const schedule_parameter[] = {"schedule"};
static const char *const schedule_parameters[] = {"schedule", "task"};

/* A command that lists, or does something of its own. */
#define OWN(words, arguments, what, least, most, opts, nopts, function_)             \
	{                                                                                \
		.name = words, .synopsis = arguments, .about = what, .min_arguments = least, \
		.max_arguments = most, .options = opts, .noptions = nopts, .run = function_  \
	}

/* One call of a function: all its arguments are needed. */
#define CALL(words, arguments, what, n, opts, nopts, function_, names, ...)              \
	{                                                                                    \
		.name = words, .synopsis = arguments, .about = what, .min_arguments = n,         \
		.max_arguments = n, .options = opts, .noptions = nopts, .run = cli_run_function, \
		.function = function_, .parameters = names, __VA_ARGS__                          \
	}

#define REFUSED(text, status) .refusal = text, .refusal_status = status
#define REPLACES                                                                                   \
	"The new limit replaces the old one as a whole: what you leave out is not limited.  Without\n" \
	"options the limit is removed."

#define DROPS(text, what) .question = text, .kind = what

const cli_command admin_commands[] = {
	CALL("pause", "QUEUE", "Pause a queue: no task of it starts",
		 1, NULL, 0, "pause_queue", queue_parameter,
		 REFUSED("was paused already", EXIT_DONE)),
	CALL("resume", "QUEUE", "End the pause of a queue", 1, NULL, 0, "resume_queue", queue_parameter,
		 REFUSED("was not paused", EXIT_DONE)),

	OWN("queue ls", "", "List the queues", 0, 0, NULL, 0, list_queues),
	CALL("queue create", "QUEUE [OPTION]...", "Create a "
											  "queue",
		 1, queue_options, COUNT(queue_options), "create_queue",
		 queue_parameter, .examples = "  taskq queue create mail --lease-for '30 s' "
									  "--keep-payload true"),
	CALL("queue alter", "QUEUE [OPTION]...", "Change a "
											 "queue",
		 1, queue_options, COUNT(queue_options), "alter_queue",
		 queue_parameter, .examples = "  taskq queue alter mail --keep-dead '7 days'"),
	CALL("queue drop", "QUEUE [--force]", "Drop a "
										  "queue",
		 1, force_options, COUNT(force_options), "drop_queue",
		 queue_parameter, REFUSED("there is no such queue", EXIT_NOTHING),
		 DROPS("drop queue", KIND_QUEUE)),
	{.name = "queue grant",
	 .synopsis = "QUEUE ROLE PRIVILEGE,...",
	 .about = "Give a role privileges on a queue",
	 .details = "The privileges are submit, work, view and control.",
	 .min_arguments = 3,
	 .max_arguments = 3,
	 .run = run_grant,
	 .function = "grant_queue"},
	{.name = "queue revoke",
	 .synopsis = "QUEUE ROLE PRIVILEGE,...",
	 .about = "Take back privileges that a role has on a queue",
	 .min_arguments = 3,
	 .max_arguments = 3,
	 .run = run_grant,
	 .function = "revoke_queue"},

	OWN("queue limits", "[QUEUE]", "List the limits of queues and groups", 0, 1, NULL, 0,
		cli_list_limits),
	OWN("queue groups", "QUEUE [OPTION]...", "Show what the groups of a queue run and wait for", 1,
		1,
		groups_options, COUNT(groups_options), cli_list_groups),
	{.name = "queue set-limit",
	 .synopsis = "QUEUE [OPTION]...",
	 .about = "Limit how many tasks of a queue run at a time, or start in a time",
	 .details = REPLACES,
	 .examples = "  taskq queue set-limit default --max-running 50 --rate 100 --per '1 min'\n"
				 "  taskq queue set-limit default --yes",
	 .min_arguments = 1,
	 .max_arguments = 1,
	 .options = limit_options,
	 .noptions = COUNT(limit_options),
	 .run = cli_set_limit},
	{.name = "queue set-group-limit",
	 .synopsis = "QUEUE [GROUP] [OPTION]...",
	 .about = "Limit a group of a queue, or each group that has no limit of its own",
	 .details = REPLACES,
	 .examples = "  taskq queue set-group-limit default --max-running 2\n"
				 "  taskq queue set-group-limit default tenant-7 --max-running 5 --weight 3\n"
				 "  taskq queue drop-group-limit default tenant-7",
	 .min_arguments = 1,
	 .max_arguments = 2,
	 .options = group_limit_options,
	 .noptions = COUNT(group_limit_options),
	 .run = cli_set_group_limit},
	CALL("queue drop-group-limit", "QUEUE GROUP", "Remove the limit that a group has of its own", 2,
		 NULL, 0, "drop_group_limit", group_parameters,
		 REFUSED("that group has no limit of its own", EXIT_NOTHING)),

	CALL("subscribe", "TOPIC QUEUE [--kinds KIND,...]", "Make each message of a topic a task of a "
														"queue",
		 2, subscribe_options, COUNT(subscribe_options), "subscribe", subscription_parameters,
		 .details = "\"taskq queue create TOPIC --mode topic\" makes a topic."),
	CALL("unsubscribe", "TOPIC QUEUE", "End the subscription of a queue "
									   "to a topic",
		 2, NULL, 0, "unsubscribe",
		 subscription_parameters,
		 REFUSED("that queue is not subscribed", EXIT_NOTHING)),
	OWN("subscriptions", "", "List which queues are subscribed to which topics", 0, 0, NULL, 0,
		list_subscriptions),

	OWN("endpoint ls", "", "List the endpoints", 0, 0, NULL, 0, list_endpoints),
	CALL("endpoint create", "ENDPOINT URL [OPTION]...", "Create an "
														"endpoint",
		 2, create_endpoint_options,
		 COUNT(create_endpoint_options), "create_endpoint", endpoint_parameters,
		 .examples = "  taskq endpoint create acme https://hooks.example.com/acme --rate 20"),
	CALL("endpoint alter", "ENDPOINT [OPTION]...", "Change an endpoint", 1, alter_endpoint_options,
		 COUNT(alter_endpoint_options), "alter_endpoint", endpoint_parameter,
		 .examples = "  taskq endpoint alter acme --max-running 5"),
	CALL("endpoint drop", "ENDPOINT [--force]", "Drop an endpoint, which is a "
												"queue",
		 1, force_options,
		 COUNT(force_options), "drop_queue", queue_parameter, REFUSED("there is no such "
																	  "endpoint",
																	  EXIT_NOTHING),
		 DROPS("drop endpoint", KIND_ENDPOINT)),
	CALL("endpoint rotate-secret", "ENDPOINT [OPTION]...", "Set a new secret, and print "
														   "it",
		 1, rotate_options,
		 COUNT(rotate_options), "rotate_secret", endpoint_parameter,
		 .details = "The secret is shown this one time."),
	{.name = "endpoint test",
	 .synopsis = "ENDPOINT [PAYLOAD] [OPTION]...",
	 .about = "Send one request to an endpoint, and show what became of it",
	 .details = "It is a task of the kind \"test\" with one attempt; the payload is {} if none is "
				"given.\n--timeout is how long to wait for its end (default: 30 s).",
	 .min_arguments = 1,
	 .max_arguments = 2,
	 .options = test_options,
	 .noptions = COUNT(test_options),
	 .run = cli_test_endpoint},

	OWN("policy ls", "", "List the retry policies", 0, 0, NULL, 0, list_policies),
	CALL("policy create", "POLICY [OPTION]...", "Create a retry policy, or change "
												"it",
		 1, policy_options,
		 COUNT(policy_options), "create_retry_policy", name_parameter,
		 .examples = "  taskq policy create slow --base '10 s' --max-delay '1 h' "
					 "--max-attempts 10"),
	CALL("policy drop", "POLICY", "Drop a retry "
								  "policy",
		 1, NULL, 0, "drop_retry_policy", name_parameter,
		 REFUSED("there is no such policy", EXIT_NOTHING), DROPS("drop retry policy", KIND_POLICY)),
	OWN("policy preview", "POLICY [--attempts N]", "Show the delays of a retry "
												   "policy",
		1, 1, preview_options,
		COUNT(preview_options), preview_policy),

	OWN("schedule ls", "", "List the schedules", 0, 0, NULL, 0, list_schedules),
	CALL("schedule create", "SCHEDULE TASK [OPTION]...", "Declare a schedule, or change "
														 "it",
		 2, schedule_options,
		 COUNT(schedule_options), "schedule", schedule_parameters,
		 .details = "TASK is the task as JSON: see submit_template().",
		 .examples = "  taskq schedule create report '{\"queue\": \"default\"}' --cron '0 "
					 "6 * * *'"),
	CALL("schedule drop", "SCHEDULE", "Drop a "
									  "schedule",
		 1, NULL, 0, "unschedule", schedule_parameter,
		 REFUSED("there is no such schedule", EXIT_NOTHING), DROPS("drop schedule", KIND_SCHEDULE)),
	CALL("schedule run", "SCHEDULE", "Submit the task of a schedule now, and print its "
									 "id",
		 1, NULL, 0, "run_schedule",
		 schedule_parameter, REFUSED("it has no task of its own", EXIT_DONE)),
	CALL("schedule pause", "SCHEDULE", "Pause a schedule",
		 1, NULL, 0, "pause_schedule", schedule_parameter,
		 REFUSED("was paused already", EXIT_DONE)),
	CALL("schedule resume", "SCHEDULE", "End the pause of a "
										"schedule",
		 1, NULL, 0, "resume_schedule", schedule_parameter,
		 REFUSED("was not paused", EXIT_DONE)),
	OWN("schedule runs", "[SCHEDULE]", "List the last times of schedules, and what became of them",
		0, 1, NULL, 0, list_runs),
	OWN("schedule preview", "[SCHEDULE] [OPTION]...", "Show the next times of a schedule, "
													  "or of options that could be one",
		0,
		1, next_options, COUNT(next_options), preview_schedule),
};
const int nadmin_commands = COUNT(admin_commands);

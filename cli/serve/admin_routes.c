/*
 * admin_routes.c
 *		Routes of queues, endpoints, policies and schedules: to look at them and change them.
 *
 * What makes or changes one of them is apply_config() with a document that has it alone, so that
 * PUT means the same as a file for "taskq apply".
 */
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/serve/admin_routes.h"
#include "cli/serve/exchange.h"

/* clang-format off */

#define LIST(name, columns, from) \
	"select 200, '{\"" name "\":' || coalesce(json_agg(x), '[]') || '}' " \
	"from (select " columns " from " from ") x"

#define SECONDS(column) "extract(epoch from " column ") as "

#define QUEUE_COLUMNS \
	"q.queue, q.mode, q.url, " SECONDS("q.lease_for") "lease_for, q.retry, " \
	"" SECONDS("q.keep_finished") "keep_finished, " \
	SECONDS("q.keep_dead") "keep_dead, " SECONDS("q.keep_key") "keep_key, q.paused, " \
	"q.pause_reason, q.created_at, " \
	"q.durable_finish, q.executor, q.keep_payload, q.keep_origin, q.on_finish, q.on_dead, " \
	"q.ordered, q.header_style, q.accept_202, q.events, " \
	"s.pending, s.due, s.running, s.finished, s.dead, s.cancelled, s.expired, s.since, " \
	SECONDS("s.oldest_due_age") "oldest_due_age"
#define QUEUES "taskq.queues q left join taskq.queue_stats() s using (queue)"
#define QUEUE  "taskq.queues q left join lateral taskq.queue_stats(q.queue) s on true"

static const gate_statement queues_statement = {"serve_queues",
	LIST("queues", QUEUE_COLUMNS, QUEUES " order by q.queue"), 0, 0};

#define LIMITS \
	"(select coalesce(json_agg(l), '[]') from (select l.scope, l.group_key, l.max_running, " \
	"l.rate, " SECONDS("l.per") "per, l.burst, l.weight from taskq.limits l " \
	"where l.queue = $1 order by l.scope desc, l.group_key) l) as limits"

static const gate_statement queue_statement = {"serve_queue",
	"select case when x is null then 404 else 200 end, "
	"coalesce(row_to_json(x)::text, 'queue \"' || $1 || '\" does not exist') "
	"from (select 1) one left join (select " QUEUE_COLUMNS ", " LIMITS " "
	"from " QUEUE " where q.queue = $1) "
	"x on true",
	1, 0};

/* The bounds and the numbers of a histogram, in their order. */
#define HISTOGRAM(name) \
	"coalesce(json_agg(json_build_array(m.labels ->> 'le', m.value) order by m.value, " \
	"(m.labels ->> 'le')::double precision) filter (where m.name = '" name "'), '[]')"

static const gate_statement times_statement = {"serve_times",
	"select 200, json_build_object('wait', " HISTOGRAM("taskq_task_wait_seconds_bucket") ", "
	"'run', " HISTOGRAM("taskq_task_run_seconds_bucket") ")::text "
	"from taskq.metrics(10000) m where m.name like 'taskq\\_task\\_%\\_bucket' and "
	"m.labels ->> 'queue' = $1",
	1, 0};

static const gate_statement endpoints_statement = {"serve_endpoints",
	LIST("endpoints", "e.endpoint, e.url, e.header_names, " SECONDS("e.timeout") "timeout, "
	"e.max_running, e.rate, e.signed, "
	"e.old_secret_until, e.secrets_missing, e.circuit, e.failures, e.next_start, s.pending, "
	"s.due, s.running, s.finished, s.dead",
	"taskq.endpoints e left join taskq.queue_stats() s on s.queue = e.endpoint order by "
	"e.endpoint"), 0, 0};

static const gate_statement policies_statement = {"serve_policies",
	LIST("policies", "name, backoff, " SECONDS("base") "base, factor, "
	"" SECONDS("max_delay") "max_delay, max_doublings, jitter, "
	"max_attempts, " SECONDS("max_age") "max_age, delays, built_in", "taskq.retry_policies order "
	"by name"), 0, 0};

static const gate_statement schedules_statement = {"serve_schedules",
	LIST("schedules", "schedule, owner, cron, " SECONDS("every") "every, timezone, starts, ends, "
	"overlap, missed, "
	SECONDS("missed_within") "missed_within, " SECONDS("jitter") "jitter, paused, task, "
	"next_run, last_run, "
	"last_task::text as last_task, last_outcome, created_at", "taskq.schedules order by "
	"schedule"), 0, 0};

static const gate_statement workers_statement = {"serve_workers",
	LIST("workers", "worker, queue, running, oldest_start, next_lease_end", "taskq.workers order "
	"by worker, queue"), 0, 0};

static const gate_statement requests_statement = {"serve_requests",
	LIST("requests", "task_id::text as task_id, queue, attempt, worker, method, url, host, "
	"phase, since", "taskq.requests order by since limit 200"), 0, 0};

static const gate_statement runs_statement = {"serve_runs",
	"select 200, '{\"runs\":' || coalesce((select json_agg(x) from (select r.run_at, "
	"r.fired_at, r.outcome, r.task_id::text as task_id, r.error from taskq.schedule_runs r "
	"where r.schedule = $1 order by r.fired_at desc) x)::text, '[]') || ',\"next\":' || "
	"coalesce((select json_agg(n) from taskq.next_runs($1) n)::text, '[]') || '}'",
	1, 0};

static const gate_statement grants_statement = {"serve_grants",
	LIST("grants", "queue, role, privileges", "taskq.queue_grants order by queue, role"), 0, 0};

static const gate_statement status_statement = {"serve_status",
	"select 200, '{\"ok\":' || coalesce(bool_and(ok), true) || ',\"checks\":' || json_agg(x) "
	"|| ',\"extension\":' || coalesce(to_json((select extversion from pg_extension "
	"where extname = 'taskq'))::text, 'null') "
	"|| ',\"server\":' || to_json(current_setting('server_version')) "
	"|| ',\"database\":' || to_json(current_database()) || '}' "
	"from (select \"check\", ok, severity, detail, hint from taskq.status()) x", 0, 0};

/* ---- change ---------------------------------------------------------------------- */

#define CHANGES \
	"select 200, '{\"changes\":' || coalesce(json_agg(x), '[]') || '}' " \
	"from (select c.action, c.object, c.name, c.detail from "
#define PUT(kind) \
	CHANGES "taskq.apply_config(jsonb_build_object('" kind "', jsonb_build_object($1::text, " \
	"$3::jsonb)), " \
	"dry_run => coalesce($2::boolean, false)) c where c.action <> 'keep') x"

static const gate_statement put_queue_statement = {"serve_put_queue", PUT("queues"), 3, 0};
static const gate_statement put_endpoint_statement = {"serve_put_endpoint", PUT("endpoints"), 3, 0};
static const gate_statement put_policy_statement = {"serve_put_policy", PUT("policies"), 3, 0};
static const gate_statement put_schedule_statement = {"serve_put_schedule", PUT("schedules"), 3, 0};

static const gate_statement apply_statement = {"serve_apply",
	CHANGES "taskq.apply_config($4::jsonb, prune => coalesce($2::boolean, false), force => "
	"coalesce($3::boolean, false), "
	"dry_run => coalesce($1::boolean, false)) c) x", 4, 0};

static const gate_statement export_statement = {"serve_export", "select 200, "
"taskq.export_config()::text", 0, 0};

/* A truth of the function, and what false means. */
#define CALL(call, false_status, reason) \
	"select case when done then 200 else " false_status " end, " \
	"case when done then '{\"name\":\"' || replace($1, '\"', '\\\"') || '\",\"done\":true}' " \
	"else " reason " end " \
	"from (select " call " as done) x"

static const gate_statement drop_queue_statement = {"serve_drop_queue",
	CALL("taskq.drop_queue($1, coalesce($2::boolean, false))", "404", "'queue \"' || $1 || '\" "
	"does not exist'"), 2, 0};
static const gate_statement drop_policy_statement = {"serve_drop_policy",
	CALL("taskq.drop_retry_policy($1)", "404", "'retry policy \"' || $1 || '\" does not "
	"exist'"), 1, 0};
static const gate_statement unschedule_statement = {"serve_unschedule",
	CALL("taskq.unschedule($1)", "404", "'schedule \"' || $1 || '\" does not exist'"), 1, 0};
static const gate_statement pause_statement = {"serve_pause",
	CALL("taskq.pause_queue($1)", "200", "'{\"done\":false}'"), 1, 0};
static const gate_statement resume_statement = {"serve_resume",
	CALL("taskq.resume_queue($1)", "200", "'{\"done\":false}'"), 1, 0};
static const gate_statement pause_schedule_statement = {"serve_pause_schedule",
	CALL("taskq.pause_schedule($1)", "200", "'{\"done\":false}'"), 1, 0};
static const gate_statement resume_schedule_statement = {"serve_resume_schedule",
	CALL("taskq.resume_schedule($1)", "200", "'{\"done\":false}'"), 1, 0};

static const gate_statement purge_statement = {"serve_purge",
	"select 200, '{\"done\":' || taskq.purge_queue($1) || '}'", 1, 0};
static const gate_statement run_schedule_statement = {"serve_run_schedule",
	"select 201, json_build_object('id', taskq.run_schedule($1)::text)::text", 1, 0};
static const gate_statement rotate_statement = {"serve_rotate",
	"select 200, json_build_object('secret', taskq.rotate_secret($1, keep_old => "
	"coalesce($2::interval, '1 day')))::text", 2, 0};
static const gate_statement test_statement = {"serve_test",
	"with s as materialized (select taskq.submit_http(endpoint => $1, payload => "
	"'{\"test\":true}', kind => 'test', "
	"start_within => '1 min', max_attempts => 1) as id) select 201, '{\"id\":\"' || id || '\"}', "
	"'../../tasks/' || id as "
	"\"Location\" from s", 1, 0};
static const gate_statement start_executor_statement = {"serve_start_executor",
	"select 200, '{\"started\":' || taskq.start_executor() || '}'", 0, 0};
static const gate_statement arm_statement = {"serve_arm", "select 200, '{\"armed\":true}' from "
"taskq.arm()", 0, 0};
static const gate_statement disarm_statement = {"serve_disarm", "select 200, '{\"armed\":false}' "
"from taskq.disarm()", 0, 0};

static const route_member dry_query[] = {{"dry_run", MEMBER_TRUTH}};
static const route_member force_query[] = {{"force", MEMBER_TRUTH}};
static const route_member apply_query[] = {
	{"dry_run", MEMBER_TRUTH}, {"prune", MEMBER_TRUTH}, {"force", MEMBER_TRUTH}};
static const route_member rotate_members[] = {{"keep_old", MEMBER_LENGTH}};
/* clang-format on */

/* The body is a document of apply_config(), or a part of one: the last value of the statement. */
static void
put_document(exchange *x)
{
	const tq_buffer *body = &x->http->body;
	const char *text = body->len > 0 ? body->data : "{}";

	if (!cli_scan(text, strlen(text), NULL, NULL) || strlen(text) < body->len ||
		text[strspn(text, " \t\r\n")] != '{')
	{
		exchange_error(x, 400, NULL, "the body must be a JSON object", NULL, NULL);
		return;
	}
	x->values[x->nvalues] = text;
	exchange_send(x, x->route->statement, exchange_take);
}

#define QUERY(array) .query = array, .nquery = COUNT(array)
#define BODY(array)  .body = array, .nbody = COUNT(array)
#define DOCUMENT     ROUTE_CHANGES | ROUTE_RAW

static const route routes[] = {
	{"GET", "/v1/queues", "Queues, and how full they are", 0, .statement = &queues_statement},
	{"GET", "/v1/queues/{queue}", "A queue", 0, .statement = &queue_statement},
	{"GET", "/v1/queues/{queue}/times", "How long its tasks wait and run: histograms", 0,
	 .statement = &times_statement},
	{"PUT", "/v1/queues/{queue}", "Make or change a queue, as in a file for taskq apply",
	 DOCUMENT, QUERY(dry_query), .statement = &put_queue_statement, .run = put_document},
	{"DELETE", "/v1/queues/{queue}", "Drop a queue", ROUTE_CHANGES, QUERY(force_query),
	 .statement = &drop_queue_statement},
	{"POST", "/v1/queues/{queue}/pause", "Pause a queue", ROUTE_CHANGES,
	 .statement = &pause_statement},
	{"POST", "/v1/queues/{queue}/resume", "End its pause", ROUTE_CHANGES,
	 .statement = &resume_statement},
	{"POST", "/v1/queues/{queue}/purge", "Cancel its pending tasks", ROUTE_CHANGES,
	 .statement = &purge_statement},

	{"GET", "/v1/endpoints", "Endpoints, and their circuits", 0, .statement = &endpoints_statement},
	{"PUT", "/v1/endpoints/{endpoint}", "Make or change an endpoint", DOCUMENT, QUERY(dry_query),
	 .statement = &put_endpoint_statement, .run = put_document},
	{"DELETE", "/v1/endpoints/{endpoint}", "Drop an endpoint", ROUTE_CHANGES, QUERY(force_query),
	 .statement = &drop_queue_statement},
	{"POST", "/v1/endpoints/{endpoint}/pause", "Send nothing to it", ROUTE_CHANGES,
	 .statement = &pause_statement},
	{"POST", "/v1/endpoints/{endpoint}/resume", "Send again", ROUTE_CHANGES,
	 .statement = &resume_statement},
	{"POST", "/v1/endpoints/{endpoint}/rotate-secret", "Give it a new secret, shown this once",
	 ROUTE_CHANGES, BODY(rotate_members), .statement = &rotate_statement},
	{"POST", "/v1/endpoints/{endpoint}/test", "Send a test request to it", ROUTE_CHANGES,
	 .statement = &test_statement},

	{"GET", "/v1/policies", "Retry policies", 0, .statement = &policies_statement},
	{"PUT", "/v1/policies/{policy}", "Make or change a retry policy", DOCUMENT, QUERY(dry_query),
	 .statement = &put_policy_statement, .run = put_document},
	{"DELETE", "/v1/policies/{policy}", "Drop a retry policy", ROUTE_CHANGES,
	 .statement = &drop_policy_statement},

	{"GET", "/v1/schedules", "Schedules", 0, .statement = &schedules_statement},
	{"PUT", "/v1/schedules/{schedule}", "Make or change a schedule", DOCUMENT, QUERY(dry_query),
	 .statement = &put_schedule_statement, .run = put_document},
	{"DELETE", "/v1/schedules/{schedule}", "Drop a schedule", ROUTE_CHANGES,
	 .statement = &unschedule_statement},
	{"GET", "/v1/schedules/{schedule}/runs", "Its last times, and the next ones", 0,
	 .statement = &runs_statement},
	{"POST", "/v1/schedules/{schedule}/pause", "Pause a schedule", ROUTE_CHANGES,
	 .statement = &pause_schedule_statement},
	{"POST", "/v1/schedules/{schedule}/resume", "End its pause", ROUTE_CHANGES,
	 .statement = &resume_schedule_statement},
	{"POST", "/v1/schedules/{schedule}/run", "Submit its task now", ROUTE_CHANGES,
	 .statement = &run_schedule_statement},

	{"GET", "/v1/workers", "Workers with running tasks", 0, .statement = &workers_statement},
	{"GET", "/v1/requests", "Requests that are being sent", 0, .statement = &requests_statement},
	{"GET", "/v1/grants", "Which roles have privileges on single queues", 0,
	 .statement = &grants_statement},
	{"GET", "/v1/status", "Why nothing is sent or acquired", 0, .statement = &status_statement},
	{"GET", "/v1/config", "The configuration, as a file for taskq apply", 0,
	 .statement = &export_statement},
	{"POST", "/v1/config", "Make the database as a configuration says", DOCUMENT,
	 QUERY(apply_query), .statement = &apply_statement, .run = put_document},
	{"POST", "/v1/executor/start", "Start the executor", ROUTE_CHANGES,
	 .statement = &start_executor_statement},
	{"POST", "/v1/arm", "Let this database send "
						"requests",
	 ROUTE_CHANGES, .statement = &arm_statement},
	{"POST", "/v1/disarm", "Let it send none", ROUTE_CHANGES, .statement = &disarm_statement}};

const route_table admin_routes = {routes, COUNT(routes)};

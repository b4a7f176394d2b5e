/*
 * work_routes.c
 *		Routes of workers: to acquire tasks, and to tell what becomes of them.
 */
#include <stddef.h>

#include "cli/command.h"
#include "cli/serve/exchange.h"
#include "cli/serve/waiters.h"
#include "cli/serve/work_routes.h"

/* clang-format off */

#define TASK_COLUMNS \
	"t.id::text as id, t.token::text as token, t.kind, t.payload, t.attempt, t.max_attempts, " \
	"t.lease_until, t.submitted_at, t.key, t.priority, t.group_key, t.trace"

#define LOST "'the lease of task ' || $1 || ' is lost'"

/* Tasks that no answer of this size has room for are not acquired: others can have them. */
#define ANSWER_BYTES "4194304"

/* $2 is wait, which is no value of it. */
static const gate_statement acquire_statement = {"serve_acquire",
	"select case when count(*) = 0 then 204 else 200 end, "
	"case when count(*) > 0 then '{\"tasks\":' || json_agg(x) || '}' end "
	"from (select " TASK_COLUMNS " from taskq._acquire_bytes($1, coalesce($3::int, 1), "
	"$4::interval, $5, $6, " ANSWER_BYTES ") t where $2::text is null) x",
	6, 0};

/* What is to be finished comes first, in the same transaction. */
static const gate_statement turn_statement = {"serve_turn",
	"with d as materialized (select * from jsonb_to_recordset(coalesce($2::jsonb, '[]')) "
	"as d (id bigint, token bigint, result jsonb)), "
	"f as materialized (select f.id from taskq.finish_many(array(select d.id from d), "
	"array(select d.token from d), array(select d.result from d)) as f (id)), "
	"n as materialized (select count(*) as n from f), "
	"a as materialized (select " TASK_COLUMNS " from n cross join lateral taskq._acquire_bytes($1, "
	"coalesce(($3::jsonb ->> 'max_tasks')::int, 1) + 0 * n.n::int, ($3::jsonb ->> "
	"'lease_for')::interval, "
	"$3::jsonb ->> 'worker', $3::jsonb ->> 'group_key', " ANSWER_BYTES ") t "
	"where $3::jsonb is not null) "
	"select 200, '{\"finished\":' || coalesce((select json_agg(f.id::text)::text from f), '[]') "
	"|| ',\"tasks\":' || coalesce((select json_agg(a)::text from a), '[]') || '}'",
	3, 0};

const gate_statement finish_statement = {"serve_finish",
	"select case when done then 200 else 409 end, "
	"case when done then '{\"id\":\"' || $1 || '\",\"state\":\"finished\"}' else " LOST " end "
	"from (select taskq.finish($1::bigint, $2::bigint, $3::jsonb) as done) x",
	3, 0};

const gate_statement fail_statement = {"serve_fail",
	"select case when state is not null then 200 else 409 end, "
	"coalesce('{\"id\":\"' || $1 || '\",\"state\":\"' || state || '\"}', " LOST ") "
	"from (select taskq.fail($1::bigint, $2::bigint, coalesce($3, ''), $4::jsonb, $5::interval, "
	"coalesce($6::boolean, true), $7) as state) x",
	7, 0};

static const gate_statement release_statement = {"serve_release",
	"select case when done then 200 else 409 end, "
	"case when done then '{\"id\":\"' || $1 || '\",\"state\":\"pending\"}' else " LOST " end "
	"from (select taskq.release($1::bigint, $2::bigint, coalesce($3::interval, '0')) as done) x",
	3, 0};

static const gate_statement progress_statement = {"serve_progress",
	"select case when done then 200 else 409 end, "
	"case when done then '{\"id\":\"' || $1 || '\"}' else " LOST " end "
	"from (select taskq.progress($1::bigint, $2::bigint, $3::float8, $4) as done) x",
	4, 0};

const gate_statement heartbeat_statement = {"serve_heartbeat",
	"select case when x.lease_until is not null then 200 else 409 end, "
	"case when x.lease_until is not null then row_to_json(x)::text else " LOST " end "
	"from (select 1) one left join taskq.heartbeat($1::bigint, $2::bigint, $3::interval) x on true",
	3, 0};

static const route_member acquire_query[] = {{"wait", MEMBER_WAIT}};
static const route_member acquire_members[] = {
	{"max_tasks", MEMBER_NUMBER}, {"lease_for", MEMBER_LENGTH}, {"worker", MEMBER_TEXT},
	{"group_key", MEMBER_TEXT}};
static const route_member turn_members[] = {{"finish", MEMBER_JSON}, {"acquire", MEMBER_JSON}};
static const route_member finish_members[] = {{"token", MEMBER_ID}, {"result", MEMBER_JSON}};
static const route_member fail_members[] = {
	{"token", MEMBER_ID}, {"error", MEMBER_TEXT}, {"detail", MEMBER_JSON},
	{"retry_in", MEMBER_LENGTH}, {"retryable", MEMBER_TRUTH}, {"class", MEMBER_TEXT}};
static const route_member release_members[] = {{"token", MEMBER_ID}, {"delay", MEMBER_LENGTH}};
static const route_member progress_members[] = {
	{"token", MEMBER_ID}, {"fraction", MEMBER_NUMBER}, {"message", MEMBER_TEXT}};
static const route_member heartbeat_members[] = {
	{"token", MEMBER_ID}, {"extend_by", MEMBER_LENGTH}};
/* clang-format on */

/* wait is told by the time until which it may. */
static void
acquire(exchange *x)
{
	x->values[1] = NULL;
	waiters_acquire(x);
}

#define QUERY(array) .query = array, .nquery = COUNT(array)
#define BODY(array)  .body = array, .nbody = COUNT(array)
#define FOR_LEASE    (ROUTE_CHANGES | ROUTE_LEASE)

static const route routes[] = {
	{"POST", "/v1/queues/{queue}/acquire", "Acquire tasks; wait: until there is one",
	 ROUTE_CHANGES, QUERY(acquire_query), BODY(acquire_members), .statement = &acquire_statement,
	 .run = acquire},
	{"POST", "/v1/queues/{queue}/turn", "Finish tasks and acquire others", ROUTE_CHANGES,
	 BODY(turn_members), .statement = &turn_statement},
	{"POST", "/v1/tasks/{id}/finish", "A task is done", FOR_LEASE, BODY(finish_members),
	 .statement = &finish_statement},
	{"POST", "/v1/tasks/{id}/fail", "An attempt has failed", FOR_LEASE, BODY(fail_members),
	 .statement = &fail_statement},
	{"POST", "/v1/tasks/{id}/release", "Give a task back", FOR_LEASE, BODY(release_members),
	 .statement = &release_statement},
	{"POST", "/v1/tasks/{id}/progress", "How far a task is", FOR_LEASE, BODY(progress_members),
	 .statement = &progress_statement},
	{"POST", "/v1/tasks/{id}/heartbeat", "Extend the lease of a task", FOR_LEASE,
	 BODY(heartbeat_members), .statement = &heartbeat_statement}};

const route_table work_routes = {routes, COUNT(routes)};

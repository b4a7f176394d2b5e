/*
 * workdb.c
 *		What a worker and the database tell each other about its jobs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/workbatch.h"
#include "cli/worklog.h"
#include "core/clock.h"

#define LOCK_TIMEOUT "1s"

#define UTC_TIME(column) \
	"pg_catalog.to_char(" column " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

/* The columns of the claim are those of job.h. */
static const tq_statement always[SQL_NALWAYS] = {
	[SQL_CLAIM] =
		{"claim",
		 "select id, token, kind, key, payload, attempt, max_attempts, " UTC_TIME(
			 "submitted_at") ", " UTC_TIME("lease_until") ", "
														  "(extract(epoch from lease_until - "
														  "pg_catalog.clock_timestamp()) * "
														  "1000)::bigint, "
														  "coalesce(pg_catalog.clock_timestamp() - "
														  "submitted_at > $5::interval, false), "
														  "trace "
														  "from taskq.acquire($1, $2::int, "
														  "$3::interval, $4)",
		 5},
	[SQL_FINISH_MANY] = {"finish_many", "select taskq.finish_many($1, $2, $3)", 3},
	[SQL_FAIL] =
		{"fail", "select taskq.fail($1, $2, $3, $4::jsonb, $5::interval, $6::boolean, $7)", 7},
	[SQL_RELEASE] = {"release", "select taskq.release($1, $2, $3::interval)", 3},
	[SQL_DECLINE] = {"decline", "select taskq.decline($1, $2, $3::interval, $4::int, $5)", 5},
	[SQL_HEARTBEAT] =
		{"heartbeat",
		 "select id, cancel_requested, lease_until from taskq.heartbeat_many($1, $2)", 2},
	[SQL_PROGRESS] = {"progress", "select taskq.progress($1, $2, $3::float8, $4)", 4},
	[SQL_STATES] = {"states", "select id, state from taskq.results($1)", 1},
};

/* Once for each connection. */
static const char serve_sql[] = "select taskq.serve($1, $2)";

/* ---- statements ------------------------------------------------------------------- */

static bool
add_made(cli_workdb *db, cli_work_statement s, const char *name, const char *begin, char *middle,
		 const char *end, int nparameters)
{
	char **sql = &db->made_sql[s - SQL_NALWAYS];

	if (middle == NULL || asprintf(sql, "%s%s%s", begin, middle, end) < 0)
	{
		*sql = NULL;
		free(middle);
		return false;
	}
	free(middle);
	db->statements[s] = (tq_statement){name, *sql, nparameters};
	return true;
}

/* The functions after are called in the transaction that reports, if the task is still ours. */
static bool
make_statements(cli_workdb *db)
{
	const tq_hooks *hooks = db->options.hooks;

	memcpy(db->statements, always, sizeof(always));
	if (hooks->nbefore > 0 &&
		!add_made(db, SQL_BEFORE, "before", "", tq_hooks_before_sql(hooks), "", 1))
		return false;
	if (hooks->nafter == 0)
		return true;
	return add_made(db, SQL_FINISH_AFTER, "finish_after", "select true, ",
					tq_hooks_after_sql(hooks, "$4::jsonb", "$5::jsonb"),
					" from (select taskq.finish($1, $2, $3::jsonb) as ok offset 0) r where r.ok",
					5) &&
		   add_made(
			   db, SQL_FAIL_AFTER, "fail_after", "select r.state, ",
			   tq_hooks_after_sql(hooks, "$8::jsonb",
								  "(pg_catalog.jsonb_build_object('state', r.state) || $9::jsonb)"),
			   " from (select taskq.fail($1, $2, $3, $4::jsonb, $5::interval, $6::boolean, "
			   "$7) as state offset 0) r where r.state is not null",
			   9);
}

/* Returns the number of statements that a connection prepares. */
static int
list_prepared(cli_workdb *db)
{
	int n = 0;
	int i;

	for (i = 0; i < SQL_NSTATEMENTS; i++)
		if (db->statements[i].sql != NULL)
			db->prepared[n++] = db->statements[i];
	return n;
}

/* False: the connection is lost.  Nothing else that goes wrong is a reason not to work. */
static bool
say_what_is_served(tq_connection *c, const cli_workdb *db)
{
	const char *values[2];
	char *kinds = cli_routes_kinds(db->options.routes);
	tq_buffer queues;
	int i;

	tq_buffer_init(&queues, BATCH_MAX_ARRAY);
	for (i = 0; i < db->options.nqueues; i++)
		tq_array_add(&queues, db->options.queues[i].name);
	values[0] = tq_array_end(&queues);
	values[1] = kinds;
	if (kinds != NULL && !queues.overflowed)
	{
		PGresult *result =
			PQexecParams(tq_connection_raw(c), serve_sql, 2, NULL, values, NULL, NULL, 0);

		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			tq_connection_complain(c, result);
		PQclear(result);
	}
	tq_buffer_free(&queues);
	free(kinds);
	return PQstatus(tq_connection_raw(c)) == CONNECTION_OK;
}

static bool
prepare_session(tq_connection *c, void *arg)
{
	const cli_workdb *db = arg;
	bool ok = PQsetClientEncoding(tq_connection_raw(c), "UTF8") == 0 && say_what_is_served(c, db);
	int i;

	for (i = 0; ok && i < db->options.nqueues; i++)
	{
		char channel[256];

		snprintf(channel, sizeof(channel), "taskq_%s", db->options.queues[i].name);
		ok = tq_connection_listen(c, channel);
	}
	return ok;
}

/* A job about which functions before are asked. */
typedef struct Question
{
	cli_workdb *db;
	cli_job *job;
} Question;

static void
take_before(void *arg, const PGresult *result, const tq_batch_end *end)
{
	Question question = *(Question *) arg;
	cli_job *job = question.job;
	cli_answer answer = cli_batch_judge(question.db, end);

	free(arg);
	if (job->phase != JOB_ASKED)
		return;
	if (answer == ANSWER_AGAIN)
		job->phase = JOB_CLAIMED;
	else if (answer == ANSWER_REFUSED)
		cli_job_fail(job, "before", cli_batch_refusal("a function before failed", end));
	else if (PQgetisnull(result, 0, 0))
		cli_job_fail(job, "before", strdup("a function before returned NULL"));
	else if (strcmp(PQgetvalue(result, 0, 0), "t") == 0)
		job->phase = JOB_READY;
	else
		cli_job_end(job, VERB_FINISH, NULL);
}

void
cli_workdb_ask_before(cli_workdb *db)
{
	cli_job *job;

	for (job = db->jobs->first; job != NULL && cli_batch_has_space(db); job = job->next)
	{
		const char *values[1];
		Question *question;

		if (job->phase != JOB_CLAIMED)
			continue;
		values[0] = cli_job_object(job);
		question = malloc(sizeof(*question));
		if (question == NULL || values[0] == NULL)
		{
			free(question);
			continue;
		}
		*question = (Question){db, job};
		if (cli_batch_add(db, SQL_BEFORE, values, take_before, question))
			job->phase = JOB_ASKED;
		else
			free(question);
	}
}

/* ---- claims ------------------------------------------------------------------------------- */

/* A claim that is under way. */
typedef struct Claim
{
	cli_workdb *db;
	cli_queue *queue;
	int wanted;
} Claim;

/* A task that is older than it may be is not run. */
static void
refuse_old(const cli_workdb *db, cli_job *job)
{
	char *error = NULL;

	if (db->options.too_old != NULL)
		error = strdup(db->options.too_old);
	else if (asprintf(&error, "older than %s", db->options.max_age) < 0)
		error = NULL;
	(void) cli_log_told(EVENT_EXPIRED, job, NULL);
	cli_job_fail(job, "max_age", error);
	job->outcome.permanent = true;
}

static void
find_route(const cli_workdb *db, cli_job *job)
{
	const cli_route *route = cli_routes_find(db->options.routes, job->kind);

	if (route != NULL)
	{
		job->how = &route->runner;
		return;
	}
	cli_job_end(job, VERB_DECLINE, NULL);
	if (job->kind == NULL)
		job->outcome.error = strdup("no route for tasks without a kind");
	else if (asprintf(&job->outcome.error, "no route for kind \"%s\"", job->kind) < 0)
		job->outcome.error = NULL;
}

static void
add_job(cli_workdb *db, const PGresult *claim, int row, cli_queue *queue)
{
	cli_job *job = cli_job_new(claim, row, queue);

	/* A task for which there is no memory is left to its lease. */
	if (job == NULL)
		return;
	if (db->options.heartbeat_ms > 0 &&
		db->options.heartbeat_ms < atoll(PQgetvalue(claim, row, CLAIM_LEASE_MS)))
		job->beat_every_ms = db->options.heartbeat_ms;
	job->claimed_ms = tq_clock_ms();
	job->beat_at_ms = job->claimed_ms + job->beat_every_ms;
	job->phase = db->options.hooks->nbefore > 0 ? JOB_CLAIMED : JOB_READY;
	if (!cli_log_told(EVENT_ACQUIRED, job, NULL))
		cli_log_at(LOG_VERBOSE, job, "acquired, attempt %s", job->attempt);
	if (*PQgetvalue(claim, row, CLAIM_TOO_OLD) == 't')
		refuse_old(db, job);
	else
		find_route(db, job);
	cli_jobs_add(db->jobs, job);
	db->tally.claimed++;
}

static void
take_claim(void *arg, const PGresult *result, const tq_batch_end *end)
{
	Claim claim = *(Claim *) arg;
	cli_queue *queue = claim.queue;
	cli_answer answer = cli_batch_judge(claim.db, end);
	int row;

	free(arg);
	if (answer != ANSWER_DONE)
	{
		queue->look_at_ms = tq_clock_ms() + (claim.db->sent > 1 ? 0 : claim.db->options.poll_ms);
		if (answer == ANSWER_REFUSED)
		{
			queue->refused_until_ms = queue->look_at_ms;
			cli_batch_log_refusal(NULL, "cannot claim", end);
		}
		return;
	}
	for (row = 0; row < PQntuples(result); row++)
		add_job(claim.db, result, row, queue);
	queue->empty = PQntuples(result) < claim.wanted;
	claim.db->tally.looked = true;
}

void
cli_workdb_claim(cli_workdb *db, cli_queue *queue, int n)
{
	char number[16];
	const char *values[] = {queue->name, number, db->options.lease, db->options.name,
							db->options.max_age};
	Claim *claim = malloc(sizeof(*claim));

	if (claim == NULL)
		return;
	snprintf(number, sizeof(number), "%d", n);
	*claim = (Claim){db, queue, n};
	if (cli_batch_add(db, SQL_CLAIM, values, take_claim, claim))
		queue->look_at_ms = INT64_MAX;
	else
		free(claim);
}

/* ---- the whole ------------------------------------------------------------------------------- */

bool
cli_workdb_begin(cli_workdb *db)
{
	if (!tq_pipeline_is_free(db->pipeline))
		return false;
	cli_jobs_sweep(db->jobs);
	return true;
}

void
cli_workdb_send(cli_workdb *db)
{
	db->sent = tq_pipeline_count(db->pipeline);
	if (db->sent > 0 && db->alone > 0)
		db->alone--;
	tq_pipeline_send(db->pipeline);
}

void
cli_workdb_step(cli_workdb *db)
{
	tq_pipeline_step(db->pipeline);
}

tq_connection *
cli_workdb_connection(const cli_workdb *db)
{
	return db->connection;
}

bool
cli_workdb_wants_write(const cli_workdb *db)
{
	return tq_pipeline_wants_write(db->pipeline);
}

const cli_tally *
cli_workdb_tally(const cli_workdb *db)
{
	return &db->tally;
}

cli_workdb *
cli_workdb_new(const cli_workdb_options *options, cli_jobs *jobs)
{
	cli_workdb *db = calloc(1, sizeof(*db));
	tq_connection_config config = {.conninfo = options->conninfo,
								   .program = "taskq work",
								   .statement_timeout = options->timeout,
								   .lock_timeout = LOCK_TIMEOUT,
								   .prepare = prepare_session,
								   .log = cli_log_text};

	if (db == NULL)
		return NULL;
	db->options = *options;
	db->jobs = jobs;
	tq_buffer_init(&db->ids, BATCH_MAX_ARRAY);
	tq_buffer_init(&db->tokens, BATCH_MAX_ARRAY);
	tq_buffer_init(&db->results, BATCH_MAX_ARRAY);
	if (make_statements(db))
	{
		config.statements = db->prepared;
		config.nstatements = list_prepared(db);
		config.arg = db;
		db->connection = tq_connection_new(&config);
	}
	if (db->connection != NULL)
		db->pipeline = tq_pipeline_new(db->connection);
	if (db->pipeline != NULL)
		return db;
	cli_workdb_free(db);
	return NULL;
}

void
cli_workdb_free(cli_workdb *db)
{
	int i;

	if (db == NULL)
		return;
	tq_pipeline_free(db->pipeline);
	tq_connection_free(db->connection);
	for (i = 0; i < SQL_NSTATEMENTS - SQL_NALWAYS; i++)
		free(db->made_sql[i]);
	tq_buffer_free(&db->ids);
	tq_buffer_free(&db->tokens);
	tq_buffer_free(&db->results);
	free(db);
}

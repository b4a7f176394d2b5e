/*
 * workreport.c
 *		Reports the outcomes of jobs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/workbatch.h"
#include "cli/worklog.h"
#include "cli/workreport.h"
#include "client/json.h"
#include "core/clock.h"
#include "core/text.h"

#define MAX_REFUSALS 3

/* ---- outcomes of reports ------------------------------------------------------------- */

static double
seconds_of(const cli_job *job)
{
	return (double) (tq_clock_ms() - job->started_ms) / 1000;
}

static void
end_finished(cli_workdb *db, cli_job *job)
{
	db->tally.finished++;
	job->phase = JOB_GONE;
	if (cli_log_told(EVENT_FINISHED, job, NULL))
		return;
	if (job->started_ms != 0)
		cli_log_at(LOG_USUAL, job, "finished in %.3g s", seconds_of(job));
	else
		cli_log_at(LOG_USUAL, job, "not run, as a function before decided");
}

static void
end_failed(cli_workdb *db, cli_job *job, const char *state)
{
	const char *error = job->outcome.error != NULL ? job->outcome.error : "out of memory";

	db->tally.failed++;
	if (strcmp(state, "pending") != 0)
		db->tally.unfinished++;
	job->phase = JOB_GONE;
	if (!cli_log_told(EVENT_FAILED, job, error))
		cli_log(job, "failed: %s; it is %s", error, state);
}

static void
end_declined(cli_workdb *db, cli_job *job, const char *state)
{
	if (strcmp(state, "pending") != 0)
		db->tally.unfinished++;
	if (strcmp(state, "pending") == 0)
		cli_log(job, "%s; given back for %s", job->outcome.error, db->options.decline_delay);
	else
		cli_log(job, "%s; it is %s", job->outcome.error, state);
	job->phase = JOB_GONE;
}

/* It was not ours any more; perhaps because the command has finished it. */
static void
end_lost(cli_job *job)
{
	job->phase = JOB_LOOKED_UP;
	job->check_lost = true;
}

/* The text again without what the server may not be able to store. */
static void
simplify(cli_job *job)
{
	char *error = job->outcome.error;
	char *plain = error != NULL ? malloc(strlen(error) + 1) : NULL;

	if (plain != NULL)
		tq_text_printable(error, plain, strlen(error) + 1);
	free(error);
	job->outcome.error = plain;
	free(job->outcome.detail);
	job->outcome.detail = NULL;
	job->class = NULL;
}

/*
 * A result that the server refuses is a failure of the attempt, and a failure is reported with
 * less.  If that is refused as well the lease ends the attempt.
 */
static void
after_refusal(cli_job *job, const tq_batch_end *end)
{
	job->phase = JOB_ENDED;
	if (++job->refusals == MAX_REFUSALS)
	{
		cli_batch_log_refusal(job, "cannot be reported", end);
		job->phase = JOB_GONE;
	}
	else if (job->outcome.verb == VERB_FINISH)
		cli_job_fail(job, "result", cli_batch_refusal("the result was refused", end));
	else
		simplify(job);
}

/* Whether the report was answered; otherwise it is made again, in another way if need be. */
static bool
was_reported(cli_workdb *db, cli_job *job, const tq_batch_end *end, bool with_after)
{
	cli_answer answer = cli_batch_judge(db, end);

	if (answer == ANSWER_DONE)
		return true;
	if (answer == ANSWER_REFUSED && with_after)
	{
		cli_batch_log_refusal(job,
							  "a function after failed, the outcome is reported without it", end);
		job->without_after = true;
		job->phase = JOB_ENDED;
	}
	else if (answer == ANSWER_REFUSED)
		after_refusal(job, end);
	else
	{
		job->phase = JOB_ENDED;
		job->report_at_ms = db->sent > 1 ? 0 : tq_clock_ms() + BATCH_AGAIN_MS;
	}
	return false;
}

static void
take_finished(void *arg, const PGresult *result, const tq_batch_end *end)
{
	cli_workdb *db = arg;
	int i;

	for (i = 0; i < db->nfinishing; i++)
	{
		cli_job *job = db->finishing[i];

		if (!was_reported(db, job, end, false))
			continue;
		if (cli_batch_row_of(result, job->id) >= 0)
			end_finished(db, job);
		else
			end_lost(job);
	}
	db->nfinishing = 0;
}

/* A job whose report is under way, for the takers of one job. */
typedef struct Report
{
	cli_workdb *db;
	cli_job *job;
	bool with_after;
} Report;

static void
take_report(void *arg, const PGresult *result, const tq_batch_end *end)
{
	Report report = *(Report *) arg;
	cli_job *job = report.job;
	cli_verb verb = job->outcome.verb;
	bool ours;

	free(arg);
	if (!was_reported(report.db, job, end, report.with_after))
		return;
	ours = PQntuples(result) == 1 && !PQgetisnull(result, 0, 0) &&
		   strcmp(PQgetvalue(result, 0, 0), "f") != 0;
	if (!ours)
		end_lost(job);
	else if (verb == VERB_FINISH)
		end_finished(report.db, job);
	else if (verb == VERB_FAIL)
		end_failed(report.db, job, PQgetvalue(result, 0, 0));
	else if (verb == VERB_DECLINE)
		end_declined(report.db, job, PQgetvalue(result, 0, 0));
	else
	{
		cli_log(job, "given back");
		job->phase = JOB_GONE;
	}
}

/* ---- reports --------------------------------------------------------------------------- */

/* "outcome" of a function after; the caller's to free. */
static char *
outcome_object(const cli_job *job)
{
	const cli_reply *o = &job->outcome;
	char *error = o->error != NULL ? tq_json_string(o->error, strlen(o->error)) : strdup("null");
	char *object = NULL;
	int n;

	if (error == NULL)
		return NULL;
	if (o->verb == VERB_FINISH)
		n = asprintf(&object, "{\"outcome\":\"finished\",\"state\":\"finished\",\"result\":%s}",
					 o->result != NULL ? o->result : "null");
	else
		n = asprintf(&object, "{\"outcome\":\"failed\",\"error\":%s,\"detail\":%s}", error,
					 o->detail != NULL ? o->detail : "null");
	free(error);
	return n < 0 ? NULL : object;
}

static bool
wants_after(const cli_workdb *db, const cli_job *job)
{
	return db->options.hooks->nafter > 0 && !job->without_after &&
		   (job->outcome.verb == VERB_FINISH || job->outcome.verb == VERB_FAIL);
}

/* Adds the statement that reports one job. */
static bool
add_report(cli_workdb *db, cli_job *job)
{
	const cli_reply *o = &job->outcome;
	bool after = wants_after(db, job);
	char *outcome = after ? outcome_object(job) : NULL;
	const char *object = after ? cli_job_object(job) : NULL;
	const char *finish[] = {job->id, job->token, o->result, object, outcome};
	const char *release[] = {job->id, job->token, o->delay != NULL ? o->delay : "0"};
	const char *fail[] = {job->id,
						  job->token,
						  o->error != NULL ? o->error : "out of memory",
						  o->detail,
						  o->delay != NULL ? o->delay : db->options.retry_in,
						  o->permanent ? "false" : "true",
						  job->class,
						  object,
						  outcome};
	const cli_workdb_options *w = &db->options;
	const char *decline[] = {job->id, job->token, w->decline_delay, w->decline_times, o->error};
	Report *report = malloc(sizeof(*report));
	bool added = false;

	if (report != NULL && (!after || (outcome != NULL && object != NULL)))
	{
		*report = (Report){db, job, after};
		if (o->verb == VERB_FINISH)
			added = cli_batch_add(db, SQL_FINISH_AFTER, finish, take_report, report);
		else if (o->verb == VERB_FAIL)
			added = cli_batch_add(db, after ? SQL_FAIL_AFTER : SQL_FAIL, fail, take_report, report);
		else if (o->verb == VERB_DECLINE)
			added = cli_batch_add(db, SQL_DECLINE, decline, take_report, report);
		else
			added = cli_batch_add(db, SQL_RELEASE, release, take_report, report);
	}
	if (!added)
		free(report);
	free(outcome);
	return added;
}

/* Adds those that just have finished as one statement. */
static void
add_finished(cli_workdb *db)
{
	const char *values[3];
	int i;

	if (db->nfinishing == 0)
		return;
	values[0] = tq_array_end(&db->ids);
	values[1] = tq_array_end(&db->tokens);
	values[2] = tq_array_end(&db->results);
	if (!db->ids.overflowed && !db->tokens.overflowed && !db->results.overflowed &&
		cli_batch_add(db, SQL_FINISH_MANY, values, take_finished, db))
		return;
	/* No memory: later, and fewer at a time. */
	for (i = 0; i < db->nfinishing; i++)
	{
		db->finishing[i]->phase = JOB_ENDED;
		db->finishing[i]->report_at_ms = tq_clock_ms() + BATCH_AGAIN_MS;
	}
	db->alone = db->nfinishing;
	db->nfinishing = 0;
}

static void
add_to_finished(cli_workdb *db, cli_job *job)
{
	tq_array_add(&db->ids, job->id);
	tq_array_add(&db->tokens, job->token);
	tq_array_add(&db->results, job->outcome.result);
	db->finishing[db->nfinishing++] = job;
}

void
cli_workreport_add(cli_workdb *db)
{
	int64_t now = tq_clock_ms();
	int most = db->alone > 0 ? 1 : BATCH_MAX_REPORTS;
	cli_job *job;
	int n = 0;

	cli_batch_reset_arrays(db);
	for (job = db->jobs->first; job != NULL && n < most && cli_batch_has_space(db); job = job->next)
	{
		if (job->phase != JOB_ENDED || now < job->report_at_ms)
			continue;
		if (job->outcome.verb == VERB_FINISH && !wants_after(db, job))
			add_to_finished(db, job);
		else if (!add_report(db, job))
			continue;
		job->phase = JOB_REPORTED;
		n++;
	}
	add_finished(db);
}

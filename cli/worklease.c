/*
 * worklease.c
 *		Extends the leases of jobs that run, and tells how far they are.
 */
#include <string.h>

#include "cli/workbatch.h"
#include "cli/worklease.h"
#include "cli/worklog.h"
#include "core/clock.h"

/* ---- leases ------------------------------------------------------------------------------ */

/* The lease of a job that has no command is lost, or that of one which has is to be looked up. */
static void
note_lost(cli_job *job)
{
	if (job->phase == JOB_RUNNING)
		job->check_lost = true;
	else if (job->phase < JOB_RUNNING)
	{
		cli_log(job, "lost");
		job->phase = JOB_GONE;
	}
}

static void
take_heartbeat(void *arg, const PGresult *result, const tq_batch_end *end)
{
	cli_workdb *db = arg;
	cli_answer answer = cli_batch_judge(db, end);
	cli_job *job;

	for (job = db->jobs->first; job != NULL; job = job->next)
	{
		int row;

		if (!job->beating)
			continue;
		job->beating = false;
		if (answer != ANSWER_DONE)
		{
			job->beat_at_ms = tq_clock_ms() + (db->sent > 1 ? 0 : BATCH_AGAIN_MS);
			continue;
		}
		row = cli_batch_row_of(result, job->id);
		if (row < 0)
			note_lost(job);
		else
		{
			job->cancel_requested = strcmp(PQgetvalue(result, row, 1), "t") == 0;
			(void) cli_log_told(EVENT_EXTENDED, job, PQgetvalue(result, row, 2));
		}
	}
	if (answer == ANSWER_REFUSED)
		cli_batch_log_refusal(NULL, "leases cannot be extended", end);
}

/* Whether the job's lease is to be extended now; the others go along a little earlier. */
static bool
is_due_to_beat(const cli_job *job, int64_t now)
{
	return job->phase <= JOB_RUNNING && !job->ended_itself && !job->check_lost &&
		   now >= job->beat_at_ms - job->beat_every_ms / 10;
}

void
cli_worklease_heartbeat(cli_workdb *db)
{
	int64_t now = tq_clock_ms();
	const char *values[2];
	cli_job *job;
	int n = 0;

	if (!cli_batch_has_space(db))
		return;
	cli_batch_reset_arrays(db);
	for (job = db->jobs->first; job != NULL; job = job->next)
	{
		if (!is_due_to_beat(job, now))
			continue;
		tq_array_add(&db->ids, job->id);
		tq_array_add(&db->tokens, job->token);
		job->beating = true;
		job->beat_at_ms = now + job->beat_every_ms;
		n++;
	}
	values[0] = tq_array_end(&db->ids);
	values[1] = tq_array_end(&db->tokens);
	if (n > 0 && !cli_batch_add(db, SQL_HEARTBEAT, values, take_heartbeat, db))
		for (job = db->jobs->first; job != NULL; job = job->next)
			job->beating = false;
}

/* Has the command itself finished a task that is not ours any more? */
static void
take_states(void *arg, const PGresult *result, const tq_batch_end *end)
{
	cli_workdb *db = arg;
	cli_answer answer = cli_batch_judge(db, end);
	cli_job *job;

	for (job = db->jobs->first; job != NULL; job = job->next)
	{
		int row = answer == ANSWER_DONE && job->checking ? cli_batch_row_of(result, job->id) : -1;
		bool finished = row >= 0 && strcmp(PQgetvalue(result, row, 1), "finished") == 0;

		if (!job->checking)
			continue;
		job->checking = false;
		if (answer == ANSWER_AGAIN)
			continue;
		job->check_lost = false;
		job->ended_itself = finished;
		job->lost = !finished;
		if (job->phase != JOB_LOOKED_UP)
			continue;
		cli_log_at(finished ? LOG_USUAL : LOG_QUIET, job, "%s",
				   finished ? "finished by the command itself" : "lost");
		job->phase = JOB_GONE;
	}
}

void
cli_worklease_look_up(cli_workdb *db)
{
	const char *values[1];
	cli_job *job;
	int n = 0;

	if (!cli_batch_has_space(db))
		return;
	cli_batch_reset_arrays(db);
	for (job = db->jobs->first; job != NULL; job = job->next)
	{
		if (!job->check_lost)
			continue;
		tq_array_add(&db->ids, job->id);
		job->checking = true;
		n++;
	}
	values[0] = tq_array_end(&db->ids);
	if (n > 0 && !cli_batch_add(db, SQL_STATES, values, take_states, db))
		for (job = db->jobs->first; job != NULL; job = job->next)
			job->checking = false;
}

/* ---- progress ------------------------------------------------------------------------------ */

/* What is lost of it is followed by the next. */
static void
take_progress(void *arg, const PGresult *result, const tq_batch_end *end)
{
	(void) result;
	(void) cli_batch_judge(arg, end);
}

void
cli_worklease_progress(cli_workdb *db)
{
	cli_job *job;

	for (job = db->jobs->first; job != NULL && cli_batch_has_space(db); job = job->next)
	{
		const char *values[] = {job->id, job->token, job->fraction, job->message};

		if (!job->progressed || job->phase != JOB_RUNNING ||
			!cli_batch_add(db, SQL_PROGRESS, values, take_progress, db))
			continue;
		job->progressed = false;
	}
}

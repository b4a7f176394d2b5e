/*
 * ending.c
 *		What becomes of a job when its command has ended, or has answered.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/ending.h"
#include "cli/worklog.h"
#include "core/clock.h"

void
cli_ending_dismiss(const cli_runner *r, cli_process *process)
{
	cli_child_end_input(&process->child);
	if (process->leave_by_ms == 0 && process->child.kill_at_ms == 0)
		process->leave_by_ms = tq_clock_ms() + r->options->kill_after_ms;
}

void
cli_ending_leave(const cli_runner *r, cli_job *job)
{
	cli_process *process = job->process;

	job->process = NULL;
	job->kill_at_ms = 0;
	process->njobs--;
	if (process->retiring && process->njobs == 0 && r->options->lines)
		cli_ending_dismiss(r, process);
}

void
cli_ending_drop(cli_job *job, const char *event)
{
	cli_log_at(job->ended_itself ? LOG_USUAL : LOG_QUIET, job, "%s", event);
	job->phase = JOB_GONE;
}

/* The detail of a failure: how the command ended. */
static void
add_detail(cli_job *job, const cli_child *child)
{
	cli_output tail = cli_child_tail(child);

	job->outcome.detail =
		cli_outcome_detail(&child->end, child->surroundings->max_tail > 0 ? &tail : NULL);
}

static void
fail_by_end(const cli_runner *r, cli_job *job, const cli_child *child)
{
	int status = child->end.status;

	cli_job_fail(job, WIFSIGNALED(status) ? "signal" : "exit",
				 cli_outcome_error(status, child->last_line));
	add_detail(job, child);
	job->outcome.permanent = !WIFSIGNALED(status) && r->options->permanent[WEXITSTATUS(status)];
	job->verdict = VERDICT_BAD;
}

static void
finish_by_end(const cli_runner *r, cli_job *job, const cli_child *child)
{
	cli_output output = {child->output.len > 0 ? child->output.data : "", child->output.len,
						 child->output.overflowed};
	char *result;
	const char *mistake;

	if (cli_outcome_result(r->options->result, output, &result, &mistake))
	{
		cli_job_end(job, VERB_FINISH, NULL);
		job->outcome.result = result;
		job->verdict = VERDICT_GOOD;
		return;
	}
	cli_job_fail(job, "result", strdup(mistake != NULL ? mistake : "out of memory"));
	add_detail(job, child);
	job->verdict = VERDICT_BAD;
}

static void
fail_by_timeout(const cli_runner *r, cli_job *job)
{
	char *error = NULL;

	if (asprintf(&error, "killed after %g s", (double) r->options->run_timeout_ms / 1000) < 0)
		error = NULL;
	cli_job_fail(job, "run_timeout", error);
	job->verdict = VERDICT_BAD;
}

/* What becomes of a job whose command was told to stop.  False: it was not. */
static bool
end_by_reason(const cli_runner *r, cli_job *job)
{
	switch (job->reason)
	{
		case REASON_NONE:
			return false;
		case REASON_LOST:
			cli_ending_drop(job, "lost");
			return true;
		case REASON_STOPPING:
			cli_job_end(job, VERB_RELEASE, "0");
			return true;
		case REASON_CANCELLED:
			cli_job_fail(job, NULL, strdup("cancelled"));
			return true;
		case REASON_TIMEOUT:
			fail_by_timeout(r, job);
			return true;
	}
	return false;
}

bool
cli_ending_by_reply(cli_job *job)
{
	if (job->outcome.verb == VERB_NONE || job->reason == REASON_LOST)
		return false;
	job->class = NULL;
	job->verdict = job->outcome.verb == VERB_FAIL ? VERDICT_BAD : VERDICT_GOOD;
	job->phase = JOB_ENDED;
	return true;
}

void
cli_ending_alone(const cli_runner *r, cli_job *job, cli_process *process)
{
	const cli_child *child = &process->child;

	cli_ending_leave(r, job);
	if (job->ended_itself)
		cli_ending_drop(job, "finished by the command itself");
	else if (process->nonsense != NULL && job->reason == REASON_NONE)
	{
		cli_job_fail(job, "nonsense", process->nonsense);
		process->nonsense = NULL;
		job->verdict = VERDICT_BAD;
	}
	else if (cli_ending_by_reply(job) || end_by_reason(r, job))
		;
	else if (WIFEXITED(child->end.status) && WEXITSTATUS(child->end.status) == 0)
		finish_by_end(r, job, child);
	else
		fail_by_end(r, job, child);
}

/* "command ended with exit status 1" and the like. */
static char *
ended_with(const cli_child *child)
{
	char *how = cli_outcome_error(child->end.status, child->last_line);
	char *error = NULL;

	if (how != NULL &&
		asprintf(&error, "command %s%s", WIFSIGNALED(child->end.status) ? "was " : "ended with ",
				 how) < 0)
		error = NULL;
	free(how);
	return error;
}

void
cli_ending_in_process(const cli_runner *r, cli_job *job, cli_process *process)
{
	cli_ending_leave(r, job);
	if (job->ended_itself)
		cli_ending_drop(job, "finished by the command itself");
	else if (end_by_reason(r, job))
		;
	else if (process->killed)
		cli_job_end(job, VERB_RELEASE, "0");
	else
	{
		cli_job_fail(job, process->nonsense != NULL ? "nonsense" : "exit",
					 process->nonsense != NULL ? strdup(process->nonsense)
											   : ended_with(&process->child));
		add_detail(job, &process->child);
		job->verdict = VERDICT_BAD;
	}
}

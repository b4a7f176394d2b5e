/*
 * lanes.c
 *		The routes of a worker at work: each has a runner and a breaker of its own.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/lanes.h"
#include "cli/worklog.h"
#include "core/clock.h"

#define BUSY_DELAY_MS 5000 /* of a job that is given back while another one is tried */

bool
cli_lanes_init(cli_lanes *l, const cli_routes *routes, int breaker, cli_jobs *jobs)
{
	int i;

	*l = (cli_lanes){.jobs = jobs, .lanes = calloc((size_t) routes->n, sizeof(cli_lane))};
	if (l->lanes == NULL)
		return false;
	l->n = routes->n;
	for (i = 0; i < l->n; i++)
	{
		l->lanes[i].route = &routes->routes[i];
		cli_runner_init(&l->lanes[i].runner, &routes->routes[i].runner, jobs);
		cli_breaker_init(&l->lanes[i].breaker, breaker);
	}
	return true;
}

/* NULL: the job has no route. */
static cli_lane *
lane_of(const cli_lanes *l, const cli_job *job)
{
	int i;

	for (i = 0; i < l->n; i++)
		if (job->how == l->lanes[i].runner.options)
			return &l->lanes[i];
	return NULL;
}

/* ---- all runners ---------------------------------------------------------------------- */

void
cli_lanes_step(cli_lanes *l)
{
	int i;

	for (i = 0; i < l->n; i++)
		cli_runner_step(&l->lanes[i].runner);
}

void
cli_lanes_renew(cli_lanes *l)
{
	int i;

	for (i = 0; i < l->n; i++)
		cli_runner_renew(&l->lanes[i].runner);
}

void
cli_lanes_stop(cli_lanes *l)
{
	int i;

	for (i = 0; i < l->n; i++)
		cli_runner_stop(&l->lanes[i].runner);
}

int
cli_lanes_npoll(const cli_lanes *l)
{
	int n = 0;
	int i;

	for (i = 0; i < l->n; i++)
		n += cli_runner_npoll(&l->lanes[i].runner);
	return n;
}

int
cli_lanes_poll(const cli_lanes *l, struct pollfd *fds)
{
	int n = 0;
	int i;

	for (i = 0; i < l->n; i++)
		n += cli_runner_poll(&l->lanes[i].runner, fds + n);
	return n;
}

int64_t
cli_lanes_due_ms(const cli_lanes *l)
{
	int64_t due = INT64_MAX;
	int i;

	for (i = 0; i < l->n; i++)
	{
		int64_t at = cli_runner_due_ms(&l->lanes[i].runner);

		if (at >= 0)
			due = tq_sooner(due, at);
	}
	return due == INT64_MAX ? -1 : due;
}

int
cli_lanes_nprocesses(const cli_lanes *l)
{
	int n = 0;
	int i;

	for (i = 0; i < l->n; i++)
		n += l->lanes[i].runner.nprocesses;
	return n;
}

void
cli_lanes_free(cli_lanes *l)
{
	int i;

	for (i = 0; i < l->n; i++)
		cli_runner_free(&l->lanes[i].runner);
	free(l->lanes);
}

void
cli_lanes_stop_job(cli_lanes *l, cli_job *job, cli_reason reason)
{
	cli_lane *lane = lane_of(l, job);

	if (lane != NULL)
		cli_runner_stop_job(&lane->runner, job, reason);
}

/* ---- breakers --------------------------------------------------------------------------- */

static const char *
name_of_lane(const cli_lane *lane)
{
	return lane->route->pattern != NULL ? lane->route->pattern : "*";
}

static void
tell_open(const cli_lanes *l, const cli_lane *lane, bool hard)
{
	const char *why = hard ? "the command cannot be started" : "too many failures in a row";
	/* A pause is whole seconds, of which some milliseconds may have passed. */
	int left = (int) ((cli_breaker_left(&lane->breaker, tq_clock_ms()) + 999) / 1000);

	if (l->n == 1)
		cli_log(NULL, "%s: nothing is claimed for %d s, then one task", why, left);
	else
		cli_log(NULL, "route %s: %s: its tasks are given back for %d s, then one is tried",
				name_of_lane(lane), why, left);
}

static void
tell_closed(const cli_lanes *l, const cli_lane *lane)
{
	if (l->n == 1)
		cli_log(NULL, "a task has succeeded: claiming goes on");
	else
		cli_log(NULL, "route %s: a task has succeeded: it goes on", name_of_lane(lane));
}

void
cli_lanes_judge(cli_lanes *l, const cli_job *job)
{
	cli_lane *lane = lane_of(l, job);
	bool hard = job->verdict == VERDICT_UNSTARTABLE;

	if (lane == NULL)
		return;
	if (job->verdict == VERDICT_GOOD && cli_breaker_success(&lane->breaker))
		tell_closed(l, lane);
	else if (job->verdict >= VERDICT_BAD &&
			 cli_breaker_failure(&lane->breaker, tq_clock_ms(), hard))
		tell_open(l, lane, hard);
}

/* Whether there is a job that might run and has no process. */
static bool
waits_for_process(const cli_lanes *l)
{
	const cli_job *job;

	for (job = l->jobs->first; job != NULL; job = job->next)
		if (job->phase == JOB_READY && job->queue->running < job->queue->max_jobs)
			return true;
	return false;
}

int
cli_lanes_allow(const cli_lanes *l, int wanted)
{
	int all = cli_jobs_count(l->jobs, NULL, JOB_CLAIMED, JOB_ENDED);

	if (l->n > 1)
		return wanted;
	if (waits_for_process(l))
		return 0;
	return cli_breaker_allows(&l->lanes[0].breaker, tq_clock_ms(), wanted, all);
}

bool
cli_lanes_try_one(const cli_lanes *l)
{
	return l->n == 1 && l->lanes[0].breaker.open;
}

/* ---- starting ----------------------------------------------------------------------------- */

static void
give_back_after(cli_job *job, int64_t delay_ms)
{
	char delay[32];

	snprintf(delay, sizeof(delay), "%lld ms", (long long) tq_later(delay_ms, 1));
	cli_job_end(job, VERB_RELEASE, delay);
}

/* Whether another job of the lane has a command, or will have one. */
static bool
has_other(const cli_lanes *l, const cli_lane *lane, const cli_job *than)
{
	const cli_job *job;

	for (job = l->jobs->first; job != NULL; job = job->next)
		if (job != than && job->how == lane->runner.options && job->phase >= JOB_ASKED &&
			job->phase <= JOB_RUNNING)
			return true;
	return false;
}

/* For how long a job is given back; 0: it is done. */
static int64_t
broken_for_ms(const cli_lanes *l, const cli_lane *lane, const cli_job *job)
{
	int64_t now = tq_clock_ms();
	int64_t left = cli_breaker_left(&lane->breaker, now);

	if (left > 0)
		return left;
	if (lane->breaker.open && has_other(l, lane, job))
		return BUSY_DELAY_MS;
	/* With lines: no process is there, and none is started for a while. */
	if (lane->runner.options->lines && lane->runner.nprocesses == 0 &&
		now < lane->runner.restart_at_ms)
		return lane->runner.restart_at_ms - now;
	return 0;
}

/* A job that cannot be done now would keep others from its slot. */
void
cli_lanes_give_back(cli_lanes *l)
{
	cli_job *job;

	if (l->n == 1)
		return;
	for (job = l->jobs->first; job != NULL; job = job->next)
	{
		const cli_lane *lane = lane_of(l, job);
		int64_t delay = 0;

		if (lane != NULL && (job->phase == JOB_CLAIMED || job->phase == JOB_READY))
			delay = broken_for_ms(l, lane, job);
		if (delay > 0)
			give_back_after(job, delay);
	}
}

void
cli_lanes_start(cli_lanes *l)
{
	int i;

	for (i = 0; i < l->n; i++)
		cli_runner_start(&l->lanes[i].runner);
}

/*
 * runner.h
 *		Gives jobs to commands, and takes their outcomes from them.
 *
 * Either each job has a process of its own, or processes stay and have several jobs at a time
 * (--lines).  A job that a process has ended is JOB_ENDED with an outcome, or JOB_GONE if there is
 * nothing to report.
 */
#ifndef CLI_RUNNER_H
#define CLI_RUNNER_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/child.h"
#include "cli/job.h"
#include "cli/outcome.h"

typedef struct cli_runner_options
{
	char **command; /* and its arguments; ends with NULL */
	int nwords;
	char **environment; /* of all commands; nenvironment */
	int nenvironment;
	cli_surroundings surroundings;
	cli_input_mode input;
	cli_id_mode id;
	cli_result_mode result;
	bool permanent[256]; /* exit statuses after which a task is not tried again */
	int kill_signal;
	int64_t kill_after_ms;
	int64_t run_timeout_ms; /* 0: none; likewise the next */
	bool lines;
	int per_child; /* jobs at a time, with lines */
	int max_processes;
	int max_tasks; /* of a process, with lines; 0: no limit */
} cli_runner_options;

typedef struct cli_process cli_process;

typedef struct cli_runner
{
	const cli_runner_options *options;
	cli_jobs *jobs;
	cli_process *processes;
	int nprocesses;
	int64_t restart_at_ms; /* with lines: no process is started before */
	int64_t restart_pause_ms;
	bool stopping; /* processes without a job end */
} cli_runner;

extern void cli_runner_init(cli_runner *r, const cli_runner_options *options, cli_jobs *jobs);

/* Starts jobs that are ready, as far as there are processes for them. */
extern void cli_runner_start(cli_runner *r);

/* Reads, writes, and sees to what has ended and what is due. */
extern void cli_runner_step(cli_runner *r);

/* Tells the command of a running job to stop. */
extern void cli_runner_stop_job(cli_runner *r, cli_job *job, cli_reason reason);

/* With lines: processes end when they have done what they have, and new ones take their places. */
extern void cli_runner_renew(cli_runner *r);

/* No job comes any more: processes that wait for one end. */
extern void cli_runner_stop(cli_runner *r);

/* How many descriptors cli_runner_poll() needs room for. */
extern int cli_runner_npoll(const cli_runner *r);

/* The descriptors to wait for; returns their number. */
extern int cli_runner_poll(const cli_runner *r, struct pollfd *fds);

/* When cli_runner_step() is due even if nothing happens; -1: never. */
extern int64_t cli_runner_due_ms(const cli_runner *r);

/* Kills what is left. */
extern void cli_runner_free(cli_runner *r);

#endif

/*
 * ending.h
 *		What becomes of a job when its command has ended, or has answered.
 */
#ifndef CLI_ENDING_H
#define CLI_ENDING_H

#include <stdbool.h>

#include "cli/runner.h"

struct cli_process
{
	struct cli_process *next;
	cli_child child;
	int njobs;
	int ntasks;          /* that it got so far */
	bool retiring;       /* it gets no more */
	int64_t leave_by_ms; /* it was told to end, and is killed then; 0: it was not, or is killed */
	bool killed;         /* because of a job that did not stop, so the others are given back */
	char *nonsense;      /* what it answered; NULL: nothing of the kind */
};

/* The process of a job of its own has ended. */
extern void cli_ending_alone(const cli_runner *r, cli_job *job, cli_process *process);

/* A process that stays has ended, with this job in its hands. */
extern void cli_ending_in_process(const cli_runner *r, cli_job *job, cli_process *process);

/* What the command said itself is the outcome, whatever else happened.  False: it said nothing. */
extern bool cli_ending_by_reply(cli_job *job);

/* The job has left its process. */
extern void cli_ending_leave(const cli_runner *r, cli_job *job);

/* There is nothing to report; the event is logged. */
extern void cli_ending_drop(cli_job *job, const char *event);

/* Tells a process that has no job any more to end. */
extern void cli_ending_dismiss(const cli_runner *r, cli_process *process);

#endif

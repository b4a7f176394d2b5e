/*
 * runner.c
 *		Gives jobs to commands, and takes their outcomes from them.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/ending.h"
#include "cli/worklog.h"
#include "client/json.h"
#include "client/utf8.h"
#include "core/clock.h"

#define YOUNG_MS       10000 /* a process that ends before is started again after a pause */
#define FIRST_PAUSE_MS 1000
#define MAX_PAUSE_MS   60000
#define RELEASE_DELAY  "5 s" /* of a job whose command could not be started */
#define SHOWN_NONSENSE 100

void
cli_runner_init(cli_runner *r, const cli_runner_options *options, cli_jobs *jobs)
{
	*r = (cli_runner){.options = options, .jobs = jobs};
}

/* The jobs of all runners of a worker are in one list. */
static bool
is_mine(const cli_runner *r, const cli_job *job)
{
	return job->how == r->options;
}

/* ---- starting --------------------------------------------------------------------- */

/* The command and what is its last argument for this job; NULL: out of memory. */
static char **
arguments_for(const cli_runner *r, const cli_job *job)
{
	int n = r->options->nwords;
	char **arguments = calloc((size_t) n + 2, sizeof(*arguments));

	if (arguments == NULL)
		return NULL;
	memcpy(arguments, r->options->command, (size_t) n * sizeof(*arguments));
	if (job != NULL && r->options->id == ID_ID)
		arguments[n] = job->id;
	else if (job != NULL && r->options->id == ID_KEY)
		arguments[n] = job->key;
	else if (job != NULL && r->options->id == ID_NAME)
		arguments[n] = job->key != NULL ? job->key : job->id;
	return arguments;
}

static int
start_child(const cli_runner *r, cli_process *process, const cli_job *job)
{
	const cli_runner_options *o = r->options;
	char **arguments = arguments_for(r, job);
	char **environment = o->environment;
	int error = ENOMEM;

	if (job != NULL)
		environment = cli_job_environment(job, o->environment, o->nenvironment);
	if (arguments != NULL && environment != NULL)
		error = cli_child_start(&process->child, &o->surroundings, arguments, environment);
	if (job != NULL && environment != NULL)
		cli_job_free_environment(environment, o->nenvironment);
	free(arguments);
	return error;
}

/* A process for a job, or for several (NULL).  NULL: *error says why there is none. */
static cli_process *
start_process(cli_runner *r, const cli_job *job, int *error)
{
	cli_process *process = calloc(1, sizeof(*process));

	*error = process != NULL ? start_child(r, process, job) : ENOMEM;
	if (*error != 0)
	{
		free(process);
		return NULL;
	}
	process->next = r->processes;
	r->processes = process;
	r->nprocesses++;
	return process;
}

static void
give(cli_process *process, cli_job *job)
{
	job->process = process;
	job->phase = JOB_RUNNING;
	job->started_ms = tq_clock_ms();
	process->njobs++;
	process->ntasks++;
	if (!cli_log_told(EVENT_STARTED, job, NULL))
		cli_log_at(LOG_VERBOSE, job, "started pid=%d", (int) process->child.pid);
}

/* The attempt is not used: a missing program is no fault of the task. */
static void
give_back_unstarted(const cli_runner *r, cli_job *job, int error)
{
	const char *directory = r->options->surroundings.directory;

	if (directory != NULL && access(directory, X_OK) != 0)
		cli_log(job, "cannot be started: cannot enter %s: %s", directory, strerror(error));
	else
		cli_log(job, "cannot be started: %s", strerror(error));
	cli_job_end(job, VERB_RELEASE, RELEASE_DELAY);
	job->verdict = VERDICT_UNSTARTABLE;
}

static void
start_alone(cli_runner *r, cli_job *job)
{
	size_t len;
	char *input = cli_job_input(job, r->options->input, &len);
	int error = ENOMEM;
	cli_process *process = input != NULL ? start_process(r, job, &error) : NULL;

	if (process == NULL)
		give_back_unstarted(r, job, error);
	else
	{
		/* What it cannot get for lack of memory, it does not get at all. */
		if (!cli_child_write(&process->child, input, len))
			cli_child_kill(&process->child, SIGKILL, 0);
		cli_child_end_input(&process->child);
		give(process, job);
		cli_child_transfer(&process->child);
	}
	free(input);
}

/* ---- starting, with lines ----------------------------------------------------------- */

static bool
has_room(const cli_runner *r, const cli_process *process)
{
	return process->child.pid != 0 && !process->retiring && process->njobs < r->options->per_child;
}

/* The one with the fewest jobs; NULL: none has room. */
static cli_process *
find_room(const cli_runner *r)
{
	cli_process *best = NULL;
	cli_process *p;

	for (p = r->processes; p != NULL; p = p->next)
		if (has_room(r, p) && (best == NULL || p->njobs < best->njobs))
			best = p;
	return best;
}

/* It gets nothing more, and ends when it has done what it has. */
static void
retire(const cli_runner *r, cli_process *process)
{
	process->retiring = true;
	if (process->njobs == 0)
		cli_ending_dismiss(r, process);
}

static void
pause_restarts(cli_runner *r)
{
	r->restart_pause_ms = r->restart_pause_ms == 0
							  ? FIRST_PAUSE_MS
							  : tq_sooner(r->restart_pause_ms * 2, MAX_PAUSE_MS);
	r->restart_at_ms = tq_clock_ms() + r->restart_pause_ms;
}

static int
count_active(const cli_runner *r)
{
	const cli_process *p;
	int n = 0;

	for (p = r->processes; p != NULL; p = p->next)
		if (p->child.pid != 0 && !p->retiring)
			n++;
	return n;
}

/* A process with room; NULL: there is none, and the job waits or was given back. */
static cli_process *
process_for(cli_runner *r, cli_job *job)
{
	cli_process *process = find_room(r);
	int error;

	if (process != NULL && (process->njobs == 0 || count_active(r) >= r->options->max_processes))
		return process;
	if (count_active(r) >= r->options->max_processes || tq_clock_ms() < r->restart_at_ms)
		return process;
	process = start_process(r, NULL, &error);
	if (process == NULL)
	{
		pause_restarts(r);
		give_back_unstarted(r, job, error);
	}
	return process;
}

/* False: no memory; the process would wait for the rest of the line. */
static bool
tell_process(cli_process *process, const char *begin, const char *object, const char *end)
{
	cli_child *c = &process->child;

	return object != NULL && cli_child_write(c, begin, strlen(begin)) &&
		   cli_child_write(c, object, strlen(object)) && cli_child_write(c, end, strlen(end));
}

static void
start_in_process(cli_runner *r, cli_job *job)
{
	cli_process *process = process_for(r, job);

	if (process == NULL)
		return;
	give(process, job);
	if (!tell_process(process, "{\"task\":", cli_job_object(job), "}\n"))
		cli_child_kill(&process->child, SIGKILL, 0);
	if (r->options->max_tasks > 0 && process->ntasks >= r->options->max_tasks)
		retire(r, process);
	cli_child_transfer(&process->child);
}

void
cli_runner_start(cli_runner *r)
{
	cli_job *job;

	for (job = r->jobs->first; job != NULL; job = job->next)
	{
		if (job->phase != JOB_READY || !is_mine(r, job) ||
			job->queue->running >= job->queue->max_jobs)
			continue;
		if (r->options->lines)
			start_in_process(r, job);
		else
			start_alone(r, job);
		job->queue->running += job->phase == JOB_RUNNING;
	}
}

/* ---- what commands say ---------------------------------------------------------------- */

/* The job of a process with that id, or the only one (NULL).  NULL: there is none. */
static cli_job *
job_of(const cli_runner *r, const cli_process *process, const char *id)
{
	cli_job *job;

	for (job = r->jobs->first; job != NULL; job = job->next)
		if (job->process == process && (id == NULL || strcmp(job->id, id) == 0))
			return job;
	return NULL;
}

static void
take_progress(cli_job *job, cli_reply *reply)
{
	free(job->fraction);
	free(job->message);
	job->fraction = reply->fraction;
	job->message = reply->message;
	job->progressed = true;
	reply->fraction = reply->message = NULL;
}

/* With lines an answer ends the job; on descriptor 3 it waits for the end of the command. */
static void
take_outcome(const cli_runner *r, cli_job *job, cli_reply *reply)
{
	cli_reply_free(&job->outcome);
	job->outcome = *reply;
	memset(reply, 0, sizeof(*reply));
	if (!r->options->lines)
		return;
	cli_ending_leave(r, job);
	if (job->ended_itself)
		cli_ending_drop(job, "finished by the command itself");
	else if (!cli_ending_by_reply(job))
		cli_ending_drop(job, "lost");
}

static void
take_nonsense(cli_process *process, const char *line, size_t len)
{
	char *shown;

	if (process->nonsense != NULL)
		return;
	shown = tq_json_bytes(line, len < SHOWN_NONSENSE ? len : SHOWN_NONSENSE);
	if (asprintf(&process->nonsense, "command answered nonsense: %s",
				 shown != NULL ? shown : "") < 0)
		process->nonsense = NULL;
	free(shown);
	cli_child_kill(&process->child, SIGKILL, 0);
}

static void
take_answer_line(cli_runner *r, cli_process *process, const char *line, size_t len)
{
	cli_reply reply;
	cli_job *job;

	if (!cli_reply_read(line, len, &reply) || (reply.id != NULL) != r->options->lines)
	{
		take_nonsense(process, line, len);
		return;
	}
	job = job_of(r, process, reply.id);
	if (job == NULL)
		cli_log(NULL, "a command answered for task %s, which it does not have", reply.id);
	else if (reply.verb == VERB_PROGRESS)
		take_progress(job, &reply);
	else
		take_outcome(r, job, &reply);
	cli_reply_free(&reply);
}

static void
take_error_line(const cli_runner *r, cli_process *process, const char *line, size_t len)
{
	cli_child *c = &process->child;
	size_t kept = len < sizeof(c->last_line) ? len : sizeof(c->last_line) - 1;

	cli_log_errors(r->options->lines ? NULL : job_of(r, process, NULL), line, len);
	if (len == 0)
		return;
	tq_utf8_clean(line, kept, c->last_line);
}

/* last: also what has no line feed yet. */
static void
take_lines(cli_runner *r, cli_process *process, bool last)
{
	cli_child *c = &process->child;
	const char *line;
	size_t len;

	while ((line = cli_lines_next(&c->lines, &len)) != NULL)
		take_answer_line(r, process, line, len);
	if (c->lines_too_long)
		take_nonsense(process, "a line that is too long", strlen("a line that is too long"));
	while ((line = cli_lines_next(&c->errors, &len)) != NULL)
		take_error_line(r, process, line, len);
	/* One that fills the buffer is split. */
	if ((last || c->errors.bytes.len == c->errors.bytes.limit) &&
		(line = cli_lines_rest(&c->errors, &len)) != NULL)
		take_error_line(r, process, line, len);
	if (last && (line = cli_lines_rest(&c->lines, &len)) != NULL)
		take_answer_line(r, process, line, len);
}

/* ---- ends ------------------------------------------------------------------------------- */

static void
unlink_process(cli_runner *r, cli_process *process)
{
	cli_process **at = &r->processes;

	while (*at != process)
		at = &(*at)->next;
	*at = process->next;
	r->nprocesses--;
	cli_child_free(&process->child);
	free(process->nonsense);
	free(process);
}

static void
note_life(cli_runner *r, const cli_process *process)
{
	bool expected = process->retiring || r->stopping || process->killed;

	if (expected)
		return;
	if (process->child.end.ms >= YOUNG_MS)
		r->restart_pause_ms = 0;
	else
		pause_restarts(r);
}

static void
end_process(cli_runner *r, cli_process *process)
{
	cli_job *job;

	take_lines(r, process, true);
	for (job = r->jobs->first; job != NULL; job = job->next)
	{
		if (job->process != process)
			continue;
		if (r->options->lines)
			cli_ending_in_process(r, job, process);
		else
			cli_ending_alone(r, job, process);
	}
	if (r->options->lines)
		note_life(r, process);
	unlink_process(r, process);
}

/* ---- stopping jobs ---------------------------------------------------------------------- */

static void
log_stop(const cli_job *job, cli_reason reason)
{
	cli_event event = reason == REASON_CANCELLED ? EVENT_CANCELLED : EVENT_KILLING;

	if (!cli_log_told(event, job, cli_reason_name(reason)))
		cli_log(job, "killing: %s", cli_reason_name(reason));
}

void
cli_runner_stop_job(cli_runner *r, cli_job *job, cli_reason reason)
{
	const cli_runner_options *o = r->options;
	char cancel[128];

	/* A second reason counts if the job is not ours any more. */
	if (job->process == NULL || (job->reason != REASON_NONE && reason != REASON_LOST))
		return;
	log_stop(job, reason);
	if (job->reason != REASON_NONE)
	{
		job->reason = reason;
		return;
	}
	job->reason = reason;
	if (!o->lines)
	{
		cli_child_kill(&job->process->child, o->kill_signal, o->kill_after_ms);
		return;
	}
	snprintf(cancel, sizeof(cancel), "{\"id\":\"%s\",\"reason\":\"%s\"}", job->id,
			 cli_reason_name(reason));
	(void) tell_process(job->process, "{\"cancel\":", cancel, "}\n");
	job->kill_at_ms = tq_clock_ms() + o->kill_after_ms;
}

static int64_t
timeout_at(const cli_runner *r, const cli_job *job)
{
	if (r->options->run_timeout_ms == 0 || job->reason != REASON_NONE)
		return INT64_MAX;
	return job->started_ms + r->options->run_timeout_ms;
}

static void
kill_process(const cli_runner *r, cli_process *process)
{
	process->leave_by_ms = 0;
	cli_child_kill(&process->child, r->options->kill_signal, r->options->kill_after_ms);
}

/* A process that did not take back a job is killed, and the others that it has are given back. */
static void
kill_what_is_due(cli_runner *r)
{
	int64_t now = tq_clock_ms();
	cli_process *process;
	cli_job *job;

	for (process = r->processes; process != NULL; process = process->next)
		if (process->leave_by_ms != 0 && now >= process->leave_by_ms)
			kill_process(r, process);
	for (job = r->jobs->first; job != NULL; job = job->next)
	{
		if (job->process == NULL || !is_mine(r, job))
			continue;
		if (now >= timeout_at(r, job))
			cli_runner_stop_job(r, job, REASON_TIMEOUT);
		if (job->kill_at_ms == 0 || now < job->kill_at_ms)
			continue;
		job->kill_at_ms = 0;
		job->process->killed = true;
		job->process->retiring = true;
		kill_process(r, job->process);
	}
}

void
cli_runner_step(cli_runner *r)
{
	cli_process *process;
	cli_process *next;

	kill_what_is_due(r);
	for (process = r->processes; process != NULL; process = next)
	{
		next = process->next;
		cli_child_transfer(&process->child);
		take_lines(r, process, false);
		if (cli_child_step(&process->child))
			end_process(r, process);
	}
}

void
cli_runner_renew(cli_runner *r)
{
	cli_process *process;

	for (process = r->processes; r->options->lines && process != NULL; process = process->next)
		retire(r, process);
}

void
cli_runner_stop(cli_runner *r)
{
	r->stopping = true;
	cli_runner_renew(r);
}

/* ---- waiting ------------------------------------------------------------------------------ */

int
cli_runner_npoll(const cli_runner *r)
{
	return r->nprocesses * CHILD_NFDS;
}

int
cli_runner_poll(const cli_runner *r, struct pollfd *fds)
{
	const cli_process *p;
	int n = 0;

	for (p = r->processes; p != NULL; p = p->next)
		n += cli_child_poll(&p->child, fds + n);
	return n;
}

int64_t
cli_runner_due_ms(const cli_runner *r)
{
	const cli_process *p;
	const cli_job *job;
	int64_t due = INT64_MAX;

	for (p = r->processes; p != NULL; p = p->next)
	{
		if (cli_child_due_ms(&p->child) >= 0)
			due = tq_sooner(due, cli_child_due_ms(&p->child));
		if (p->leave_by_ms != 0)
			due = tq_sooner(due, p->leave_by_ms);
	}
	for (job = r->jobs->first; job != NULL; job = job->next)
	{
		if (!is_mine(r, job))
			continue;
		if (job->phase == JOB_READY)
			due = tq_sooner(due, r->restart_at_ms);
		if (job->process == NULL)
			continue;
		due = tq_sooner(due, timeout_at(r, job));
		if (job->kill_at_ms != 0)
			due = tq_sooner(due, job->kill_at_ms);
	}
	return due == INT64_MAX ? -1 : due;
}

void
cli_runner_free(cli_runner *r)
{
	while (r->processes != NULL)
		unlink_process(r, r->processes);
}

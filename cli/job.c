/*
 * job.c
 *		A task that a worker has claimed, from the claim to the report of its outcome.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/job.h"
#include "cli/scan.h"
#include "client/json.h"
#include "core/clock.h"

#define BEATS_IN_LEASE 3

/* ---- coming and going ------------------------------------------------------------ */

static void
free_job(cli_job *job)
{
	free(job->id);
	free(job->token);
	free(job->kind);
	free(job->key);
	free(job->payload);
	free(job->attempt);
	free(job->max_attempts);
	free(job->submitted_at);
	free(job->lease_until);
	free(job->trace);
	free(job->object);
	free(job->fraction);
	free(job->message);
	cli_reply_free(&job->outcome);
	free(job);
}

/* False: out of memory.  NULL stays NULL. */
static bool
take_column(char **to, const PGresult *claim, int row, int column)
{
	if (PQgetisnull(claim, row, column))
		return true;
	*to = strdup(PQgetvalue(claim, row, column));
	return *to != NULL;
}

cli_job *
cli_job_new(const PGresult *claim, int row, cli_queue *queue)
{
	cli_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return NULL;
	job->queue = queue;
	job->beat_every_ms =
		tq_later(atoll(PQgetvalue(claim, row, CLAIM_LEASE_MS)) / BEATS_IN_LEASE, 1);
	if (take_column(&job->id, claim, row, CLAIM_ID) &&
		take_column(&job->token, claim, row, CLAIM_TOKEN) &&
		take_column(&job->kind, claim, row, CLAIM_KIND) &&
		take_column(&job->key, claim, row, CLAIM_KEY) &&
		take_column(&job->payload, claim, row, CLAIM_PAYLOAD) &&
		take_column(&job->attempt, claim, row, CLAIM_ATTEMPT) &&
		take_column(&job->max_attempts, claim, row, CLAIM_MAX_ATTEMPTS) &&
		take_column(&job->submitted_at, claim, row, CLAIM_SUBMITTED_AT) &&
		take_column(&job->lease_until, claim, row, CLAIM_LEASE_UNTIL) &&
		take_column(&job->trace, claim, row, CLAIM_TRACE))
		return job;
	free_job(job);
	return NULL;
}

void
cli_jobs_add(cli_jobs *jobs, cli_job *job)
{
	cli_job **last = &jobs->first;

	while (*last != NULL)
		last = &(*last)->next;
	*last = job;
	jobs->n++;
}

void
cli_jobs_sweep(cli_jobs *jobs)
{
	cli_job **at = &jobs->first;

	while (*at != NULL)
	{
		cli_job *job = *at;

		if (job->phase != JOB_GONE)
		{
			at = &job->next;
			continue;
		}
		*at = job->next;
		jobs->n--;
		free_job(job);
	}
}

void
cli_jobs_clear(cli_jobs *jobs)
{
	cli_job *job;

	for (job = jobs->first; job != NULL; job = job->next)
		job->phase = JOB_GONE;
	cli_jobs_sweep(jobs);
}

int
cli_jobs_count(const cli_jobs *jobs, const cli_queue *queue, cli_phase first, cli_phase last)
{
	const cli_job *job;
	int n = 0;

	for (job = jobs->first; job != NULL; job = job->next)
		if (job->phase >= first && job->phase <= last && (queue == NULL || job->queue == queue))
			n++;
	return n;
}

/* ---- as a command sees it ---------------------------------------------------------- */

/* A text as JSON, also NULL; the caller's to free. */
static char *
json_of(const char *text)
{
	return text != NULL ? tq_json_string(text, strlen(text)) : strdup("null");
}

const char *
cli_job_object(cli_job *job)
{
	char *queue;
	char *kind;
	char *key;
	char *trace;

	if (job->object != NULL)
		return job->object;
	queue = json_of(job->queue->name);
	kind = json_of(job->kind);
	key = json_of(job->key);
	trace = json_of(job->trace);
	if (queue == NULL || kind == NULL || key == NULL || trace == NULL ||
		asprintf(&job->object,
				 "{\"id\":\"%s\",\"queue\":%s,\"kind\":%s,\"key\":%s,\"attempt\":%s,"
				 "\"max_attempts\":%s,\"submitted_at\":\"%s\",\"lease_until\":\"%s\","
				 "\"trace\":%s,\"payload\":%s}",
				 job->id, queue, kind, key, job->attempt, job->max_attempts, job->submitted_at,
				 job->lease_until, trace, job->payload != NULL ? job->payload : "null") < 0)
		job->object = NULL;
	free(queue);
	free(kind);
	free(key);
	free(trace);
	return job->object;
}

/* The text and a line feed. */
static char *
line_of(const char *text, size_t *len)
{
	char *line = NULL;
	int n = text != NULL ? asprintf(&line, "%s\n", text) : -1;

	*len = n > 0 ? (size_t) n : 0;
	return n > 0 ? line : NULL;
}

char *
cli_job_input(cli_job *job, cli_input_mode mode, size_t *len)
{
	const char *payload = job->payload != NULL ? job->payload : "null";
	char *text;

	switch (mode)
	{
		case INPUT_PAYLOAD:
			return line_of(payload, len);
		case INPUT_TASK:
			return line_of(cli_job_object(job), len);
		case INPUT_TEXT:
			if (*payload == '"')
				return cli_scan_string((cli_slice){payload, strlen(payload)}, len);
			text = strdup(payload);
			*len = strlen(payload);
			return text;
		case INPUT_NONE:
			break;
	}
	*len = 0;
	return strdup("");
}

/* The variables of a task, in the order of values_of(). */
static const char *const variables[] = {
	"TASKQ_TASK_ID", "TASKQ_TOKEN", "TASKQ_QUEUE", "TASKQ_KIND", "TASKQ_KEY",
	"TASKQ_ATTEMPT", "TASKQ_MAX_ATTEMPTS", "TASKQ_SUBMITTED_AT", "TASKQ_LEASE_UNTIL", "TRACEPARENT",
	"TASKQ_TRACE"};

#define NVARIABLES ((int) (sizeof(variables) / sizeof(variables[0])))

char **
cli_job_environment(const cli_job *job, char *const *base, int nbase)
{
	/* Later attempts are no part of the trace: they may come days later. */
	bool first = strcmp(job->attempt, "1") == 0;
	const char *values[] = {
		job->id, job->token, job->queue->name, job->kind, job->key,
		job->attempt, job->max_attempts, job->submitted_at, job->lease_until,
		first ? job->trace : NULL, first ? NULL : job->trace};
	char **environment = calloc((size_t) (nbase + NVARIABLES) + 1, sizeof(char *));
	int n = nbase;
	int i;

	if (environment == NULL)
		return NULL;
	memcpy(environment, base, (size_t) nbase * sizeof(char *));
	for (i = 0; i < NVARIABLES; i++)
	{
		if (values[i] == NULL)
			continue;
		if (asprintf(&environment[n], "%s=%s", variables[i], values[i]) < 0)
		{
			environment[n] = NULL;
			cli_job_free_environment(environment, nbase);
			return NULL;
		}
		n++;
	}
	return environment;
}

void
cli_job_free_environment(char **environment, int nbase)
{
	int i;

	for (i = nbase; environment[i] != NULL; i++)
		free(environment[i]);
	free(environment);
}

/* ---- its end ------------------------------------------------------------------------ */

static void
begin_outcome(cli_job *job, cli_verb verb)
{
	cli_reply_free(&job->outcome);
	job->outcome.verb = verb;
	job->class = NULL;
	job->phase = JOB_ENDED;
}

void
cli_job_fail(cli_job *job, const char *class, char *error)
{
	begin_outcome(job, VERB_FAIL);
	job->outcome.error = error;
	job->class = class;
}

void
cli_job_end(cli_job *job, cli_verb verb, const char *delay)
{
	begin_outcome(job, verb);
	if (delay != NULL)
		job->outcome.delay = strdup(delay);
}

const char *
cli_reason_name(cli_reason reason)
{
	switch (reason)
	{
		case REASON_CANCELLED:
			return "cancelled";
		case REASON_LOST:
			return "lost";
		case REASON_TIMEOUT:
			return "timeout";
		case REASON_STOPPING:
			return "stopping";
		case REASON_NONE:
			break;
	}
	return "";
}

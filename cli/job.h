/*
 * job.h
 *		A task that a worker has claimed, from the claim to the report of its outcome.
 */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "cli/reply.h"

/* What the last argument of a command is. */
typedef enum cli_id_mode
{
	ID_ID,
	ID_KEY,
	ID_NONE,
	ID_NAME /* the key, or the id of a task without one */
} cli_id_mode;

/* What a command reads. */
typedef enum cli_input_mode
{
	INPUT_PAYLOAD,
	INPUT_TEXT,
	INPUT_TASK,
	INPUT_NONE
} cli_input_mode;

/* A queue that is served. */
typedef struct cli_queue
{
	const char *name;
	int max_jobs;
	int64_t look_at_ms;       /* when it is claimed from even if nothing was notified */
	int64_t refused_until_ms; /* the last claim failed; 0: it did not */
	bool empty;               /* the last claim got fewer tasks than it wanted */
	int running;              /* commands; counted once in a turn of the loop */
	double run_ms;            /* how long commands take, about; 0: not known, or one failed */
} cli_queue;

typedef enum cli_phase
{
	JOB_CLAIMED,   /* the functions before are to be called; then ASKED, READY or ENDED */
	JOB_ASKED,     /* they are under way; then CLAIMED, READY or ENDED */
	JOB_READY,     /* to be started; then RUNNING or ENDED */
	JOB_RUNNING,   /* a command has it; then ENDED or GONE */
	JOB_ENDED,     /* the outcome is to be reported; then REPORTED or GONE */
	JOB_REPORTED,  /* the report is under way; then ENDED, LOOKED_UP or GONE */
	JOB_LOOKED_UP, /* it was lost: has the command itself finished it?  Then GONE */
	JOB_GONE       /* to be freed */
} cli_phase;

/* Why a command is told to stop. */
typedef enum cli_reason
{
	REASON_NONE,
	REASON_CANCELLED,
	REASON_LOST,
	REASON_TIMEOUT,
	REASON_STOPPING
} cli_reason;

/* What the outcome says of the command, for the breaker. */
typedef enum cli_verdict
{
	VERDICT_NONE,
	VERDICT_GOOD,
	VERDICT_BAD,
	VERDICT_UNSTARTABLE
} cli_verdict;

struct cli_process;
struct cli_runner_options;

/* Texts that are not there are NULL. */
typedef struct cli_job
{
	struct cli_job *next;
	cli_queue *queue;
	cli_phase phase;
	const struct cli_runner_options *how; /* it is done; NULL: this worker has no route for it */
	char *id;
	char *token;
	char *kind;
	char *key;
	char *payload;
	char *attempt;
	char *max_attempts;
	char *submitted_at;
	char *lease_until;
	char *trace;
	char *object; /* all of these as JSON; made at the first use */

	int64_t claimed_ms;
	int64_t beat_every_ms; /* how often the lease is extended */
	int64_t beat_at_ms;
	bool beating; /* a heartbeat is under way */
	bool cancel_requested;
	bool check_lost;   /* a call found that it is lost; look whether the command has ended it */
	bool checking;     /* that is under way */
	bool lost;         /* it has not */
	bool ended_itself; /* it has */

	struct cli_process *process; /* RUNNING only */
	int64_t started_ms;
	cli_reason reason;
	int64_t kill_at_ms; /* with --lines, when a command that does not stop is killed; 0: never */

	char *fraction; /* the last progress, not yet sent */
	char *message;
	bool progressed;

	/* From ENDED on. */
	cli_reply outcome;
	const char *class;
	cli_verdict verdict;
	bool counted;         /* by the breaker */
	bool without_after;   /* a function after has failed */
	int refusals;         /* of reports */
	int64_t report_at_ms; /* not before */
} cli_job;

/* In the order in which they were claimed. */
typedef struct cli_jobs
{
	cli_job *first;
	int n;
} cli_jobs;

/* The columns of a claim, which cli_job_new() takes. */
enum
{
	CLAIM_ID,
	CLAIM_TOKEN,
	CLAIM_KIND,
	CLAIM_KEY,
	CLAIM_PAYLOAD,
	CLAIM_ATTEMPT,
	CLAIM_MAX_ATTEMPTS,
	CLAIM_SUBMITTED_AT,
	CLAIM_LEASE_UNTIL,
	CLAIM_LEASE_MS,
	CLAIM_TOO_OLD,
	CLAIM_TRACE
};

/* NULL: out of memory. */
extern cli_job *cli_job_new(const PGresult *claim, int row, cli_queue *queue);

extern void cli_jobs_add(cli_jobs *jobs, cli_job *job);

/* Frees those that are gone, or all. */
extern void cli_jobs_sweep(cli_jobs *jobs);
extern void cli_jobs_clear(cli_jobs *jobs);

/* How many of the queue are in a phase from first to last; queue NULL: of all. */
extern int cli_jobs_count(const cli_jobs *jobs, const cli_queue *queue, cli_phase first,
						  cli_phase last);

/* The task as a JSON object; valid as long as the job is.  NULL: out of memory. */
extern const char *cli_job_object(cli_job *job);

/* What the command reads, in *len bytes; the caller's to free.  NULL: out of memory. */
extern char *cli_job_input(cli_job *job, cli_input_mode mode, size_t *len);

/*
 * The environment of its command: base and what tells of the task.  The caller frees it with
 * cli_job_free_environment().  NULL: out of memory.
 */
extern char **cli_job_environment(const cli_job *job, char *const *base, int nbase);
extern void cli_job_free_environment(char **environment, int nbase);

/* Ends it with a failure; takes error, which is malloc'd.  It is JOB_ENDED then. */
extern void cli_job_fail(cli_job *job, const char *class, char *error);

/* Ends it with another outcome that needs no text but a delay, or none.  Likewise. */
extern void cli_job_end(cli_job *job, cli_verb verb, const char *delay);

/* "cancelled" and so on, as a command is told. */
extern const char *cli_reason_name(cli_reason reason);

#endif

/*
 * pool.c
 *		The loop of taskq work: claims tasks, has commands do them, and reports what came of it.
 *
 * It waits in one place, for commands, the database and signals.
 */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/lanes.h"
#include "cli/pool.h"
#include "cli/report.h"
#include "cli/worklease.h"
#include "cli/worklog.h"
#include "cli/workreport.h"
#include "client/signals.h"
#include "client/supervisor.h"
#include "core/clock.h"

#define TURN_MS        1000
#define PATIENCE       2     /* signals to stop before the one that ends the program at once */
#define LAST_REPORT_MS 10000 /* for reports at the end while there is no connection */
#define STATUS_MS      1000  /* between two states told to the supervisor */
#define AHEAD_MS       20    /* what commands do in this time is claimed ahead, ... */
#define AHEAD_TIMES    2     /* ... and so many tasks a command at most */
#define AHEAD_WAIT_MS  200   /* after this time it is given back */

typedef struct Pool
{
	const cli_pool_options *options;
	cli_jobs jobs;
	cli_lanes lanes;
	cli_workdb *db;
	struct pollfd *fds;
	int nfds_allocated;

	int stops;             /* signals to stop that were seen to */
	bool ending;           /* there is nothing left to do; processes end */
	int64_t kill_at_ms;    /* once stopping: when running tasks are killed; -1: never */
	int64_t give_up_at_ms; /* once all commands have ended: see LAST_REPORT_MS */
	int64_t idle_since_ms;
	bool ready; /* the supervisor was told so */
	int64_t tell_at_ms;
	int64_t watchdog_at_ms;
} Pool;

/* ---- stopping ---------------------------------------------------------------------- */

static bool
is_stopping(const Pool *pool)
{
	return pool->stops > 0 || pool->ending;
}

static void
stop_running(Pool *pool)
{
	cli_job *job;

	for (job = pool->jobs.first; job != NULL; job = job->next)
		if (job->phase == JOB_RUNNING)
			cli_lanes_stop_job(&pool->lanes, job, REASON_STOPPING);
}

/* What has not begun is given back. */
static void
give_back_waiting(Pool *pool)
{
	cli_job *job;

	for (job = pool->jobs.first; job != NULL; job = job->next)
		if (job->phase == JOB_CLAIMED || job->phase == JOB_READY)
			cli_job_end(job, VERB_RELEASE, "0");
}

static void
begin_stop(Pool *pool)
{
	int64_t timeout = pool->options->stop_timeout_ms;

	if (!cli_log_told(EVENT_STOPPING, NULL, NULL))
		cli_log(NULL, "stopping: %d tasks are running",
				cli_jobs_count(&pool->jobs, NULL, JOB_RUNNING, JOB_RUNNING));
	tq_supervisor_tell("STOPPING=1");
	pool->kill_at_ms = timeout >= 0 ? tq_clock_ms() + timeout : -1;
	cli_lanes_stop(&pool->lanes);
}

static void
take_signals(Pool *pool)
{
	int stops;

	tq_signals_clear();
	if (tq_signals_came(SIGHUP))
	{
		cli_log_reopen();
		cli_lanes_renew(&pool->lanes);
	}
	stops = tq_signals_came(SIGQUIT) ? PATIENCE : tq_signals_stops();
	if (stops > 0 && pool->stops == 0)
		begin_stop(pool);
	if (stops > 1 && pool->stops < 2)
		pool->kill_at_ms = tq_clock_ms();
	if (stops > pool->stops)
		pool->stops = stops;
	if (pool->stops == 0)
		return;
	give_back_waiting(pool);
	if (pool->kill_at_ms >= 0 && tq_clock_ms() >= pool->kill_at_ms)
	{
		pool->kill_at_ms = -1;
		stop_running(pool);
	}
}

/* ---- jobs ---------------------------------------------------------------------------- */

/* A mean of which older times are a smaller and smaller part. */
static void
note_time(const cli_job *job)
{
	double ms = (double) tq_later(tq_clock_ms() - job->started_ms, 1);
	double before = job->queue->run_ms;

	if (job->verdict == VERDICT_GOOD)
		job->queue->run_ms = before == 0 ? ms : (7 * before + ms) / 8;
	else if (job->verdict != VERDICT_NONE)
		job->queue->run_ms = 0;
}

/* When a job that others keep from running is given back; INT64_MAX: it is not. */
static int64_t
give_back_at(const cli_job *job)
{
	if (job->phase != JOB_READY || job->queue->running < job->queue->max_jobs)
		return INT64_MAX;
	return job->claimed_ms + AHEAD_WAIT_MS;
}

/* What was claimed ahead, and what slower commands now keep from running, is for other workers. */
static void
give_back_ahead(Pool *pool)
{
	cli_job *job;

	for (job = pool->jobs.first; job != NULL; job = job->next)
		if (give_back_at(job) <= tq_clock_ms())
		{
			job->queue->run_ms = 0;
			cli_job_end(job, VERB_RELEASE, "0");
		}
}

static void
count_running(Pool *pool)
{
	const cli_workdb_options *o = &pool->options->database;
	const cli_job *job;
	int i;

	for (i = 0; i < o->nqueues; i++)
		o->queues[i].running = 0;
	for (job = pool->jobs.first; job != NULL; job = job->next)
		job->queue->running += job->phase == JOB_RUNNING;
}

/* What the database said about jobs, and what commands did. */
static void
note_changes(Pool *pool)
{
	cli_job *job;

	count_running(pool);
	for (job = pool->jobs.first; job != NULL; job = job->next)
	{
		if (job->phase == JOB_RUNNING && job->lost)
			cli_lanes_stop_job(&pool->lanes, job, REASON_LOST);
		else if (job->phase == JOB_RUNNING && job->cancel_requested)
			cli_lanes_stop_job(&pool->lanes, job, REASON_CANCELLED);
		else if ((job->phase == JOB_CLAIMED || job->phase == JOB_READY) && job->cancel_requested)
			cli_job_fail(job, NULL, strdup("cancelled"));
		if (job->phase >= JOB_ENDED && !job->counted)
		{
			job->counted = true;
			cli_lanes_judge(&pool->lanes, job);
			note_time(job);
		}
	}
}

/* ---- claims -------------------------------------------------------------------------- */

/*
 * How many tasks are claimed that no command is free for: those that quick commands do while the
 * batch is under way.  None after a failure, so that a command that fails always gets few; and none
 * if functions are called before a command, because some of the tasks may be given back.
 */
static int
ahead(const Pool *pool, const cli_queue *queue)
{
	double times = queue->run_ms > 0 ? AHEAD_MS / queue->run_ms : 0;

	if (pool->options->database.hooks->nbefore > 0)
		return 0;
	return (int) (queue->max_jobs * (times < AHEAD_TIMES ? times : AHEAD_TIMES));
}

/* How many tasks of a queue may be claimed now, if the batch is answered as is expected. */
static int
wanted(const Pool *pool, const cli_queue *queue)
{
	const cli_pool_options *o = pool->options;
	int mine = cli_jobs_count(&pool->jobs, queue, JOB_CLAIMED, JOB_ENDED);
	int all = cli_jobs_count(&pool->jobs, NULL, JOB_CLAIMED, JOB_ENDED);
	int n = queue->max_jobs + ahead(pool, queue) - mine;

	if (is_stopping(pool))
		return 0;
	if (o->once)
		n = cli_workdb_tally(pool->db)->claimed > 0 || all > 0 ? 0 : 1;
	return cli_lanes_allow(&pool->lanes, n);
}

/* A queue is looked at when that is due, and along with a report. */
static bool
is_due(const Pool *pool, const cli_queue *queue)
{
	int64_t now = tq_clock_ms();

	if (now < queue->refused_until_ms)
		return false;
	return now >= queue->look_at_ms || !queue->empty ||
		   cli_jobs_count(&pool->jobs, queue, JOB_REPORTED, JOB_REPORTED) > 0;
}

static void
claim(Pool *pool)
{
	const cli_workdb_options *o = &pool->options->database;
	int i;

	for (i = 0; i < o->nqueues; i++)
	{
		int n = is_due(pool, &o->queues[i]) ? wanted(pool, &o->queues[i]) : 0;

		if (n > 0)
			cli_workdb_claim(pool->db, &o->queues[i], n);
		/* One claim alone, so that the breaker lets no more than one task through. */
		if (n > 0 && (cli_lanes_try_one(&pool->lanes) || pool->options->once))
			return;
	}
}

/* All queues are looked at as soon as there is room. */
static void
look_now(const Pool *pool)
{
	const cli_workdb_options *o = &pool->options->database;
	int i;

	for (i = 0; i < o->nqueues; i++)
		o->queues[i].look_at_ms = 0;
}

/* The next look is a while after the last one, at random, so that workers spread out. */
static void
plan_looks(const Pool *pool)
{
	const cli_workdb_options *o = &pool->options->database;
	int i;

	for (i = 0; i < o->nqueues; i++)
		if (o->queues[i].look_at_ms == INT64_MAX)
			o->queues[i].look_at_ms =
				tq_clock_ms() + o->poll_ms * 4 / 5 + o->poll_ms * 2 / 5 * (random() % 1000) / 1000;
}

/* ---- the database ---------------------------------------------------------------------- */

static void
listen_to_database(Pool *pool)
{
	if (tq_connection_step(cli_workdb_connection(pool->db)))
		look_now(pool);
	cli_workdb_step(pool->db);
}

static void
tell_database(Pool *pool)
{
	if (!cli_workdb_begin(pool->db))
		return;
	plan_looks(pool);
	cli_workreport_add(pool->db);
	cli_worklease_heartbeat(pool->db);
	cli_worklease_look_up(pool->db);
	cli_worklease_progress(pool->db);
	cli_workdb_ask_before(pool->db);
	claim(pool);
	cli_workdb_send(pool->db);
}

/* ---- waiting ------------------------------------------------------------------------------ */

/* Milliseconds until something is due of which no descriptor tells. */
static int64_t
time_left(const Pool *pool)
{
	const cli_workdb_options *o = &pool->options->database;
	int64_t now = tq_clock_ms();
	int64_t at = now + TURN_MS;
	int64_t connection = tq_connection_timeout(cli_workdb_connection(pool->db));
	int64_t runner = cli_lanes_due_ms(&pool->lanes);
	const cli_job *job;
	int i;

	if (connection >= 0)
		at = tq_sooner(at, now + connection);
	if (runner >= 0)
		at = tq_sooner(at, runner);
	if (pool->kill_at_ms >= 0)
		at = tq_sooner(at, pool->kill_at_ms);
	for (i = 0; i < o->nqueues; i++)
		if (o->queues[i].look_at_ms > now)
			at = tq_sooner(at, o->queues[i].look_at_ms);
	for (job = pool->jobs.first; job != NULL; job = job->next)
	{
		if (job->phase <= JOB_RUNNING && job->beat_at_ms > now)
			at = tq_sooner(at, job->beat_at_ms);
		at = tq_sooner(at, give_back_at(job));
	}
	return tq_later(at - now, 0);
}

/* False: no memory. */
static bool
make_room(Pool *pool)
{
	int n = cli_lanes_npoll(&pool->lanes) + 2;
	struct pollfd *more;

	if (n <= pool->nfds_allocated)
		return true;
	more = realloc(pool->fds, (size_t) n * sizeof(*more));
	if (more == NULL)
		return false;
	pool->fds = more;
	pool->nfds_allocated = n;
	return true;
}

static void
wait_for_events(Pool *pool)
{
	int64_t left = time_left(pool);
	tq_connection *c = cli_workdb_connection(pool->db);
	struct pollfd *fds;
	int n;

	if (!make_room(pool))
	{
		(void) poll(NULL, 0, (int) tq_sooner(left, 100));
		return;
	}
	fds = pool->fds;
	fds[0] = (struct pollfd){tq_signals_fd(), POLLIN, 0};
	fds[1] = (struct pollfd){-1, 0, 0};
	fds[1].fd = tq_connection_fd(c, &fds[1].events);
	if (cli_workdb_wants_write(pool->db))
		fds[1].events |= POLLOUT;
	n = 2 + cli_lanes_poll(&pool->lanes, fds + 2);
	(void) poll(fds, (nfds_t) n, (int) left);
}

/* ---- the supervisor ------------------------------------------------------------------------ */

static void
tell_supervisor(Pool *pool)
{
	const cli_workdb_options *o = &pool->options->database;
	const cli_tally *tally = cli_workdb_tally(pool->db);
	int64_t now = tq_clock_ms();
	char status[200];
	int slots = 0;
	int i;

	if (tq_supervisor_watchdog_ms() > 0 && now >= pool->watchdog_at_ms)
	{
		tq_supervisor_tell("WATCHDOG=1");
		pool->watchdog_at_ms = now + tq_supervisor_watchdog_ms();
	}
	if (!tally->looked || now < pool->tell_at_ms)
		return;
	if (!pool->ready)
		tq_supervisor_tell("READY=1");
	pool->ready = true;
	pool->tell_at_ms = now + STATUS_MS;
	for (i = 0; i < o->nqueues; i++)
		slots += o->queues[i].max_jobs;
	snprintf(status, sizeof(status),
			 "STATUS=%d of %d slots busy, %" PRId64 " done, %" PRId64 " failed", pool->jobs.n,
			 slots, tally->finished, tally->failed);
	tq_supervisor_tell(status);
}

/* ---- the loop ------------------------------------------------------------------------------- */

/* Whether every queue had nothing due when it was looked at last. */
static bool
is_drained(const Pool *pool)
{
	const cli_workdb_options *o = &pool->options->database;
	int i;

	for (i = 0; i < o->nqueues; i++)
		if (!o->queues[i].empty)
			return false;
	return true;
}

/* While there is no connection reports are kept for a while, then left to the leases. */
static bool
has_given_up(Pool *pool)
{
	int64_t now = tq_clock_ms();

	if (cli_lanes_nprocesses(&pool->lanes) > 0 ||
		tq_connection_is_up(cli_workdb_connection(pool->db)))
	{
		pool->give_up_at_ms = 0;
		return false;
	}
	if (pool->give_up_at_ms == 0)
		pool->give_up_at_ms = now + LAST_REPORT_MS;
	if (now < pool->give_up_at_ms && pool->stops < 2)
		return false;
	cli_log(NULL, "%d outcomes could not be reported", pool->jobs.n);
	return true;
}

/* Whether the options say that it is over; there is no job. */
static bool
is_over(const Pool *pool)
{
	const cli_pool_options *o = pool->options;

	return (o->once && cli_workdb_tally(pool->db)->claimed > 0) || (o->drain && is_drained(pool)) ||
		   (o->idle_exit_ms >= 0 && tq_clock_ms() - pool->idle_since_ms >= o->idle_exit_ms);
}

static bool
is_done(Pool *pool)
{
	bool idle = cli_jobs_count(&pool->jobs, NULL, JOB_CLAIMED, JOB_LOOKED_UP) == 0;

	if (!idle)
		pool->idle_since_ms = tq_clock_ms();
	if (idle && !is_stopping(pool) && is_over(pool))
	{
		pool->ending = true;
		cli_lanes_stop(&pool->lanes);
	}
	return is_stopping(pool) &&
		   ((idle && cli_lanes_nprocesses(&pool->lanes) == 0) || has_given_up(pool));
}

static void
turn(Pool *pool)
{
	take_signals(pool);
	cli_lanes_step(&pool->lanes);
	listen_to_database(pool);
	note_changes(pool);
	give_back_ahead(pool);
	cli_lanes_give_back(&pool->lanes);
	tell_database(pool);
	cli_lanes_start(&pool->lanes);
	tell_supervisor(pool);
}

static bool
start(Pool *pool)
{
	srandom((unsigned) time(NULL) ^ (unsigned) getpid());
	pool->kill_at_ms = -1;
	pool->idle_since_ms = tq_clock_ms();
	pool->db = cli_workdb_new(&pool->options->database, &pool->jobs);
	return pool->db != NULL &&
		   cli_lanes_init(&pool->lanes, pool->options->database.routes, pool->options->breaker,
						  &pool->jobs) &&
		   tq_signals_take(PATIENCE) && tq_signals_add(SIGCHLD) &&
		   tq_signals_add(SIGHUP) && tq_signals_add(SIGQUIT);
}

static int
status_of(const Pool *pool)
{
	const cli_pool_options *o = pool->options;

	if ((o->drain || o->once) && cli_workdb_tally(pool->db)->unfinished > 0)
		return EXIT_NOT_FINISHED;
	return EXIT_DONE;
}

int
cli_pool_run(const cli_pool_options *options)
{
	Pool pool = {.options = options};
	int status;

	if (!start(&pool))
		cli_fail(EXIT_REFUSED, NULL, "cannot start: out of memory or descriptors");
	do
		turn(&pool);
	while (!is_done(&pool) && (wait_for_events(&pool), true));
	status = status_of(&pool);
	cli_log(NULL, "stopped");
	cli_lanes_free(&pool.lanes);
	cli_workdb_free(pool.db);
	cli_jobs_clear(&pool.jobs);
	free(pool.fds);
	return status;
}

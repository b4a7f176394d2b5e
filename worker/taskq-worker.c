/*
 * taskq-worker.c
 *		The engine of core/deliver.h as a program of its own.
 *
 * It waits in one place, for the transfers, the database and signals, and logs
 * what changes its state on standard error, one line each.  A signal writes to
 * a pipe; the second one ends the program where it is: leases bring back what
 * it held.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/deliver.h"
#include "options.h"
#include "store_pq.h"

#define TURN_MS 1000

static volatile sig_atomic_t stopping = 0;
static int signal_pipe[2] = {-1, -1};
static tq_connection *connection;

/* ---- signals --------------------------------------------------------------------- */

static void
on_signal(int number)
{
	int saved = errno;

	if (stopping)
		_exit(128 + number);
	stopping = 1;
	(void) !write(signal_pipe[1], "", 1);
	errno = saved;
}

static bool
take_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	return pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) == 0 &&
		   sigaction(SIGTERM, &action, NULL) == 0 && sigaction(SIGINT, &action, NULL) == 0 &&
		   sigaction(SIGPIPE, &ignore, NULL) == 0;
}

/* ---- the engine's process ----------------------------------------------------------- */

static void
say(const char *line)
{
	fprintf(stderr, "taskq-worker: %s\n", line);
}

static int64_t
process_now_ms(void *self)
{
	(void) self;
	return tq_clock_ms();
}

static int64_t
process_wall_s(void *self)
{
	(void) self;
	return (int64_t) time(NULL);
}

static bool
process_stopping(void *self)
{
	(void) self;
	return stopping != 0;
}

static void
process_armed(void *self, bool armed)
{
	static bool disarmed = false;

	(void) self;
	if (!armed)
		say("nothing is sent: the database is not armed, see taskq.arm()");
	else if (disarmed)
		say("the database is armed");
	disarmed = !armed;
}

static void
process_log(void *self, const char *line)
{
	(void) self;
	say(line);
}

static bool
process_wait(void *self, int fd, int64_t timeout_ms)
{
	struct pollfd fds[3] = {{fd, POLLIN, 0}, {-1, 0, 0}, {signal_pipe[0], POLLIN, 0}};
	int64_t due_ms = tq_connection_timeout(connection);

	(void) self;
	fds[1].fd = tq_connection_fd(connection, &fds[1].events);
	if (due_ms >= 0)
		timeout_ms = tq_sooner(timeout_ms, due_ms);
	(void) poll(fds, 3, (int) timeout_ms);
	return tq_connection_step(connection);
}

static const tq_process process = {process_now_ms, process_wall_s, process_wait, process_stopping,
								   process_armed, process_log, NULL};

/* ---- the program ------------------------------------------------------------------------ */

static tq_deliver *
make_engine(const worker_options *options, const tq_store *store)
{
	tq_deliver_config config = {
		.max_inflight = options->max_inflight,
		.max_per_host = options->max_per_host,
		.poll_interval_ms = options->poll_interval_ms,
		.limits = {
			.max_response = options->max_response,
			.max_headers = TQ_RESPONSE_HEADERS,
			.connect_timeout_ms = options->connect_timeout_ms},
		.egress = &options->egress,
		.ca_file = options->ca_file,
		.http2 = options->http2};

	return tq_deliver_new(&config, store, &process);
}

int
main(int argc, char **argv)
{
	const worker_options *options = worker_options_read(argc, argv);
	tq_pq_config config;
	tq_pq *database;
	tq_store store;
	tq_deliver *engine;

	config = (tq_pq_config){
		.conninfo = options->database,
		.name = options->name,
		.queues = (const char *const *) options->queues,
		.nqueues = options->nqueues,
		.log = say};
	database = tq_pq_new(&config);
	if (database == NULL || !take_signals())
	{
		say("cannot start: out of memory or descriptors");
		return 1;
	}
	connection = tq_pq_connection(database);
	store = tq_pq_store(database);
	engine = make_engine(options, &store);
	if (engine == NULL)
	{
		say("cannot start: out of memory");
		return 1;
	}
	while (!stopping && !tq_connection_is_up(connection))
		(void) process_wait(NULL, -1, TURN_MS);
	while (tq_deliver_turn(engine, TURN_MS))
		;
	say("stopped");
	tq_deliver_free(engine);
	tq_pq_free(database);
	return 0;
}

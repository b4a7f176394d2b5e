/*
 * taskq-worker.c
 *		The engine of core/deliver.h as a program of its own.
 *
 * It waits in one place, for the transfers, the database and signals, and logs
 * what changes its state on standard error, one line each.  The second signal ends
 * the program where it is: leases bring back what it held.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/signals.h"
#include "core/clock.h"
#include "core/deliver.h"
#include "core/shortage.h"
#include "options.h"
#include "store_pq.h"

#define TURN_MS 1000

/* Beside those of requests: the database, signals, name servers, files. */
#define OWN_DESCRIPTORS 32

static tq_connection *connection;

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
	return tq_signals_stops() > 0;
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
	struct pollfd fds[3] = {{fd, POLLIN, 0}, {-1, 0, 0}, {tq_signals_fd(), POLLIN, 0}};
	int64_t due_ms = tq_connection_timeout(connection);

	(void) self;
	fds[1].fd = tq_connection_fd(connection, &fds[1].events);
	if (due_ms >= 0)
		timeout_ms = tq_sooner(timeout_ms, due_ms);
	(void) poll(fds, 3, (int) timeout_ms);
	tq_signals_clear();
	return tq_connection_step(connection);
}

static const tq_process process = {
	.now_ms = process_now_ms,
	.wall_s = process_wall_s,
	.wait = process_wait,
	.stopping = process_stopping,
	.armed = process_armed,
	.log = process_log};

/* ---- the program ------------------------------------------------------------------------ */

static tq_deliver *
make_engine(const worker_options *options, const tq_store *store)
{
	tq_deliver_config config = {
		.max_inflight = options->max_inflight,
		.max_descriptors = (int) tq_later(tq_descriptor_limit() - OWN_DESCRIPTORS, 1),
		.max_per_host = options->max_per_host,
		.poll_interval_ms = options->poll_interval_ms,
		.stop_timeout_ms = options->stop_timeout_ms,
		.limits = {
			.max_response = options->max_response,
			.max_headers = TQ_RESPONSE_HEADERS,
			.connect_timeout_ms = options->connect_timeout_ms,
			.resend = options->resend},
		.egress = &options->egress,
		.ca_file = options->ca_file,
		.http2 = options->http2};

	return tq_deliver_new(&config, store, &process);
}

/* With --once false if it failed; otherwise it goes on until there is a connection, or a stop. */
static bool
connect_first(const worker_options *options, const tq_pq *database)
{
	while (tq_signals_stops() == 0 && !tq_connection_is_up(connection))
	{
		(void) process_wait(NULL, -1, TURN_MS);
		if (options->once && tq_connection_has_failed(connection))
			return false;
	}
	return !options->once || tq_pq_missing(database) == 0;
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
		.hooks = &options->hooks,
		.once = options->once,
		.log = say};
	database = tq_pq_new(&config);
	if (database == NULL || !tq_signals_take(1))
	{
		say("cannot start: out of memory or descriptors");
		return 1;
	}
	connection = tq_pq_connection(database);
	store = tq_pq_store(database);
	engine = make_engine(options, &store);
	if (engine == NULL)
	{
		say("cannot start: out of memory or descriptors");
		return 1;
	}
	if (!connect_first(options, database))
		return 1;
	while (tq_deliver_turn(engine, TURN_MS))
		;
	say("stopped");
	tq_deliver_free(engine);
	tq_pq_free(database);
	return 0;
}

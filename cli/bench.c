/*
 * bench.c
 *		bench: measures what a database does, in queues of its own.
 *
 * Each client is a connection that goes through the statements of a scenario again and again; all
 * are driven by one poll().  A time is from the first statement of a cycle to the answer to the
 * last one.
 */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/receiver.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "client/signals.h"
#include "core/buffer.h"
#include "core/clock.h"

#define MAX_CLIENTS   64
#define MAX_BATCH     10000
#define MAX_PAYLOAD   (1 << 20)
#define MAX_SECONDS   86400
#define MAX_SAMPLES   2000000
#define MAX_ROWS      65536
#define WAITING_MS    20   /* until a session in wait_ready() waits */
#define OUTSTANDING   2000 /* push tasks that are submitted and not yet received */
#define ARRIVAL_MS    10000
#define PULL_QUEUE    "taskq_bench_pull"
#define PUSH_QUEUE    "taskq_bench_push"
#define TURN_MS       200
#define US_IN_SECOND  1000000
#define PERCENT(n, p) ((n) * (p) / 100)

static const cli_option bench_options[] = {
	{'c', "clients", "N", "connections, 1 to 64 (default: 4)", NULL, NULL, NULL},
	{0, "batch", "N", "tasks in a statement (default: 1)", NULL, NULL, NULL},
	{'T', "seconds", "N", "for each scenario (default: 5)", NULL, NULL, NULL},
	{0, "payload-bytes", "N", "size of a payload (default: 100)", NULL, NULL, NULL},
};

/* ---- what is measured ----------------------------------------------------------- */

typedef struct Measure
{
	const char *scenario;
	int64_t tasks;
	int64_t begin_us;
	int64_t end_us;
	int32_t *samples; /* microseconds */
	int nsamples;
	int64_t wal_begin;
	int64_t wal_bytes;
	int64_t told_us;    /* when progress was told last */
	int64_t told_tasks; /* and how many there were */
	int told_samples;
} Measure;

typedef struct Bench
{
	int clients;
	int batch;
	int64_t seconds;
	char *payload;
	char number[16]; /* batch, as a value */
	PGconn *connections[MAX_CLIENTS];
	Measure measure;
	tq_buffer rows; /* of the table, as JSON */
} Bench;

static const char *const queues[] = {PULL_QUEUE, PUSH_QUEUE};
static int nmade; /* of the queues, that are to be dropped */

/* What exit() does as well, so that an error or a signal leaves no queue behind. */
static void
drop_bench_queues(void)
{
	while (nmade > 0)
		PQclear(cli_try("select taskq.drop_queue($1, true)", 1, &queues[--nmade]));
}

static int64_t
wal_position(void)
{
	static const char sql[] = "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn";
	PGresult *result = cli_query(sql, 0, NULL);
	int64_t position = atoll(PQgetvalue(result, 0, 0));

	PQclear(result);
	return position;
}

static void
begin_measure(Bench *b, const char *scenario)
{
	Measure *m = &b->measure;

	m->scenario = scenario;
	m->tasks = m->told_tasks = 0;
	m->nsamples = m->told_samples = 0;
	m->wal_begin = wal_position();
	m->begin_us = m->told_us = tq_clock_us();
}

static void
add_sample(Measure *m, int64_t us)
{
	if (m->nsamples < MAX_SAMPLES)
		m->samples[m->nsamples++] = us < INT32_MAX ? (int32_t) us : INT32_MAX;
}

/* Each second, as pgbench does. */
static void
tell_progress(Measure *m)
{
	int64_t now = tq_clock_us();
	double passed = (double) (now - m->told_us) / US_IN_SECOND;
	double sum = 0;
	int n = m->nsamples - m->told_samples;
	int i;

	if (passed < 1)
		return;
	for (i = m->told_samples; i < m->nsamples; i++)
		sum += m->samples[i];
	cli_note("%s: %.1f s, %.1f tasks/s, lat %.3f ms", m->scenario,
			 (double) (now - m->begin_us) / US_IN_SECOND,
			 (double) (m->tasks - m->told_tasks) / passed, n > 0 ? sum / n / 1000 : 0);
	m->told_us = now;
	m->told_tasks = m->tasks;
	m->told_samples = m->nsamples;
}

static int
compare_samples(const void *a, const void *b)
{
	int32_t x = *(const int32_t *) a;
	int32_t y = *(const int32_t *) b;

	return (x > y) - (x < y);
}

static double
percentile(const Measure *m, int p)
{
	return m->nsamples > 0 ? m->samples[PERCENT((int64_t) m->nsamples - 1, p)] / 1000.0 : 0;
}

/* Adds a row to the table. */
static void
end_measure(Bench *b)
{
	Measure *m = &b->measure;
	char row[512];
	double seconds;

	m->end_us = tq_clock_us();
	m->wal_bytes = wal_position() - m->wal_begin;
	seconds = (double) (m->end_us - m->begin_us) / US_IN_SECOND;
	qsort(m->samples, (size_t) m->nsamples, sizeof(*m->samples), compare_samples);
	snprintf(row, sizeof(row),
			 "%s{\"scenario\":\"%s\",\"tasks\":%" PRId64
			 ",\"per_s\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"wal_bytes\":%.0f}",
			 b->rows.len > 1 ? "," : "", m->scenario, m->tasks, (double) m->tasks / seconds,
			 percentile(m, 50), percentile(m, 99),
			 m->tasks > 0 ? (double) m->wal_bytes / (double) m->tasks : 0);
	tq_buffer_append(&b->rows, row, strlen(row));
}

static bool
time_is_over(const Bench *b)
{
	if (tq_signals_stops() > 0)
		exit(128 + SIGINT);
	return tq_clock_us() - b->measure.begin_us >= b->seconds * US_IN_SECOND;
}

/* ---- cycles of statements ------------------------------------------------------- */

typedef enum Step
{
	SUBMIT,
	ACQUIRE,
	FINISH,
	END
} Step;

static const char *const step_sql[] = {
	[SUBMIT] = "select count(*) from taskq.submit_many('" PULL_QUEUE
			   "', array_fill($1::jsonb, array[$2::int]))",
	[ACQUIRE] = "select count(*), array_agg(id), array_agg(token) from taskq.acquire('" PULL_QUEUE
				"', $1::int)",
	[FINISH] = "select count(*) from taskq.finish_many($1, $2)"};

typedef struct Client
{
	PGconn *conn;
	int step; /* in the cycle; -1: it has ended */
	int64_t begin_us;
	PGresult *acquired; /* for the finish */
} Client;

static void
send_step(const Bench *b, Client *c, Step step)
{
	const char *submit[] = {b->payload, b->number};
	const char *acquire[] = {b->number};
	const char *finish[] = {NULL, NULL};
	const char *const *values = step == SUBMIT ? submit : step == ACQUIRE ? acquire
																		  : finish;

	if (step == FINISH)
	{
		finish[0] = PQgetvalue(c->acquired, 0, 1);
		finish[1] = PQgetvalue(c->acquired, 0, 2);
	}
	if (!PQsendQueryParams(c->conn, step_sql[step], step == ACQUIRE ? 1 : 2, NULL, values, NULL,
						   NULL, 0))
		cli_fail(EXIT_CONNECTION, NULL, "a connection was lost");
}

static void
begin_cycle(const Bench *b, Client *c, const Step *cycle)
{
	c->step = time_is_over(b) ? -1 : 0;
	c->begin_us = tq_clock_us();
	if (c->step == 0)
		send_step(b, c, cycle[0]);
}

/* Takes the answer to a step, and goes on with the next.  An empty queue ends the client. */
static void
take_step_answer(Bench *b, Client *c, const Step *cycle, PGresult *answer)
{
	Step step = cycle[c->step];
	int64_t n;

	if (PQresultStatus(answer) != PGRES_TUPLES_OK)
		cli_fail_result(answer);
	n = atoll(PQgetvalue(answer, 0, 0));
	if (step == ACQUIRE)
	{
		PQclear(c->acquired);
		c->acquired = answer;
	}
	else
		PQclear(answer);
	if (step == ACQUIRE && n == 0)
	{
		c->step = -1;
		return;
	}
	if (cycle[++c->step] != END)
	{
		send_step(b, c, cycle[c->step]);
		return;
	}
	b->measure.tasks += n;
	add_sample(&b->measure, tq_clock_us() - c->begin_us);
	begin_cycle(b, c, cycle);
}

static void
step_client(Bench *b, Client *c, const Step *cycle)
{
	if (!PQconsumeInput(c->conn))
		cli_fail(EXIT_CONNECTION, NULL, "a connection was lost");
	while (c->step >= 0 && !PQisBusy(c->conn))
	{
		PGresult *answer = PQgetResult(c->conn);
		PGresult *end = answer != NULL ? PQgetResult(c->conn) : NULL;

		PQclear(end);
		if (answer == NULL)
			return;
		take_step_answer(b, c, cycle, answer);
	}
}

/* Runs a cycle on all clients until the time is over or there is nothing to acquire. */
static void
run_cycle(Bench *b, const char *scenario, const Step *cycle)
{
	Client clients[MAX_CLIENTS];
	struct pollfd fds[MAX_CLIENTS];
	int i;

	begin_measure(b, scenario);
	for (i = 0; i < b->clients; i++)
	{
		clients[i] = (Client){.conn = b->connections[i]};
		begin_cycle(b, &clients[i], cycle);
	}
	for (;;)
	{
		int n = 0;

		for (i = 0; i < b->clients; i++)
			if (clients[i].step >= 0)
				fds[n++] = (struct pollfd){PQsocket(clients[i].conn), POLLIN, 0};
		if (n == 0)
			break;
		(void) poll(fds, (nfds_t) n, TURN_MS);
		for (i = 0; i < b->clients; i++)
			if (clients[i].step >= 0)
				step_client(b, &clients[i], cycle);
		tell_progress(&b->measure);
	}
	end_measure(b);
	for (i = 0; i < b->clients; i++)
		PQclear(clients[i].acquired);
}

/* ---- wake-up ----------------------------------------------------------------------------- */

static void
run_wakeup(Bench *b)
{
	PGconn *waiter = b->connections[0];
	const char *values[] = {b->payload, "1"};
	const char *one = "1";

	PQclear(cli_query("select taskq.purge_queue('" PULL_QUEUE "')", 0, NULL));
	begin_measure(b, "wakeup");
	while (!time_is_over(b))
	{
		int64_t begin;
		PGresult *result;

		if (!PQsendQuery(waiter, "call taskq.wait_ready('" PULL_QUEUE "', '10 s')"))
			cli_fail(EXIT_CONNECTION, NULL, "a connection was lost");
		(void) poll(NULL, 0, WAITING_MS);
		begin = tq_clock_us();
		PQclear(cli_query(step_sql[SUBMIT], 2, values));
		while ((result = PQgetResult(waiter)) != NULL)
		{
			if (PQresultStatus(result) == PGRES_FATAL_ERROR)
				cli_fail_result(result);
			PQclear(result);
		}
		add_sample(&b->measure, tq_clock_us() - begin);
		b->measure.tasks++;
		tell_progress(&b->measure);
		PQclear(cli_query("select count(taskq.finish(id, token)) from taskq.acquire('" PULL_QUEUE
						  "', $1::int)",
						  1, &one));
	}
	end_measure(b);
}

/* ---- push ----------------------------------------------------------------------- */

/* A payload of a push task is the time of its submission. */
static void
take_request(void *arg, http_request *r)
{
	Measure *m = arg;

	if (r->body.len > 0)
		add_sample(m, tq_clock_us() - atoll(r->body.data));
	m->tasks++;
	http_answer(r, 204, NULL, "", 0);
}

static void
receive(cli_receiver *r, int timeout_ms)
{
	struct pollfd fds[HTTP_MAX_POLL];
	int n = cli_receiver_poll(r, fds);

	(void) poll(fds, (nfds_t) n, timeout_ms);
	cli_receiver_step(r);
}

static void
submit_push(const Bench *b, int port)
{
	static const char sql[] =
		"select count(taskq.submit_http($1, to_jsonb($2::bigint), queue => '" PUSH_QUEUE
		"', retry => 'none')) from generate_series(1, $3::int)";
	char url[64];
	char now[32];
	const char *values[] = {url, now, b->number};

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/bench", port);
	snprintf(now, sizeof(now), "%" PRId64, tq_clock_us());
	PQclear(cli_query(sql, 3, values));
}

/* Why a push task did not arrive: the error of its attempt. */
static void
tell_why_nothing_came(void)
{
	static const char sql[] =
		"select coalesce((select class || ': ' || error from taskq.attempts order by ended_at desc "
		"limit 1), 'the executor has not sent; see taskq status')";
	PGresult *result = cli_query(sql, 0, NULL);

	cli_note("push is not measured: %s", PQgetvalue(result, 0, 0));
	cli_note("It needs the server on this machine, and taskq.http_allow = '127.0.0.1', "
			 "taskq.http_ports = ''.");
	PQclear(result);
}

static void
run_push(Bench *b)
{
	const cli_receiver_handlers handlers = {take_request, NULL, &b->measure};
	int port = 0;
	cli_receiver *r = cli_receiver_on_loopback(&handlers, &port);
	int64_t sent = 0;
	int64_t deadline;

	if (r == NULL)
	{
		cli_note("push is not measured: this program cannot listen on 127.0.0.1");
		return;
	}
	begin_measure(b, "push");
	while (!time_is_over(b) && (b->measure.tasks > 0 || sent == 0 ||
								tq_clock_us() - b->measure.begin_us < 2 * US_IN_SECOND))
	{
		if (sent - b->measure.tasks < (b->measure.tasks > 0 ? OUTSTANDING : 1))
		{
			submit_push(b, port);
			sent += b->batch;
		}
		receive(r, sent - b->measure.tasks < OUTSTANDING ? 0 : 1);
		tell_progress(&b->measure);
	}
	deadline = tq_clock_ms() + ARRIVAL_MS;
	while (b->measure.tasks > 0 && b->measure.tasks < sent && tq_clock_ms() < deadline)
		receive(r, 1);
	if (b->measure.tasks > 0)
		end_measure(b);
	else
		tell_why_nothing_came();
	cli_receiver_free(r);
}

/* ---- the command ---------------------------------------------------------------- */

/* A JSON string of that many bytes, with its quotes. */
static char *
make_payload(int bytes)
{
	char *payload = malloc((size_t) bytes + 1);

	if (payload == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	memset(payload, 'x', (size_t) bytes);
	payload[0] = payload[bytes - 1] = '"';
	payload[bytes] = '\0';
	return payload;
}

static void
make_bench_queues(void)
{
	(void) atexit(drop_bench_queues);
	PQclear(cli_query("select taskq.create_queue('" PULL_QUEUE "')", 0, NULL));
	nmade = 1;
	PQclear(cli_query("select taskq.create_queue('" PUSH_QUEUE "', mode => 'push')", 0, NULL));
	nmade = 2;
}

/* What makes the numbers what they are. */
static void
tell_settings(const Bench *b)
{
	static const char sql[] =
		"select format('synchronous_commit = %s, fsync = %s, preloaded: %s, PostgreSQL %s', "
		"current_setting('synchronous_commit'), current_setting('fsync'), (select case when ok "
		"then "
		"'yes' else 'no' end from taskq.status() where \"check\" = 'preloaded'), "
		"current_setting('server_version'))";
	PGresult *result = cli_query(sql, 0, NULL);

	cli_note("%s; %d clients, %d tasks in a statement", PQgetvalue(result, 0, 0), b->clients,
			 b->batch);
	PQclear(result);
}

static void
print_table(Bench *b)
{
	static const char sql[] =
		"select scenario, tasks, per_s, p50_ms, p99_ms, wal_bytes from "
		"jsonb_to_recordset($1::jsonb) "
		"as t (scenario text, tasks bigint, per_s numeric, p50_ms numeric, p99_ms numeric, "
		"wal_bytes bigint)";
	const char *rows;
	PGresult *result;

	tq_buffer_append(&b->rows, "]", 1);
	rows = b->rows.data;
	result = cli_query(sql, 1, &rows);
	cli_print(result, PQnfields(result));
	PQclear(result);
}

static int
run_bench(cli_call *call)
{
	static const Step submit[] = {SUBMIT, END};
	static const Step work[] = {ACQUIRE, FINISH, END};
	static const Step life[] = {SUBMIT, ACQUIRE, FINISH, END};
	Bench b = {.clients = cli_number(call, "clients", 1, MAX_CLIENTS, 4),
			   .batch = cli_number(call, "batch", 1, MAX_BATCH, 1),
			   .seconds = cli_number(call, "seconds", 1, MAX_SECONDS, 5),
			   .payload = make_payload(cli_number(call, "payload-bytes", 2, MAX_PAYLOAD, 100))};
	int i;

	if (settings.dry_run)
		cli_usage("taskq bench has no dry run; it cleans up after itself");
	b.measure.samples = malloc(MAX_SAMPLES * sizeof(*b.measure.samples));
	if (b.measure.samples == NULL || !tq_signals_take(1))
		cli_fail(EXIT_REFUSED, NULL, "out of memory or descriptors");
	snprintf(b.number, sizeof(b.number), "%d", b.batch);
	tq_buffer_init(&b.rows, MAX_ROWS);
	tq_buffer_append(&b.rows, "[", 1);
	make_bench_queues();
	for (i = 0; i < b.clients; i++)
		b.connections[i] = cli_another_connection();
	run_cycle(&b, "submit", submit);
	run_cycle(&b, "work", work);
	run_cycle(&b, "life", life);
	run_wakeup(&b);
	run_push(&b);
	print_table(&b);
	tell_settings(&b);
	for (i = 0; i < b.clients; i++)
		PQfinish(b.connections[i]);
	drop_bench_queues();
	tq_buffer_free(&b.rows);
	free(b.measure.samples);
	free(b.payload);
	return EXIT_DONE;
}

const cli_command cli_bench = {
	.name = "bench",
	.synopsis = "[OPTION]...",
	.about = "Measure this database",
	.details =
		"It works in queues of its own, taskq_bench_pull and taskq_bench_push, and drops\n"
		"them at the end.  submit puts tasks into a queue, work acquires and finishes them,\n"
		"life does all three for each; wakeup is the time from a submit to the return of\n"
		"wait_ready(), push that to the arrival of the request at a receiver in this\n"
		"program.  A time is that of a whole batch; WAL is bytes a task, with those of all\n"
		"else that the server does meanwhile.",
	.options = bench_options,
	.noptions = COUNT(bench_options),
	.run = run_bench};

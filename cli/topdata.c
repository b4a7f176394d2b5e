/*
 * topdata.c
 *		What top knows of the database: its looks, and rates between them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/topdata.h"
#include "core/clock.h"

static const char queues_sql[] =
	"select s.queue, s.pending, s.due, s.running, "
	"pg_catalog.date_trunc('milliseconds', s.oldest_due_age) as oldest_due, s.finished, s.dead, "
	"case when q.paused then 'paused' end as state, "
	"s.finished + s.dead + s.cancelled + s.expired as ended "
	"from taskq.queue_stats() s left join taskq.queues q on q.queue = s.queue order by s.queue";

/* In the order of cli_top_view.  The last two have an argument. */
static const char *const below_sql[] = {
	"select worker, queue, running, oldest_start, next_lease_end from taskq.workers "
	"order by running desc, worker, queue limit 200",
	"select endpoint, circuit, failures, rate, max_running, next_start, url from taskq.endpoints "
	"order by failures desc, endpoint limit 200",
	"select id, queue, kind, attempt, ended_at, error from taskq.find_tasks(states => '{dead}', "
	"\"limit\" => 100, scan => 10000)",
	"select id, state, kind, key, attempt, coalesce(ended_at, started_at, run_at) as since, error "
	"from taskq.find_tasks(queue => $1, \"limit\" => 100, scan => 10000)",
	"select * from taskq.tasks where id = $1::bigint"};

static void
begin_statement(cli_top_data *d, const char *sql, const char *value)
{
	PGconn *c = cli_connection();

	if (!PQsendQueryParams(c, sql, value != NULL, NULL, &value, NULL, NULL, 0) || PQflush(c) < 0)
		d->lost = true;
}

void
cli_top_look(cli_top_data *d, cli_top_view view, const char *argument)
{
	d->view = view;
	snprintf(d->argument, sizeof(d->argument), "%s", argument != NULL ? argument : "");
	d->begun_ms = tq_clock_ms();
	d->step = TOP_READS_QUEUES;
	begin_statement(d, queues_sql, NULL);
}

void
cli_top_pause(cli_top_data *d, const char *queue, bool pause)
{
	d->step = TOP_CALLS;
	begin_statement(d,
					pause ? "select taskq.pause_queue($1)" : "select taskq.resume_queue($1)",
					queue);
}

/* ---- rates ------------------------------------------------------------------------------- */

const cli_top_rates *
cli_top_rates_of(const cli_top_data *d, const char *queue)
{
	int i;

	for (i = 0; i < d->nrates; i++)
		if (strcmp(d->rates[i].queue, queue) == 0)
			return &d->rates[i];
	return NULL;
}

static cli_top_rates *
make_rates(cli_top_data *d, const char *queue)
{
	cli_top_rates *known = (cli_top_rates *) cli_top_rates_of(d, queue);

	if (known != NULL)
		return known;
	d->rates = realloc(d->rates, (size_t) (d->nrates + 1) * sizeof(*d->rates));
	if (d->rates == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	known = &d->rates[d->nrates++];
	memset(known, 0, sizeof(*known));
	known->queue = cli_copy(queue);
	return known;
}

static void
add_sample(cli_top_rates *r, double rate)
{
	if (r->n == TOP_SAMPLES)
		memmove(r->samples, r->samples + 1, (size_t) --r->n * sizeof(*r->samples));
	r->samples[r->n++] = rate;
}

/* The number of ended tasks begins anew when the server starts. */
static void
note_rates(cli_top_data *d)
{
	int64_t now = tq_clock_ms();
	int row;

	for (row = 0; row < PQntuples(d->queues); row++)
	{
		cli_top_rates *r = make_rates(d, PQgetvalue(d->queues, row, TOP_QUEUE));
		double ended = strtod(PQgetvalue(d->queues, row, TOP_ENDED), NULL);

		if (PQgetisnull(d->queues, row, TOP_ENDED))
			continue;
		if (r->at_ms != 0 && now > r->at_ms && ended >= r->ended)
			add_sample(r, (ended - r->ended) * 1000 / (double) (now - r->at_ms));
		r->ended = ended;
		r->at_ms = now;
	}
}

/* ---- results ----------------------------------------------------------------------------- */

static void
note_fault(cli_top_data *d, const PGresult *result)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	snprintf(d->fault, sizeof(d->fault), "%s", message != NULL ? message : "a statement failed");
}

/* Takes the result of the present statement, and begins the next one. */
static void
take_rows(cli_top_data *d, PGresult *result)
{
	PGresult **place = d->step == TOP_READS_QUEUES ? &d->queues : &d->below;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		note_fault(d, result);
		PQclear(result);
		d->step = TOP_IDLE;
		return;
	}
	if (d->step == TOP_CALLS)
	{
		PQclear(result);
		d->step = TOP_IDLE;
		return;
	}
	PQclear(*place);
	*place = result;
	if (d->step == TOP_READS_QUEUES)
	{
		note_rates(d);
		d->step = TOP_READS_BELOW;
		begin_statement(d, below_sql[d->view], d->view >= TOP_TASKS ? d->argument : NULL);
		return;
	}
	d->below_view = d->view;
	d->looked_ms = tq_clock_ms();
	d->fault[0] = '\0';
	d->step = TOP_IDLE;
}

void
cli_top_read(cli_top_data *d)
{
	PGconn *c = cli_connection();

	d->lost = d->lost || !PQconsumeInput(c);
	while (!d->lost && d->step != TOP_IDLE && !PQisBusy(c))
	{
		PGresult *result = PQgetResult(c);
		PGresult *end;

		/* A statement has one result, and then NULL. */
		while (result != NULL && (end = PQgetResult(c)) != NULL)
			PQclear(end);
		d->lost = PQstatus(c) != CONNECTION_OK;
		if (result != NULL)
			take_rows(d, result);
	}
}

/*
 * waiters.c
 *		Requests that wait: for a task to acquire, or for the end of one.
 *
 * A queue's line has one acquire under way at a time.  While it returns tasks the next in the line
 * is tried at once; when it returns none, nobody is tried until there is a notification, or a
 * second has gone by.  One who wants tasks of a group alone goes to the end of the line after that,
 * so that it does not stand in the way of the others.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/serve/task_routes.h"
#include "cli/serve/waiters.h"
#include "cli/serve/work_routes.h"
#include "cli/worklog.h"
#include "client/array.h"
#include "core/clock.h"

#define LOOK_MS       1000 /* at a queue, beside notifications */
#define ENDED_MS      250
#define ENDED_SOON_MS 50 /* while one waits that is younger than this: */
#define YOUNG_MS      2000

/* A line of requests, the first of which is the next. */
typedef struct waiting
{
	struct waiting *next;
	char *queue; /* NULL: those who wait for the end of a task */
	exchange *first;
	exchange *last;
	int n;
	int tries; /* how many may still be tried for this notification */
	bool due;
	bool is_listened_to;
	bool under_way;
	int64_t look_at_ms;
} waiting;

struct waiters
{
	gateway *gateway;
	int max;
	int n;
	waiting *queues;
	waiting tasks;
	bool complained; /* about the look for ends, since it last worked */
	gate_call call;  /* of all who wait for ends */
	tq_buffer ids;
};

/* ---- lines ----------------------------------------------------------------------- */

static void
join(waiters *w, waiting *line, exchange *x)
{
	x->waiting = line;
	x->waits_since_ms = tq_clock_ms();
	x->next = NULL;
	x->previous = line->last;
	if (line->last != NULL)
		line->last->next = x;
	else
		line->first = x;
	line->last = x;
	line->n++;
	w->n++;
}

static void
leave_line(waiters *w, exchange *x)
{
	waiting *line = x->waiting;

	if (line == NULL)
		return;
	if (x->previous != NULL)
		x->previous->next = x->next;
	else
		line->first = x->next;
	if (x->next != NULL)
		x->next->previous = x->previous;
	else
		line->last = x->previous;
	x->waiting = NULL;
	line->n--;
	w->n--;
}

static waiting *
line_of(waiters *w, const char *queue)
{
	waiting *line;

	for (line = w->queues; line != NULL; line = line->next)
		if (strcmp(line->queue, queue) == 0)
			return line;
	line = calloc(1, sizeof(*line));
	if (line == NULL || (line->queue = strdup(queue)) == NULL)
	{
		free(line);
		return NULL;
	}
	line->next = w->queues;
	w->queues = line;
	return line;
}

/* Whether it may wait; the request is answered if too many do. */
static bool
may_wait(waiters *w, exchange *x, const waiting *line)
{
	if (x->waiting != NULL)
		return true;
	if (line != NULL && w->n < w->max)
		return true;
	exchange_reject(x, REJECTED_WAITING, 503, "too many requests wait", NULL);
	return false;
}

static bool
has_time(const exchange *x)
{
	return x->until_ms > tq_clock_ms() && !x->gateway->stopping;
}

/* ---- for tasks to acquire -------------------------------------------------------- */

static void
answer_nothing(exchange *x)
{
	http_answer_static(x->http, 204, NULL, "", 0);
}

/* Tried in vain: one who is choosy lets others try. */
static void
go_behind(waiters *w, exchange *x, waiting *line)
{
	bool choosy = x->values[ACQUIRE_GROUP] != NULL;
	int64_t since = x->waits_since_ms;

	if (!choosy || line->tries <= 1)
		return;
	leave_line(w, x);
	join(w, line, x);
	x->waits_since_ms = since;
	line->tries--;
	line->due = true;
}

/* Tasks for a client that went away meanwhile are given back, rather than left to their leases. */
static const gate_statement give_back_statement = {
	"serve_give_back",
	"select 204, null, count(taskq.release((t ->> 'id')::bigint, (t ->> 'token')::bigint)) as "
	"\"X-Taskq-Released\" from json_array_elements($1::json -> 'tasks') as t",
	1, 0};

static void
give_back(exchange *x, const PGresult *result)
{
	const char *tasks = PQgetvalue(result, 0, 1);

	x->values[0] = http_copy(x->http, tasks, strlen(tasks));
	exchange_send(x, &give_back_statement, exchange_take);
}

static void
take_acquired(void *arg, gate_end end, const PGresult *result)
{
	exchange *x = arg;
	waiters *w = x->gateway->waiters;
	waiting *line = x->waiting;
	bool empty = end == GATE_DONE && strcmp(PQgetvalue(result, 0, 0), "204") == 0;

	x->under_way = false;
	if (line != NULL)
		line->under_way = false;
	if (empty && has_time(x))
	{
		if (line == NULL)
			line = line_of(w, x->parameters[0]);
		if (!may_wait(w, x, line))
			return;
		if (x->waiting != NULL)
		{
			go_behind(w, x, line);
			return;
		}
		join(w, line, x);
		return;
	}
	/* There may be more for the next one. */
	if (line != NULL && end == GATE_DONE)
		line->due = !empty;
	leave_line(w, x);
	if (x->is_gone && end == GATE_DONE && !empty)
		give_back(x, result);
	else
		exchange_take(x, end, result);
}

void
waiters_acquire(exchange *x)
{
	if (x->until_ms > 0)
		(void) http_watch(x->http);
	x->under_way = true;
	exchange_send(x, x->route->statement, take_acquired);
}

void
waiters_told(waiters *w, const char *queue)
{
	waiting *line;

	for (line = w->queues; line != NULL; line = line->next)
		if (queue == NULL || strcmp(line->queue, queue) == 0)
		{
			line->due = true;
			line->tries = line->n;
		}
}

static void
look_at_queue(waiting *line, int64_t now)
{
	exchange *x = line->first;

	if (x == NULL || line->under_way || (!line->due && now < line->look_at_ms))
		return;
	if (!line->due)
		line->tries = line->n;
	line->due = false;
	line->look_at_ms = now + LOOK_MS;
	line->under_way = true;
	waiters_acquire(x);
	/* Answered at once: there is too much to do. */
	if (x->http->status == 0)
		return;
	line->under_way = false;
	leave_line(x->gateway->waiters, x);
}

const char *
waiters_next_queue(waiters *w)
{
	waiting *line;

	for (line = w->queues; line != NULL; line = line->next)
		if (!line->is_listened_to && line->first != NULL)
		{
			line->is_listened_to = true;
			/* A notification may have been missed. */
			line->due = true;
			return line->queue;
		}
	return NULL;
}

void
waiters_listen_again(waiters *w)
{
	waiting *line;

	for (line = w->queues; line != NULL; line = line->next)
		line->is_listened_to = false;
}

/* ---- for ends of tasks ----------------------------------------------------------- */

static bool
is_live(const PGresult *result)
{
	const char *etag = PQntuples(result) > 0 ? PQgetvalue(result, 0, 2) : "";

	return strncmp(etag, "\"pending-", 9) == 0 || strncmp(etag, "\"running-", 9) == 0;
}

static void
take_task(void *arg, gate_end end, const PGresult *result)
{
	exchange *x = arg;
	waiters *w = x->gateway->waiters;

	x->under_way = false;
	if (end != GATE_DONE || !is_live(result) || !has_time(x))
	{
		leave_line(w, x);
		exchange_take(x, end, result);
		return;
	}
	if (x->waiting != NULL || !may_wait(w, x, &w->tasks))
		return;
	join(w, &w->tasks, x);
	(void) http_watch(x->http);
}

void
waiters_get_task(exchange *x, const char *id)
{
	x->task = id;
	x->under_way = true;
	exchange_send(x, x->route->statement, take_task);
}

/* Shows the task as it is now, as the role that waits; the last look. */
static void
show_task(exchange *x)
{
	leave_line(x->gateway->waiters, x);
	x->until_ms = 0;
	waiters_get_task(x, x->task);
}

static void
take_ended(void *arg, gate_end end, const PGresult *result)
{
	waiters *w = arg;
	exchange *x = w->tasks.first;
	int i;

	w->tasks.under_way = false;
	if (end == GATE_ERROR && !w->complained)
		cli_log(NULL, "role %s cannot look for the ends of tasks: SQLSTATE %s", w->gateway->reader,
				PQresultErrorField(result, PG_DIAG_SQLSTATE));
	w->complained = end == GATE_ERROR;
	while (x != NULL && end == GATE_DONE)
	{
		exchange *next = x->next;

		for (i = 0; i < PQntuples(result); i++)
			if (strtoll(PQgetvalue(result, i, 0), NULL, 10) == strtoll(x->task, NULL, 10))
			{
				show_task(x);
				break;
			}
		x = next;
	}
}

static void
look_for_ends(waiters *w, int64_t now)
{
	const exchange *x;
	bool young = false;

	if (w->tasks.first == NULL || w->tasks.under_way || now < w->tasks.look_at_ms)
		return;
	tq_buffer_free(&w->ids);
	tq_buffer_init(&w->ids, INT_MAX);
	for (x = w->tasks.first; x != NULL; x = x->next)
	{
		tq_array_add(&w->ids, x->task);
		young = young || now - x->waits_since_ms < YOUNG_MS;
	}
	w->call = (gate_call){.statement = &ended_statement,
						  .role = w->gateway->reader,
						  .application = "taskq serve",
						  .values = {tq_array_end(&w->ids)},
						  .take = take_ended,
						  .arg = w};
	w->tasks.look_at_ms = now + (young ? ENDED_SOON_MS : ENDED_MS);
	w->tasks.under_way = !w->ids.overflowed && gate_send(w->gateway->gate, &w->call);
}

/* ---- who waits no longer --------------------------------------------------------- */

static void
end_wait(exchange *x)
{
	if (x->under_way)
		return;
	if (x->waiting->queue == NULL && !x->gateway->stopping)
	{
		show_task(x);
		return;
	}
	if (x->waiting->queue != NULL)
		answer_nothing(x);
	else
		exchange_reject(x, REJECTED_STOPPING, 503, "the gateway stops", NULL);
	leave_line(x->gateway->waiters, x);
}

static void
end_waits(waiting *line, int64_t now)
{
	exchange *x = line->first;

	while (x != NULL)
	{
		exchange *next = x->next;

		if (now >= x->until_ms)
			end_wait(x);
		x = next;
	}
}

/* Its statement, if one is under way, still ends. */
void
waiters_gone(exchange *x)
{
	x->until_ms = 0;
	x->is_gone = true;
	if (x->waiting == NULL || x->under_way)
		return;
	leave_line(x->gateway->waiters, x);
	answer_nothing(x);
}

void
waiters_stop(waiters *w)
{
	waiting *line;

	for (line = w->queues; line != NULL; line = line->next)
		end_waits(line, INT64_MAX);
	end_waits(&w->tasks, INT64_MAX);
}

/* ---- the whole ------------------------------------------------------------------- */

int
waiters_count(const waiters *w)
{
	return w->n;
}

static void
sooner(int64_t at_ms, int64_t *soonest)
{
	if (*soonest < 0 || at_ms < *soonest)
		*soonest = at_ms;
}

/* Ends of waits are looked at with the queues, so at most a second late. */
int64_t
waiters_timeout(const waiters *w)
{
	int64_t soonest = -1;
	const waiting *line;

	for (line = w->queues; line != NULL; line = line->next)
		if (line->first != NULL)
			sooner(line->under_way ? tq_clock_ms() + LOOK_MS : line->due ? 0
																		 : line->look_at_ms,
				   &soonest);
	if (w->tasks.first != NULL)
		sooner(w->tasks.under_way ? tq_clock_ms() + ENDED_MS : w->tasks.look_at_ms, &soonest);
	return soonest < 0 ? -1 : tq_later(soonest - tq_clock_ms(), 0);
}

void
waiters_step(waiters *w)
{
	int64_t now = tq_clock_ms();
	waiting *line;

	for (line = w->queues; line != NULL; line = line->next)
	{
		end_waits(line, now);
		look_at_queue(line, now);
	}
	end_waits(&w->tasks, now);
	look_for_ends(w, now);
}

waiters *
waiters_new(gateway *g, int max)
{
	waiters *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->gateway = g;
	w->max = max;
	return w;
}

void
waiters_free(waiters *w)
{
	if (w == NULL)
		return;
	while (w->queues != NULL)
	{
		waiting *line = w->queues;

		w->queues = line->next;
		free(line->queue);
		free(line);
	}
	tq_buffer_free(&w->ids);
	free(w);
}

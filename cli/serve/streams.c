/*
 * streams.c
 *		Requests that are answered with events as they happen: server-sent events.
 *
 * The identifier of each event is its cursor.  A client that connects again sends the last one back
 * and misses nothing.  A comment every 15 seconds keeps proxies from ending the connection; with it
 * comes the cursor as it is then, so that a client that saw no event of its own for long does not
 * fall behind.
 *
 * The next events are read when the client has taken the last ones.  A stream lives as long as its
 * request or its statement, whichever ends last.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/serve/streams.h"
#include "core/clock.h"

#define MAX_EVENTS  500 /* of one look, as in the statement */
#define LOOK_MS     5000
#define SOON_MS     100 /* after the last look, although it was told of events */
#define COMMENT_MS  15000
#define MAX_CURSOR  65536
#define BEGIN_EVENT "retry: 1000\n"

enum Value
{
	VALUE_CURSOR,
	VALUE_QUEUE,
	VALUE_TASK,
	NVALUES
};

typedef struct stream
{
	struct stream *previous;
	struct stream *next;
	streams *all;
	exchange *x; /* NULL: the request is at its end */
	char *role;
	char *values[NVALUES];
	gate_call call;
	bool under_way;
	bool begun; /* the answer */
	bool due;
	int64_t looked_at_ms;
	int64_t comment_at_ms;
} stream;

struct streams
{
	gateway *gateway;
	int max;
	int n;
	stream ring; /* head of the ring */
};

/* clang-format off */
static const gate_statement events_statement = {"serve_events",
	"with e as materialized (select row_number() over () as n, v.* from "
	"taskq.events_after($1, 500, $2) v) "
	"select e.cursor, e.event, case when e.event is not null and ($3::bigint is null or "
	"e.task_id = $3::bigint) then (select row_to_json(x)::text from (select e.at, "
	"e.task_id::text as task_id, e.queue, e.event, e.data) x) end from e order by e.n",
	NVALUES, 0};
/* clang-format on */

static char *
copy_or_null(const char *text)
{
	return text != NULL ? strdup(text) : NULL;
}

static void
free_stream(stream *s)
{
	s->previous->next = s->next;
	s->next->previous = s->previous;
	s->all->n--;
	for (int i = 0; i < NVALUES; i++)
		free(s->values[i]);
	free(s->role);
	free(s);
}

/* ---- what is sent ---------------------------------------------------------------- */

static void
append_field(tq_buffer *text, const char *name, const char *value)
{
	exchange_append(text, name);
	exchange_append(text, ": ");
	exchange_append(text, value);
	exchange_append(text, "\n");
}

static void
send_text(stream *s, tq_buffer *text)
{
	if (text->overflowed)
		http_close(s->x->http);
	else if (text->len > 0)
		http_append(s->x->http, text->data, text->len);
	tq_buffer_free(text);
	s->comment_at_ms = tq_clock_ms() + COMMENT_MS;
}

static bool
keep_cursor(stream *s, const char *cursor)
{
	char *copy = strdup(cursor);

	if (copy == NULL)
		return false;
	free(s->values[VALUE_CURSOR]);
	s->values[VALUE_CURSOR] = copy;
	return true;
}

/* JSON has no line feeds but between its parts, and the server writes none. */
static void
send_events(stream *s, const PGresult *events)
{
	int n = PQntuples(events);
	tq_buffer text;

	tq_buffer_init(&text, INT_MAX);
	if (!s->begun)
	{
		exchange_append(&text, BEGIN_EVENT);
		if (PQgetisnull(events, 0, 1))
			append_field(&text, "id", PQgetvalue(events, 0, 0));
		exchange_append(&text, "\n");
	}
	for (int i = 0; i < n; i++)
	{
		if (PQgetisnull(events, i, 2))
			continue;
		append_field(&text, "id", PQgetvalue(events, i, 0));
		append_field(&text, "event", PQgetvalue(events, i, 1));
		append_field(&text, "data", PQgetvalue(events, i, 2));
		exchange_append(&text, "\n");
	}
	if (!s->begun)
		http_open(s->x->http, 200, HTTP_TYPE_EVENTS);
	s->begun = true;
	s->due = n == MAX_EVENTS;
	if (!keep_cursor(s, PQgetvalue(events, n - 1, 0)))
		text.overflowed = true;
	send_text(s, &text);
}

static void
send_comment(stream *s)
{
	tq_buffer text;

	tq_buffer_init(&text, INT_MAX);
	exchange_append(&text, ":\n");
	append_field(&text, "id", s->values[VALUE_CURSOR]);
	exchange_append(&text, "\n");
	send_text(s, &text);
}

/* ---- looks ----------------------------------------------------------------------- */

/* Before it has begun an error is the answer.  Later the client asks again, and gets it then. */
static void
take_events(void *arg, gate_end end, const PGresult *result)
{
	stream *s = arg;

	s->under_way = false;
	s->looked_at_ms = tq_clock_ms();
	if (s->x == NULL)
		free_stream(s);
	else if (end == GATE_DONE)
		send_events(s, result);
	else if (!s->begun)
		(void) exchange_has_failed(s->x, end, result);
	else if (end == GATE_ERROR)
		http_close(s->x->http);
}

static void
look_for_events(stream *s)
{
	s->call = (gate_call){.statement = &events_statement,
						  .role = s->role,
						  .application = "taskq serve",
						  .take = take_events,
						  .arg = s};
	for (int i = 0; i < NVALUES; i++)
		s->call.values[i] = s->values[i];
	s->due = false;
	s->looked_at_ms = tq_clock_ms();
	s->under_way = true;
	if (gate_send(s->all->gateway->gate, &s->call))
		return;
	s->under_way = false;
	if (!s->begun)
		exchange_unavailable(s->x, "too many requests wait for the database");
}

static int64_t
look_at_ms(const stream *s)
{
	return s->looked_at_ms + (s->due ? SOON_MS : LOOK_MS);
}

static void
step(stream *s, int64_t now)
{
	if (s->x == NULL || s->under_way || !s->begun || http_unsent(s->x->http) > 0)
		return;
	if (now >= look_at_ms(s))
		look_for_events(s);
	else if (now >= s->comment_at_ms)
		send_comment(s);
}

void
streams_step(streams *all)
{
	int64_t now = tq_clock_ms();

	for (stream *s = all->ring.next; s != &all->ring; s = s->next)
		step(s, now);
}

int64_t
streams_timeout(const streams *all)
{
	int64_t soonest = -1;

	for (const stream *s = all->ring.next; s != &all->ring; s = s->next)
		if (s->x != NULL && !s->under_way && s->begun && http_unsent(s->x->http) == 0)
		{
			int64_t at_ms = tq_sooner(look_at_ms(s), s->comment_at_ms);

			soonest = soonest < 0 ? at_ms : tq_sooner(soonest, at_ms);
		}
	return soonest < 0 ? -1 : tq_later(soonest - tq_clock_ms(), 0);
}

void
streams_told(streams *all)
{
	for (stream *s = all->ring.next; s != &all->ring; s = s->next)
		s->due = true;
}

/* ---- beginning and end ----------------------------------------------------------- */

static stream *
new_stream(exchange *x, const char *after, const char *queue, const char *task)
{
	streams *all = x->gateway->streams;
	stream *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->all = all;
	s->x = x;
	s->role = strdup(x->role);
	s->values[VALUE_CURSOR] = copy_or_null(after);
	s->values[VALUE_QUEUE] = copy_or_null(queue);
	s->values[VALUE_TASK] = copy_or_null(task);
	s->next = all->ring.next;
	s->previous = &all->ring;
	s->next->previous = s;
	all->ring.next = s;
	all->n++;
	if (s->role != NULL && (after == NULL || s->values[VALUE_CURSOR] != NULL) &&
		(queue == NULL || s->values[VALUE_QUEUE] != NULL) &&
		(task == NULL || s->values[VALUE_TASK] != NULL))
		return s;
	free_stream(s);
	return NULL;
}

/* The header is what a client sends that connects again. */
void
streams_begin(exchange *x, const char *after, const char *queue, const char *task)
{
	const char *last = http_header(x->http, "Last-Event-ID");
	stream *s;

	if (x->gateway->streams->n >= x->gateway->streams->max)
	{
		exchange_unavailable(x, "there are too many streams of events");
		return;
	}
	s = new_stream(x, last != NULL && *last != '\0' ? last : after, queue, task);
	if (s == NULL)
	{
		exchange_unavailable(x, "there is no memory");
		return;
	}
	x->stream = s;
	look_for_events(s);
}

void
streams_gone(exchange *x)
{
	http_close(x->http);
}

void
streams_forget(exchange *x)
{
	stream *s = x->stream;

	if (s == NULL)
		return;
	x->stream = NULL;
	s->x = NULL;
	if (!s->under_way)
		free_stream(s);
}

int
streams_count(const streams *all)
{
	return all->n;
}

/* One that has not begun is answered when its statement ends. */
void
streams_stop(streams *all)
{
	for (stream *s = all->ring.next; s != &all->ring; s = s->next)
		if (s->x != NULL && s->begun)
			http_close(s->x->http);
}

streams *
streams_new(gateway *g, int max)
{
	streams *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return NULL;
	all->gateway = g;
	all->max = max;
	all->ring.next = all->ring.previous = &all->ring;
	return all;
}

void
streams_free(streams *all)
{
	free(all);
}

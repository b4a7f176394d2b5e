/*
 * stats.c
 *		How the queues are and were: looked at for all, shown to each as far as it may see them.
 *
 * One statement looks at all queues, as a role that may see them: every 2 s while somebody asks,
 * else every 10 s.  What a role may see is asked as that role, and kept for 10 s.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/command.h"
#include "cli/serve/stats.h"
#include "cli/serve/waits.h"
#include "cli/worklog.h"
#include "core/clock.h"

#define LOOK_MS        2000
#define IDLE_LOOK_MS   10000
#define INTEREST_MS    10000 /* how long somebody counts as looking */
#define KNOWN_MS       10000 /* how long it is known what a role may see */
#define MAX_QUEUES     200
#define MAX_SEEN       2000 /* of a role */
#define MAX_ROLES      64
#define NAME_SIZE      64
#define POINTS         720
#define HOUR_STEP_S    5
#define DAY_STEP_S     120
#define DEFAULT_WINDOW 3600
#define SPARK          30
#define SPARK_STEPS    4 /* of the hour's steps to a point of it */

/* clang-format off */
static const gate_statement look_statement = {"serve_look",
	"select queue, pending, due, running, coalesce(finished, 0), coalesce(dead, 0) + "
	"coalesce(expired, 0), "
	"coalesce(cancelled, 0), coalesce(extract(epoch from oldest_due_age), 0), w.waits "
	"from taskq.queue_stats() left join (select m.labels ->> 'queue' as queue, "
	"string_agg(m.labels ->> 'le' || ' ' || m.value, ' ' order by (m.labels ->> 'le')::float8) "
	"as waits from taskq.metrics(10000) m where m.name = 'taskq_task_wait_seconds_bucket' "
	"group by 1) w using (queue) order by pending + running desc, queue limit 200",
	0, 0};
static const gate_statement seen_statement = {"serve_seen", "select queue from taskq.queues "
"order by queue", 0, 0};
/* clang-format on */

/*
 * At a time: how many there are, and how many have ended since the point before.  How long those
 * had been due whose attempts have ended since then; 0 or less: none has.
 */
typedef struct Point
{
	float pending;
	float due;
	float running;
	float finished;
	float dead;
	float wait_p50;
	float wait_p95;
} Point;

/* Counters at the last point of a ring. */
typedef struct Before
{
	double finished;
	double dead;
	waits waits;
} Before;

typedef struct Series
{
	char queue[NAME_SIZE]; /* empty: this place is free */
	double now[7];         /* pending, due, running, finished, dead, cancelled, age */
	double per_s[2];       /* finished, dead */
	int64_t seen_ms;
	waits waits;
	Before hour_before;
	Before day_before;
	Point hour[POINTS];
	Point day[POINTS];
} Series;

/* What a role may see. */
typedef struct Sight
{
	char role[NAME_SIZE];
	char *queues[MAX_SEEN]; /* nqueues */
	int nqueues;
	int64_t until_ms;
} Sight;

struct stats
{
	gateway *gateway;
	Series *series[MAX_QUEUES];
	int nseries;
	Sight *sights[MAX_ROLES];
	gate_call call;
	bool under_way;
	bool complained; /* since it last worked */
	int64_t look_at_ms;
	int64_t asked_ms;
	int64_t looked_ms;
	long long seq;
	time_t since;
	time_t at;
	int64_t hour_step; /* number of the last point, since the start */
	int64_t day_step;
	int64_t start_ms;
};

/* ---- looking --------------------------------------------------------------------- */

static Series *
series_of(stats *s, const char *queue)
{
	Series *made;
	int i;

	for (i = 0; i < s->nseries; i++)
		if (strcmp(s->series[i]->queue, queue) == 0)
			return s->series[i];
	if (s->nseries == MAX_QUEUES || strlen(queue) >= NAME_SIZE ||
		(made = calloc(1, sizeof(*made))) == NULL)
		return NULL;
	strcpy(made->queue, queue);
	return s->series[s->nseries++] = made;
}

static Before
counters_of(const Series *series)
{
	return (Before){series->now[3], series->now[4], series->waits};
}

/* Counters begin anew when the server starts. */
static void
begin_anew(const Series *series, Before *before)
{
	if (series->now[3] < before->finished)
		before->finished = series->now[3];
	if (series->now[4] < before->dead)
		before->dead = series->now[4];
}

static void
note_row(stats *s, const PGresult *result, int row)
{
	Series *series = series_of(s, PQgetvalue(result, row, 0));
	double seconds;
	double before[2];
	bool known;
	int i;

	if (series == NULL)
		return;
	known = series->seen_ms != 0;
	seconds = (double) (s->looked_ms - series->seen_ms) / 1000;
	before[0] = series->now[3];
	before[1] = series->now[4];
	for (i = 0; i < COUNT(series->now); i++)
		series->now[i] = strtod(PQgetvalue(result, row, i + 1), NULL);
	for (i = 0; i < 2; i++)
	{
		double more = series->now[3 + i] - before[i];

		series->per_s[i] = known && more > 0 && seconds > 0 ? more / seconds : 0;
	}
	series->waits = waits_read(PQgetvalue(result, row, COUNT(series->now) + 1));
	if (!known)
		series->hour_before = series->day_before = counters_of(series);
	begin_anew(series, &series->hour_before);
	begin_anew(series, &series->day_before);
	series->seen_ms = s->looked_ms;
}

static Point
point_of(const Series *series, Before *before)
{
	Point p = {.pending = (float) series->now[0],
			   .due = (float) series->now[1],
			   .running = (float) series->now[2],
			   .finished = (float) (series->now[3] - before->finished),
			   .dead = (float) (series->now[4] - before->dead),
			   .wait_p50 = (float) waits_quantile(&before->waits, &series->waits, 0.5),
			   .wait_p95 = (float) waits_quantile(&before->waits, &series->waits, 0.95)};

	*before = counters_of(series);
	return p;
}

/* The points since the last look are all alike: what has ended is spread over them. */
static void
fill(const Series *series, Point *ring, Before *before, int64_t last, int64_t step)
{
	Point p = point_of(series, before);
	int64_t first = tq_later(last + 1, step - POINTS + 1);
	int64_t i;

	p.finished /= (float) (step - last);
	p.dead /= (float) (step - last);
	for (i = first; i <= step; i++)
		ring[i % POINTS] = p;
}

static void
put_points(stats *s)
{
	int64_t hour = (s->looked_ms - s->start_ms) / (HOUR_STEP_S * 1000);
	int64_t day = (s->looked_ms - s->start_ms) / (DAY_STEP_S * 1000);
	int i;

	for (i = 0; i < s->nseries; i++)
	{
		if (hour > s->hour_step)
			fill(s->series[i], s->series[i]->hour, &s->series[i]->hour_before, s->hour_step, hour);
		if (day > s->day_step)
			fill(s->series[i], s->series[i]->day, &s->series[i]->day_before, s->day_step, day);
	}
	s->hour_step = hour;
	s->day_step = day;
}

/* Queues that were not seen this time are dropped ones. */
static void
drop_gone(stats *s)
{
	int i = 0;

	while (i < s->nseries)
	{
		if (s->series[i]->seen_ms == s->looked_ms)
		{
			i++;
			continue;
		}
		free(s->series[i]);
		s->series[i] = s->series[--s->nseries];
	}
}

static void
take_look(void *arg, gate_end end, const PGresult *result)
{
	stats *s = arg;
	int i;

	s->under_way = false;
	if (end == GATE_ERROR && !s->complained)
		cli_log(NULL, "role %s cannot look at the queues: SQLSTATE %s", s->gateway->reader,
				PQresultErrorField(result, PG_DIAG_SQLSTATE));
	s->complained = end == GATE_ERROR;
	if (end != GATE_DONE)
		return;
	s->looked_ms = tq_clock_ms();
	s->at = time(NULL);
	s->seq++;
	for (i = 0; i < PQntuples(result); i++)
		note_row(s, result, i);
	drop_gone(s);
	put_points(s);
}

static bool
is_asked_for(const stats *s)
{
	return tq_clock_ms() - s->asked_ms < INTEREST_MS;
}

void
stats_step(stats *s)
{
	int64_t now = tq_clock_ms();

	if (s->under_way || now < s->look_at_ms || !gate_is_up(s->gateway->gate))
		return;
	s->look_at_ms = now + (is_asked_for(s) ? LOOK_MS : IDLE_LOOK_MS);
	s->call = (gate_call){.statement = &look_statement,
						  .role = s->gateway->reader,
						  .application = "taskq serve",
						  .take = take_look,
						  .arg = s};
	s->under_way = gate_send(s->gateway->gate, &s->call);
}

int64_t
stats_timeout(const stats *s)
{
	return s->under_way ? IDLE_LOOK_MS : tq_later(s->look_at_ms - tq_clock_ms(), 100);
}

/* ---- showing --------------------------------------------------------------------- */

static bool
may_see(const Sight *sight, const char *queue)
{
	int i;

	for (i = 0; i < sight->nqueues; i++)
		if (strcmp(sight->queues[i], queue) == 0)
			return true;
	return false;
}

__attribute__((format(printf, 2, 3))) static void
add_format(tq_buffer *b, const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	exchange_append(b, text);
}

/* Finished tasks a second, the oldest point first. */
static void
add_spark(tq_buffer *b, const stats *s, const Series *series)
{
	int64_t step = s->hour_step - SPARK * SPARK_STEPS + 1;
	int i;
	int j;

	exchange_append(b, ",\"spark\":[");
	for (i = 0; i < SPARK; i++)
	{
		double sum = 0;

		for (j = 0; j < SPARK_STEPS; j++, step++)
			sum += step >= 0 ? (double) series->hour[step % POINTS].finished : 0;
		add_format(b, i > 0 ? ",%.3g" : "%.3g", sum / (SPARK_STEPS * HOUR_STEP_S));
	}
	exchange_append(b, "]");
}

static void
add_queue_numbers(tq_buffer *b, const stats *s, const Series *series)
{
	exchange_append(b, "{\"queue\":");
	exchange_quote(b, series->queue);
	add_format(b, ",\"pending\":%.0f,\"due\":%.0f,\"running\":%.0f", series->now[0], series->now[1],
			   series->now[2]);
	add_format(b, ",\"finished\":%.0f,\"dead\":%.0f,\"cancelled\":%.0f", series->now[3],
			   series->now[4], series->now[5]);
	add_format(b, ",\"oldest_due_age\":%.3f,\"finished_per_s\":%.3g,\"dead_per_s\":%.3g",
			   series->now[6], series->per_s[0], series->per_s[1]);
	add_spark(b, s, series);
	exchange_append(b, "}");
}

/* The queues whose numbers are summed. */
typedef struct Shown
{
	const Series *series[MAX_QUEUES];
	int n;
} Shown;

static Shown
choose_series(const stats *s, const Sight *sight, const char *queue)
{
	Shown shown = {.n = 0};
	int i;

	for (i = 0; i < s->nseries; i++)
		if (queue != NULL ? strcmp(s->series[i]->queue, queue) == 0
						  : may_see(sight, s->series[i]->queue))
			shown.series[shown.n++] = s->series[i];
	return shown;
}

static const Point *
point_at(const Series *series, int64_t step, bool day)
{
	return day ? &series->day[step % POINTS] : &series->hour[step % POINTS];
}

/* One number of the points, summed. */
static double
sum_at(const Shown *shown, int64_t step, bool day, int member)
{
	double sum = 0;
	int i;

	for (i = 0; i < shown->n; i++)
	{
		const Point *p = point_at(shown->series[i], step, day);
		const float values[] = {p->pending, p->due, p->running, p->finished, p->dead};

		sum += (double) values[member];
	}
	return sum;
}

/* How long tasks of one queue were due; those of several queues do not add up. */
static void
add_waits(tq_buffer *b, const Series *series, int64_t first, int64_t last, bool day)
{
	static const char *const names[] = {"wait_p50", "wait_p95"};
	int64_t step;
	int i;

	for (i = 0; i < COUNT(names); i++)
	{
		add_format(b, ",\"%s\":[", names[i]);
		for (step = first; step <= last; step++)
		{
			const Point *p = point_at(series, step, day);
			double wait = (double) (i == 0 ? p->wait_p50 : p->wait_p95);

			exchange_append(b, step > first ? "," : "");
			if (wait <= 0)
				exchange_append(b, "null");
			else
				add_format(b, "%.5g", wait);
		}
		exchange_append(b, "]");
	}
}

static void
add_series(tq_buffer *b, const stats *s, const Sight *sight, const char *queue, int window)
{
	static const char *const names[] = {"pending", "due", "running", "finished_per_s",
										"dead_per_s"};
	Shown shown = choose_series(s, sight, queue);
	bool day = window > POINTS * HOUR_STEP_S;
	int step_s = day ? DAY_STEP_S : HOUR_STEP_S;
	int64_t last = day ? s->day_step : s->hour_step;
	int64_t first = tq_later(last - window / step_s + 1, tq_later(0, last - POINTS + 1));
	int64_t step;
	int i;

	exchange_append(b, ",\"series\":{\"queue\":");
	if (queue != NULL)
		exchange_quote(b, queue);
	else
		exchange_append(b, "null");
	add_format(b, ",\"step\":%d,\"start\":%lld", step_s,
			   (long long) s->since + (long long) first * step_s);
	for (i = 0; i < COUNT(names); i++)
	{
		add_format(b, ",\"%s\":[", names[i]);
		for (step = first; step <= last; step++)
			add_format(b, step > first ? ",%.5g" : "%.5g",
					   sum_at(&shown, step, day, i) / (i >= 3 ? step_s : 1));
		exchange_append(b, "]");
	}
	if (queue != NULL && shown.n > 0)
		add_waits(b, shown.series[0], first, last, day);
	exchange_append(b, "}");
}

static void
show(exchange *x, const Sight *sight)
{
	const stats *s = x->gateway->stats;
	const char *window = x->values[0];
	const char *queue = x->values[1];
	int seconds = window != NULL ? atoi(window) : DEFAULT_WINDOW;
	bool first = true;
	tq_buffer b;
	int i;

	if (queue != NULL && !may_see(sight, queue))
	{
		exchange_error(x, 404, "TQ001", "there is no such queue, or it is not shown to this role",
					   NULL, NULL);
		return;
	}
	tq_buffer_init(&b, INT_MAX);
	add_format(&b, "{\"seq\":\"%lld\",\"at\":%lld,\"since\":%lld,\"queues\":[", s->seq,
			   (long long) s->at, (long long) s->since);
	for (i = 0; i < s->nseries; i++)
	{
		if (!may_see(sight, s->series[i]->queue))
			continue;
		exchange_append(&b, first ? "" : ",");
		add_queue_numbers(&b, s, s->series[i]);
		first = false;
	}
	exchange_append(&b, "]");
	add_series(&b, s, sight, queue, seconds);
	exchange_append(&b, "}");
	exchange_buffer(x, 200, &b);
}

/* ---- what a role may see --------------------------------------------------------- */

/* The place of a role: its own, or that which is known longest. */
static Sight *
sight_of(stats *s, const char *role)
{
	Sight **oldest = &s->sights[0];
	int i;

	for (i = 0; i < MAX_ROLES; i++)
	{
		if (s->sights[i] == NULL)
			s->sights[i] = calloc(1, sizeof(Sight));
		if (s->sights[i] == NULL)
			return NULL;
		if (strcmp(s->sights[i]->role, role) == 0)
			return s->sights[i];
		if (s->sights[i]->until_ms < (*oldest)->until_ms)
			oldest = &s->sights[i];
	}
	return *oldest;
}

static void
clear_sight(Sight *sight)
{
	while (sight->nqueues > 0)
		free(sight->queues[--sight->nqueues]);
	sight->until_ms = 0;
}

static void
take_seen(void *arg, gate_end end, const PGresult *result)
{
	exchange *x = arg;
	Sight *sight;
	int i;

	if (exchange_has_failed(x, end, result))
		return;
	sight = strlen(x->role) < NAME_SIZE ? sight_of(x->gateway->stats, x->role) : NULL;
	if (sight == NULL)
	{
		exchange_unavailable(x, "there is no memory");
		return;
	}
	clear_sight(sight);
	strcpy(sight->role, x->role);
	for (i = 0; i < PQntuples(result) && sight->nqueues < MAX_SEEN; i++)
	{
		char *name = strdup(PQgetvalue(result, i, 0));

		if (name != NULL)
			sight->queues[sight->nqueues++] = name;
	}
	sight->until_ms = tq_clock_ms() + KNOWN_MS;
	show(x, sight);
}

void
stats_tell(exchange *x)
{
	stats *s = x->gateway->stats;
	const char *after = x->values[2];
	int i;

	/* The first who asks is not kept waiting for the next look. */
	if (!is_asked_for(s))
		s->look_at_ms = tq_sooner(s->look_at_ms, s->looked_ms + LOOK_MS);
	s->asked_ms = tq_clock_ms();
	if (after != NULL && atoll(after) == s->seq)
	{
		http_answer_static(x->http, 304, NULL, "", 0);
		return;
	}
	if (s->seq == 0)
	{
		exchange_unavailable(x, "the queues have not been looked at yet");
		return;
	}
	for (i = 0; i < MAX_ROLES; i++)
		if (s->sights[i] != NULL && s->sights[i]->until_ms > tq_clock_ms() &&
			strcmp(s->sights[i]->role, x->role) == 0)
		{
			show(x, s->sights[i]);
			return;
		}
	exchange_send(x, &seen_statement, take_seen);
}

/* ---- the whole ------------------------------------------------------------------- */

stats *
stats_new(gateway *g)
{
	stats *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->gateway = g;
	s->start_ms = tq_clock_ms();
	s->since = time(NULL);
	s->asked_ms = s->start_ms - INTEREST_MS;
	s->hour_step = s->day_step = -1;
	return s;
}

void
stats_free(stats *s)
{
	int i;

	if (s == NULL)
		return;
	for (i = 0; i < s->nseries; i++)
		free(s->series[i]);
	for (i = 0; i < MAX_ROLES; i++)
	{
		if (s->sights[i] != NULL)
			clear_sight(s->sights[i]);
		free(s->sights[i]);
	}
	free(s);
}

/*
 * metrics.c
 *		metrics(): what taskq tells monitoring systems.
 *
 * A monitoring system asks several times a minute, most of all when there is a lot to do.  So
 * nothing here counts tasks: all numbers come from shared memory (hints/counts.c, hints/tallies.c),
 * from small tables, or from health.c, which keeps them for a minute.
 *
 * All queues are read first and their numbers kept in an array; then each metric is returned for
 * all of them, because the rows of a metric must follow each other.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/sql.h"
#include "hints/counts.h"
#include "hints/tallies.h"
#include "life/due.h"
#include "life/health.h"
#include "life/queue_stats.h"
#include "tables/backlog.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/state.h"

#define OTHER      "other" /* the label of the queues that are added up */
#define MAX_QUEUES 10000
#define US_PER_S   1000000.0

/* What is known of a queue, or of several that are added up. */
typedef struct QueueMetrics
{
	const char *name;
	Datum labels;               /* {"queue": name} */
	Datum buckets[NBOUNDS + 1]; /* {"le": bound, "queue": name}, of both histograms */
	QueueCounts counts;
	int64 due;
	int64 oldest_us; /* how long the first due task has waited; 0: none is due */
	bool paused;
	bool pull; /* one of the queues is a pull queue */
	bool push;
	bool endpoint;
	bool circuit_open;
	int64 failures;
	int64 workers;
	int64 leases;
	Tally tally;
} QueueMetrics;

typedef struct AllMetrics
{
	QueueMetrics *queues;
	int count;
	int folded; /* so many queues are added up in the last element */
	bool tallied;
} AllMetrics;

/* ---- rows --------------------------------------------------------------------------- */

#define GAUGE     "gauge"
#define COUNTER   "counter"
#define HISTOGRAM "histogram"

/* The rows of a name. */
typedef struct Out
{
	ReturnSetInfo *rsinfo;
	Datum name;
	Datum type;
	Datum help;
} Out;

static Out
begin(ReturnSetInfo *rsinfo, const char *name, const char *type, const char *help)
{
	return (Out){
		.rsinfo = rsinfo,
		.name = CStringGetTextDatum(name),
		.type = CStringGetTextDatum(type),
		.help = CStringGetTextDatum(help),
	};
}

static void
put_row(const Out *out, Datum labels, double value)
{
	Datum values[] = {out->name, out->type, out->help, labels, Float8GetDatum(value)};
	bool nulls[lengthof(values)] = {false};

	tuplestore_putvalues(out->rsinfo->setResult, out->rsinfo->setDesc, values, nulls);
}

#define MAX_LABELS 4

/* Pairs of name and value, in the order of jsonb: shorter names come first. */
static Datum
labels_of(const char *const *pairs, int count)
{
	JsonbPair members[MAX_LABELS];
	JsonbValue object = {.type = jbvObject};

	object.val.object.nPairs = count;
	object.val.object.pairs = members;
	for (int i = 0; i < count; i++)
	{
		JsonbValue *parts[] = {&members[i].key, &members[i].value};

		for (int p = 0; p < (int) lengthof(parts); p++)
		{
			parts[p]->type = jbvString;
			parts[p]->val.string.val = unconstify(char *, pairs[2 * i + p]);
			parts[p]->val.string.len = strlen(pairs[2 * i + p]);
		}
		members[i].order = i;
	}
	return JsonbPGetDatum(JsonbValueToJsonb(&object));
}

static void
put_labelled(const Out *out, double value, const char *const *pairs, int count)
{
	Datum labels = labels_of(pairs, count);

	put_row(out, labels, value);
	pfree(DatumGetPointer(labels));
}

/* The same with the names and values of the labels as arguments. */
#define PUT(out, value, ...)                                     \
	put_labelled(out, value, (const char *const[]){__VA_ARGS__}, \
				 lengthof(((const char *const[]){__VA_ARGS__})) / 2)

static void
put_one(ReturnSetInfo *rsinfo, const char *name, const char *help, double value)
{
	Out out = begin(rsinfo, name, GAUGE, help);

	put_labelled(&out, value, NULL, 0);
}

/* ---- one number of each queue ------------------------------------------------------- */

/* False: the queue has no such number. */
typedef bool (*QueueNumber)(const QueueMetrics *q, double *value);

static bool
pending_of(const QueueMetrics *q, double *value)
{
	*value = q->counts.live.pending;
	return true;
}

static bool
due_of(const QueueMetrics *q, double *value)
{
	*value = q->due;
	return true;
}

static bool
running_of(const QueueMetrics *q, double *value)
{
	*value = q->counts.live.running;
	return true;
}

static bool
oldest_of(const QueueMetrics *q, double *value)
{
	*value = q->oldest_us / US_PER_S;
	return true;
}

static bool
paused_of(const QueueMetrics *q, double *value)
{
	*value = q->paused;
	return true;
}

static bool
submitted_of(const QueueMetrics *q, double *value)
{
	*value = q->counts.submitted;
	return q->counts.known;
}

static bool
circuit_of(const QueueMetrics *q, double *value)
{
	*value = q->circuit_open;
	return q->endpoint;
}

static bool
failures_of(const QueueMetrics *q, double *value)
{
	*value = q->failures;
	return q->endpoint;
}

static bool
workers_of(const QueueMetrics *q, double *value)
{
	*value = q->workers;
	return true;
}

static bool
leases_of(const QueueMetrics *q, double *value)
{
	*value = q->leases;
	return true;
}

typedef struct QueueMetric
{
	const char *name;
	const char *type;
	const char *help;
	QueueNumber number;
} QueueMetric;

static const QueueMetric queue_metrics[] = {
	{"taskq_queue_pending_tasks", GAUGE, "Tasks that wait, also for a later time.", pending_of},
	{"taskq_queue_due_tasks", GAUGE, "Pending tasks whose time has come; stops at 10000.", due_of},
	{"taskq_queue_running_tasks", GAUGE, "Tasks that run.", running_of},
	{"taskq_queue_oldest_due_age_seconds", GAUGE, "How long the first due task has waited.",
	 oldest_of},
	{"taskq_queue_paused", GAUGE, "1 if the queue is paused.", paused_of},
	{"taskq_tasks_submitted_total", COUNTER, "Tasks that were submitted.", submitted_of},
	{"taskq_endpoint_circuit_open", GAUGE, "1 if the circuit of the endpoint is not closed.",
	 circuit_of},
	{"taskq_endpoint_failures", GAUGE, "Requests to the endpoint that have failed in a row.",
	 failures_of},
	{"taskq_workers", GAUGE, "Workers that have tasks of the queue.", workers_of},
	{"taskq_worker_leases", GAUGE, "Tasks of the queue that workers have.", leases_of},
};

static void
put_numbers(ReturnSetInfo *rsinfo, const AllMetrics *all, const QueueMetric *metric)
{
	Out out = begin(rsinfo, metric->name, metric->type, metric->help);

	for (int i = 0; i < all->count; i++)
	{
		double value;

		if (metric->number(&all->queues[i], &value))
			put_row(&out, all->queues[i].labels, value);
	}
}

/* ---- several numbers of each queue -------------------------------------------------- */

static void
put_ended(ReturnSetInfo *rsinfo, const AllMetrics *all)
{
	Out out = begin(rsinfo, "taskq_tasks_ended_total", COUNTER, "Tasks that have ended.");

	for (int i = 0; i < all->count; i++)
	{
		const QueueMetrics *q = &all->queues[i];

		for (int n = 0; n < NENDED && q->counts.known; n++)
			PUT(&out, q->counts.ended[n], "queue", q->name, "state",
				state_label(STATE_FINISHED + n));
	}
}

/* Whether attempts of such a queue fail with that class. */
static bool
may_fail_with(const QueueMetrics *q, int class)
{
	if (class == FAILED_LEASE_LOST)
		return true;
	return class < FAILED_CORE ? q->pull : q->push;
}

static void
put_failed(ReturnSetInfo *rsinfo, const AllMetrics *all)
{
	Out out = begin(rsinfo, "taskq_attempts_failed_total", COUNTER, "Attempts that have failed.");

	for (int i = 0; i < all->count; i++)
	{
		const QueueMetrics *q = &all->queues[i];

		for (int c = 0; c < NFAILED_CLASSES; c++)
		{
			if (q->tally.failed[c] > 0 || may_fail_with(q, c))
				PUT(&out, q->tally.failed[c], "class", failed_class_name(c), "queue", q->name);
		}
	}
}

static void
put_answers(ReturnSetInfo *rsinfo, const AllMetrics *all)
{
	Out out = begin(rsinfo, "taskq_push_responses_total", COUNTER, "HTTP answers to push tasks.");

	for (int i = 0; i < all->count; i++)
	{
		const QueueMetrics *q = &all->queues[i];

		for (int c = 0; c < NANSWER_CLASSES && q->push; c++)
			PUT(&out, q->tally.answers[c], "code", answer_class_name(c), "queue", q->name);
	}
}

/* ---- histograms --------------------------------------------------------------------- */

/* The bounds as labels, in the form that OpenMetrics prescribes; the last bucket has no bound. */
static const char *const bound_names[] = {
	"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0",
	"60.0", "300.0", "1800.0", "7200.0", "+Inf"};

StaticAssertDecl(lengthof(bound_names) == NBOUNDS + 1, "each bucket has a name");

/* The names of the rows of a histogram. */
typedef struct HistogramOut
{
	Out bucket;
	Out sum;
	Out count;
} HistogramOut;

/* Both histograms have the same labels, which take time to make. */
static void
label_buckets(QueueMetrics *q)
{
	for (int i = 0; i <= NBOUNDS; i++)
	{
		Datum labels = labels_of((const char *const[]){"le", bound_names[i], "queue", q->name}, 2);

		/* As it was made, it takes a kilobyte. */
		q->buckets[i] = datumCopy(labels, false, -1);
		pfree(DatumGetPointer(labels));
	}
}

static HistogramOut
begin_histogram(ReturnSetInfo *rsinfo, const char *name, const char *help)
{
	return (HistogramOut){
		.bucket = begin(rsinfo, psprintf("%s_bucket", name), HISTOGRAM, help),
		.sum = begin(rsinfo, psprintf("%s_sum", name), HISTOGRAM, help),
		.count = begin(rsinfo, psprintf("%s_count", name), HISTOGRAM, help),
	};
}

static void
put_histogram(const HistogramOut *out, const QueueMetrics *q, const Histogram *h)
{
	int64 count = 0;

	for (int i = 0; i <= NBOUNDS; i++)
	{
		count += h->buckets[i];
		put_row(&out->bucket, q->buckets[i], count);
	}
	put_row(&out->sum, q->labels, h->sum_us / US_PER_S);
	put_row(&out->count, q->labels, count);
}

static void
put_histograms(ReturnSetInfo *rsinfo, AllMetrics *all)
{
	HistogramOut wait = begin_histogram(rsinfo, "taskq_task_wait_seconds",
										"Time that a task was due before an attempt began.");
	HistogramOut run = begin_histogram(rsinfo, "taskq_task_run_seconds",
									   "Time from the start of an attempt to its end.");

	for (int i = 0; i < all->count; i++)
		label_buckets(&all->queues[i]);
	for (int i = 0; i < all->count; i++)
		put_histogram(&wait, &all->queues[i], &all->queues[i].tally.wait);
	for (int i = 0; i < all->count; i++)
		put_histogram(&run, &all->queues[i], &all->queues[i].tally.run);
}

/* ---- the database ------------------------------------------------------------------- */

static Statement select_info = {
	"select e.extversion::text, pg_catalog.current_setting('server_version'), "
	"pg_catalog.current_database()::text from pg_catalog.pg_extension e where e.extname = 'taskq'",
	0,
	{0},
	NULL,
};

static void
put_info(ReturnSetInfo *rsinfo)
{
	enum
	{
		EXTENSION,
		SERVER,
		DATABASE,
		NCOLUMNS,
	};
	Out out = begin(rsinfo, "taskq_info", GAUGE, "Versions, and the name of the database.");
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS];
	const char *texts[NCOLUMNS];

	(void) sql_as_owner(&select_info, NULL, NULL, values, nulls, NCOLUMNS);
	for (int i = 0; i < NCOLUMNS; i++)
		texts[i] = TextDatumGetCString(values[i]);
	PUT(&out, 1, "server", texts[SERVER], "version", TASKQ_VERSION, "database", texts[DATABASE],
		"extension", texts[EXTENSION]);
}

static Statement select_requests = {
	"select r.in_flight, r.waiting from taskq_private.held_requests() r",
	0,
	{0},
	NULL,
};

static void
put_requests(ReturnSetInfo *rsinfo)
{
	Datum values[2];
	bool nulls[2];

	(void) sql_as_owner(&select_requests, NULL, NULL, values, nulls, 2);
	if (nulls[0])
		return;
	put_one(rsinfo, "taskq_push_in_flight", "Requests that the executor has under way.",
			DatumGetInt64(values[0]));
	put_one(rsinfo, "taskq_push_waiting", "Claimed push tasks that wait for their host.",
			DatumGetInt64(values[1]));
}

static void
put_health(ReturnSetInfo *rsinfo)
{
	Out out = begin(rsinfo, "taskq_check_ok", GAUGE, "1 if the check of status() finds no fault.");
	Health health;

	health_read(&health);
	for (int i = 0; i < health.nchecks; i++)
		PUT(&out, health.checks[i].ok, "check", health.checks[i].name);
	put_one(rsinfo, "taskq_oldest_xmin_age_transactions",
			"Age of the oldest transaction that keeps dead rows from being removed; 0: none does.",
			health.xmin_age);
	put_one(rsinfo, "taskq_live_bytes", "Size of the tables of live tasks.", health.live_bytes);
	put_one(rsinfo, "taskq_history_bytes", "Size of the tables of ended tasks.",
			health.history_bytes);
}

/* ---- the queues --------------------------------------------------------------------- */

/* $1: all queues; otherwise those that are granted to some role. */
static Statement select_queues = {
	"select q.id, q.name::text, q.paused, q.mode = 'push', e.queue_id is not null, "
	"s.circuit <> 'closed', s.failures from taskq_private.all_queues q "
	"left join (taskq_private.endpoint e "
	"cross join lateral taskq_private.endpoint_state(e.queue_id) s) on e.queue_id = q.id "
	"where q.mode <> 'topic' and ($1 or exists (select from taskq_private.queue_grant g "
	"where g.queue_id = q.id and g.privilege = 'view')) order by q.id",
	1,
	{BOOLOID},
	NULL,
};

/* Where the queues are collected. */
typedef struct Collecting
{
	AllMetrics *all;
	bool view_all;
	int room;
	MemoryContext context;
} Collecting;

static void
see_queue(const Datum *values, const bool *nulls, void *arg)
{
	enum
	{
		ID,
		NAME,
		PAUSED,
		PUSH,
		ENDPOINT,
		CIRCUIT_OPEN,
		FAILURES,
	};
	Collecting *c = arg;
	const Queue *queue;
	QueueMetrics *q;

	if (!c->view_all)
	{
		queue = queue_by_id(DatumGetInt32(values[ID]));
		if (queue == NULL || !queue_may(queue, PRIVILEGE_VIEW))
			return;
	}
	if (c->all->count == c->room)
		c->all->queues = repalloc_huge(c->all->queues,
									   (Size) (c->room *= 2) * sizeof(QueueMetrics));
	q = &c->all->queues[c->all->count++];
	memset(q, 0, sizeof(*q));
	q->name = MemoryContextStrdup(c->context, TextDatumGetCString(values[NAME]));
	q->counts.queue_id = DatumGetInt32(values[ID]);
	q->paused = DatumGetBool(values[PAUSED]);
	q->push = DatumGetBool(values[PUSH]);
	q->pull = !q->push;
	q->endpoint = DatumGetBool(values[ENDPOINT]);
	q->circuit_open = !nulls[CIRCUIT_OPEN] && DatumGetBool(values[CIRCUIT_OPEN]);
	q->failures = nulls[FAILURES] ? 0 : DatumGetInt32(values[FAILURES]);
}

static void
collect_queues(AllMetrics *all, bool view_all)
{
	Collecting c = {.all = all, .view_all = view_all, .room = 64, .context = CurrentMemoryContext};
	Datum argument = BoolGetDatum(view_all);

	all->queues = palloc_array(QueueMetrics, c.room);
	sql_each_as_owner(&select_queues, &argument, NULL, see_queue, &c);
}

static void
read_counts(AllMetrics *all)
{
	QueueCounts *counts = palloc_array(QueueCounts, all->count + 1);

	for (int i = 0; i < all->count; i++)
		counts[i] = all->queues[i].counts;
	queue_counts_read(counts, all->count);
	for (int i = 0; i < all->count; i++)
		all->queues[i].counts = counts[i];
	pfree(counts);
}

/* A queue without pending tasks is not looked at: most have none. */
static void
read_due(AllMetrics *all)
{
	TimestampTz now = GetCurrentTimestamp();
	Backlog b;
	LaneLook look;

	backlog_open(&b);
	lane_look_open(&look, &b);
	for (int i = 0; i < all->count; i++)
	{
		QueueMetrics *q = &all->queues[i];
		TimestampTz oldest;

		CHECK_FOR_INTERRUPTS();
		if (q->counts.live.pending == 0)
			continue;
		q->due = task_gauge_due(&look, q->counts.queue_id, now, q->counts.live.pending, &oldest);
		q->oldest_us = q->due > 0 ? Max(now - oldest, 0) : 0;
	}
	lane_look_close(&look);
	backlog_close(&b);
}

static Statement select_workers = {
	"select w.queue_id, pg_catalog.count(*), pg_catalog.sum(w.leases)::bigint from "
	"(select l.queue_id, l.worker, pg_catalog.count(*) as leases from taskq_private.lease l "
	"group by 1, 2) w group by 1",
	0,
	{0},
	NULL,
};

static int
compare_with_queue(const void *id, const void *queue)
{
	int32 x = *(const int32 *) id;
	int32 y = ((const QueueMetrics *) queue)->counts.queue_id;

	return x < y ? -1 : x > y;
}

static void
see_workers(const Datum *values, const bool *nulls, void *arg)
{
	AllMetrics *all = arg;
	int32 id = DatumGetInt32(values[0]);
	QueueMetrics *q = bsearch(&id, all->queues, all->count, sizeof(QueueMetrics),
							  compare_with_queue);

	if (q == NULL)
		return;
	q->workers = DatumGetInt64(values[1]);
	q->leases = DatumGetInt64(values[2]);
}

/* The queues stand in the order of their ids. */
static void
read_workers(AllMetrics *all)
{
	int64 running = 0;

	for (int i = 0; i < all->count; i++)
		running += all->queues[i].counts.live.running;
	if (running > 0)
		sql_each_as_owner(&select_workers, NULL, NULL, see_workers, all);
}

/* ---- folding ------------------------------------------------------------------------ */

/* Of counters alone, so that the order changes rarely. */
static int64
tasks_of(const QueueMetrics *q)
{
	int64 tasks = q->counts.submitted + q->counts.live.pending + q->counts.live.running;

	for (int i = 0; i < NENDED; i++)
		tasks += q->counts.ended[i];
	return tasks;
}

/* Those with the most tasks first, and a queue whose name is the label of the others last. */
static int
compare_tasks(const void *a, const void *b)
{
	const QueueMetrics *x = a;
	const QueueMetrics *y = b;
	int order = (strcmp(x->name, OTHER) == 0) - (strcmp(y->name, OTHER) == 0);
	int64 difference = tasks_of(y) - tasks_of(x);

	if (order == 0 && difference != 0)
		order = difference > 0 ? 1 : -1;
	return order != 0 ? order : x->counts.queue_id - y->counts.queue_id;
}

static void
add_queue(QueueMetrics *to, const QueueMetrics *from)
{
	to->counts.known |= from->counts.known;
	to->counts.live.pending += from->counts.live.pending;
	to->counts.live.running += from->counts.live.running;
	to->counts.submitted += from->counts.submitted;
	for (int i = 0; i < NENDED; i++)
		to->counts.ended[i] += from->counts.ended[i];
	to->due += from->due;
	to->oldest_us = Max(to->oldest_us, from->oldest_us);
	to->paused |= from->paused;
	to->pull |= from->pull;
	to->push |= from->push;
	to->endpoint |= from->endpoint;
	to->circuit_open |= from->circuit_open;
	to->failures = Max(to->failures, from->failures);
	to->workers += from->workers;
	to->leases += from->leases;
	tally_add(&to->tally, &from->tally);
}

/* Adds up all queues but the max with the most tasks. */
static void
fold(AllMetrics *all, int max)
{
	QueueMetrics rest = {.name = OTHER};

	if (all->count <= max)
		return;
	qsort(all->queues, all->count, sizeof(QueueMetrics), compare_tasks);
	for (int i = max; i < all->count; i++)
		add_queue(&rest, &all->queues[i]);
	all->folded = all->count - max;
	all->queues[max] = rest;
	all->count = max + 1;
}

/* ---- SQL ---------------------------------------------------------------------------- */

static void
read_queues(AllMetrics *all, int max, bool view_all)
{
	collect_queues(all, view_all);
	read_counts(all);
	read_due(all);
	read_workers(all);
	all->tallied = tallies_are_possible();
	for (int i = 0; i < all->count && all->tallied; i++)
		tally_read(all->queues[i].counts.queue_id, &all->queues[i].tally);
	fold(all, max);
	for (int i = 0; i < all->count; i++)
		all->queues[i].labels = labels_of((const char *const[]){"queue", all->queues[i].name}, 1);
}

PG_FUNCTION_INFO_V1(taskq_metrics);
Datum
taskq_metrics(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int max = arg_int32(fcinfo, 0, "queues", 300, 0, MAX_QUEUES);
	bool view_all = queue_may_all(PRIVILEGE_VIEW);
	AllMetrics all = {0};

	InitMaterializedSRF(fcinfo, 0);
	read_queues(&all, max, view_all);
	put_info(rsinfo);
	for (int i = 0; i < (int) lengthof(queue_metrics); i++)
		put_numbers(rsinfo, &all, &queue_metrics[i]);
	if (all.tallied)
	{
		put_ended(rsinfo, &all);
		put_failed(rsinfo, &all);
		put_answers(rsinfo, &all);
		put_histograms(rsinfo, &all);
	}
	put_one(rsinfo, "taskq_metrics_queues_folded",
			"Queues that are added up under the label queue=\"other\".", all.folded);
	if (view_all)
	{
		put_requests(rsinfo);
		put_health(rsinfo);
	}
	return (Datum) 0;
}

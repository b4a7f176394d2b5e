/*
 * deliver.c
 *		The delivery loop: claim, send, report, extend, drain.
 *
 * An attempt is a claimed task from its claim until its result is stored.  All
 * attempts stand in one list, because each has a lease to keep; those with a
 * result stand in a second one, in the order in which the results came.
 *
 * While more tasks are due than there are free slots, a claim for each slot that
 * becomes free would be one transaction a task.  Such a claim therefore waits for
 * a quarter of the slots or for TQ_REPORT_DELAY_MS, whichever comes first.
 *
 * A task whose host has as many active requests as it may have waits (hosts.h),
 * and its lease is kept; other tasks are claimed as long as there are free slots.
 * The loop holds at most MAX_HELD tasks of together about MAX_HELD_BYTES, and one
 * batch of results: a full batch is reported before anything is claimed, and
 * nothing is claimed while reports fail.  If hosts that do not answer use up all
 * of that, half of the waiting tasks are put back, so that tasks for other hosts
 * can be claimed.  A task that has waited for MAX_WAIT_MS is put back as well,
 * because its signature gets old.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/deliver.h"
#include "core/hosts.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS   5000
#define MAX_HELD         4096
#define MAX_HELD_BYTES   (16 * 1024 * 1024)
#define MAX_WAIT_MS      60000 /* for its host's turn */
#define FULL_MS          250   /* how long nothing can be held before tasks are put back */
#define PUT_BACK_FOR_MS  5000  /* until such a task is due again */
#define PUT_BACK_EACH_MS 1000  /* the least time between looks for tasks that waited too long */
#define MIN_LEASE_MS     100   /* a shorter lease is extended as if it were so long */
#define NEVER            INT64_MAX

/* Each kind of call backs off by itself, so that a report that fails does not let leases lapse. */
typedef enum call
{
	CALL_CLAIM,
	CALL_REPORT,
	CALL_EXTEND
} call;

#define NCALLS (CALL_EXTEND + 1)

static const char *const call_names[NCALLS] = {"claim tasks", "report results", "extend leases"};

typedef struct backoff
{
	int64_t delay_ms;     /* 0: the last call worked */
	int64_t failed_at_ms; /* these two valid while delay_ms > 0 */
	int64_t retry_at_ms;
} backoff;

typedef struct attempt
{
	struct attempt *prev;
	struct attempt *next;
	struct attempt *next_result; /* valid while result.response is not NULL */
	tq_task *task;
	size_t bytes;          /* of the task, about */
	tq_hosts_entry entry;  /* until there is a result */
	tq_result result;      /* response is NULL while the task waits or is being sent */
	int64_t claimed_at_ms; /* host's clock */
	int64_t lease_from_ms; /* when the lease was last given */
	bool lost;             /* its response is awaited only to be dropped */
} attempt;

struct tq_deliver
{
	const tq_store *store;
	const tq_host *host;
	tq_http *http;
	int max_inflight;
	int64_t poll_interval_ms;

	/* attempts */
	attempt *first;
	attempt *last;
	int nattempts; /* all in the list */
	size_t held_bytes;
	tq_hosts *hosts;
	attempt *first_result;
	attempt *last_result;
	int nresults;
	int nbusy;                /* the first of them, which were busy */
	int64_t oldest_result_ms; /* of the others, if there are any */
	int64_t busy_until_ms;    /* while all are busy, nothing is reported before */
	int64_t extend_at_ms;     /* no lease is half used before */
	bool check_leases;

	/* claims */
	bool claim_now;         /* tasks may be due */
	bool more;              /* the last claim got all it asked for */
	bool limited;           /* tasks wait for others to end */
	int64_t claim_at_ms;    /* poll interval or next task due */
	int64_t refill_at_ms;   /* with more: a slot has been free for long enough; NEVER: none is */
	int64_t full_at_ms;     /* so much is held that nothing can be claimed, since then; NEVER */
	int64_t put_back_at_ms; /* nobody who waits has waited too long before; NEVER */

	/* the store */
	backoff backoffs[NCALLS];
	bool failing; /* said in the log, and not yet taken back */
	bool drained;
};

static int64_t
now(const tq_deliver *d)
{
	return d->host->now_ms(d->host->self);
}

void
tq_task_free(tq_task *t)
{
	int i;

	if (t == NULL)
		return;
	for (i = 0; i < t->nheaders; i++)
		free(t->headers[i]);
	free(t->headers);
	free(t->method);
	free(t->url);
	free(t->body);
	free(t);
}

/* ---- attempts ------------------------------------------------------------- */

static int64_t
lease_length(const attempt *a)
{
	return tq_later(a->task->lease_ms, MIN_LEASE_MS);
}

static void
plan_extension(tq_deliver *d, const attempt *a)
{
	d->extend_at_ms = tq_sooner(d->extend_at_ms, a->lease_from_ms + lease_length(a) / 2);
}

static void
append_attempt(tq_deliver *d, attempt *a)
{
	a->prev = d->last;
	if (d->last != NULL)
		d->last->next = a;
	else
		d->first = a;
	d->last = a;
	d->nattempts++;
	d->held_bytes += a->bytes;
	plan_extension(d, a);
}

/* Not for one that stands in the list of results. */
static void
free_attempt(tq_deliver *d, attempt *a)
{
	if (a->prev != NULL)
		a->prev->next = a->next;
	else
		d->first = a->next;
	if (a->next != NULL)
		a->next->prev = a->prev;
	else
		d->last = a->prev;
	d->nattempts--;
	d->held_bytes -= a->bytes;
	tq_response_free(a->result.response);
	tq_task_free(a->task);
	free(a);
}

static void
free_slot(tq_deliver *d, attempt *a)
{
	tq_hosts_leave(d->hosts, &a->entry);
	if (d->refill_at_ms == NEVER)
		d->refill_at_ms = now(d) + TQ_REPORT_DELAY_MS;
}

static void
append_result(tq_deliver *d, attempt *a)
{
	if (d->first_result == NULL)
		d->first_result = a;
	else
		d->last_result->next_result = a;
	if (d->nresults == d->nbusy)
		d->oldest_result_ms = now(d);
	d->last_result = a;
	a->next_result = NULL;
	d->nresults++;
}

static void
take_response(tq_deliver *d, attempt *a, tq_response *response)
{
	free_slot(d, a);
	a->result.response = response;
	if (a->lost)
	{
		free_attempt(d, a);
		return;
	}

	a->result.id = a->task->id;
	a->result.token = a->task->token;
	a->result.outcome = tq_outcome_of(response->cls, response->status, response->retry_after,
									  d->host->wall_s(d->host->self));
	append_result(d, a);
}

static void
take_responses(tq_deliver *d)
{
	tq_response *response;

	while ((response = tq_http_next_finished(d->http)) != NULL)
		take_response(d, response->tag, response);
}

/* ---- the store's health --------------------------------------------------- */

/* A kind of call that failed and is still owed. */
static bool
is_failing(const tq_deliver *d, call c)
{
	if (d->backoffs[c].delay_ms == 0)
		return false;
	if (c == CALL_REPORT)
		return d->nresults > 0;
	return c == CALL_CLAIM || d->nattempts > 0;
}

static void
note_success(tq_deliver *d, call c)
{
	d->backoffs[c].delay_ms = 0;
	if (!d->failing || is_failing(d, CALL_CLAIM) || is_failing(d, CALL_REPORT) ||
		is_failing(d, CALL_EXTEND))
		return;
	d->failing = false;
	d->host->log(d->host->self, "the task store works again");
}

static void
note_failure(tq_deliver *d, call c)
{
	backoff *b = &d->backoffs[c];
	char line[128];

	b->delay_ms = b->delay_ms == 0 ? BACKOFF_FIRST_MS : tq_sooner(b->delay_ms * 2, BACKOFF_MAX_MS);
	b->failed_at_ms = now(d);
	b->retry_at_ms = b->failed_at_ms + b->delay_ms;
	if (d->failing)
		return;
	d->failing = true;
	snprintf(line, sizeof(line), "could not %s, will try again until it works", call_names[c]);
	d->host->log(d->host->self, line);
}

/* Takes note of how a call went: rc is the store's answer. */
static bool
store_worked(tq_deliver *d, call c, int rc)
{
	if (rc >= 0)
		note_success(d, c);
	else
		note_failure(d, c);
	return rc >= 0;
}

/* The moment for a call that is due at due_ms. */
static int64_t
after_backoff(const tq_deliver *d, call c, int64_t due_ms)
{
	return is_failing(d, c) ? tq_later(due_ms, d->backoffs[c].retry_at_ms) : due_ms;
}

/* ---- claim ---------------------------------------------------------------- */

static size_t
bytes_of(const tq_task *task)
{
	size_t bytes = strlen(task->url) + task->body_len;
	int i;

	for (i = 0; i < task->nheaders; i++)
		bytes += strlen(task->headers[i]);
	return bytes;
}

/*
 * Takes a claimed task, which waits until its turn has come.  When there is no
 * memory for that, its lease is left to lapse.
 */
static void
hold_task(tq_deliver *d, tq_task *task, int64_t lease_from_ms)
{
	attempt *a = calloc(1, sizeof(*a));

	if (a == NULL || !tq_hosts_enter(d->hosts, &a->entry, task->url))
	{
		tq_task_free(task);
		free(a);
		return;
	}
	a->task = task;
	a->bytes = bytes_of(task);
	a->claimed_at_ms = a->lease_from_ms = lease_from_ms;
	append_attempt(d, a);
	d->put_back_at_ms = tq_sooner(d->put_back_at_ms, lease_from_ms + MAX_WAIT_MS);
}

/* When there is no memory for the request, the task's lease is left to lapse. */
static void
send_task(tq_deliver *d, attempt *a)
{
	const tq_task *task = a->task;
	tq_request request = {
		.method = task->method,
		.url = task->url,
		.headers = (const char *const *) task->headers,
		.nheaders = task->nheaders,
		.body = task->body,
		.body_len = task->body_len,
		.timeout_ms = task->timeout_ms};

	if (tq_http_submit(d->http, &request, a))
		return;
	free_slot(d, a);
	free_attempt(d, a);
}

/* Sends what may be sent now. */
static void
send_waiting(tq_deliver *d)
{
	tq_hosts_entry *entry;

	while ((entry = tq_hosts_next(d->hosts)) != NULL)
		send_task(d, (attempt *) ((char *) entry - offsetof(attempt, entry)));
}

/* Nothing more can be held. */
static bool
is_full(const tq_deliver *d)
{
	return d->held_bytes >= MAX_HELD_BYTES || d->nattempts >= MAX_HELD;
}

/* How many tasks may be claimed now. */
static int
free_slots(const tq_deliver *d)
{
	if (is_full(d))
		return 0;
	return (int) tq_sooner(d->max_inflight - tq_hosts_active(d->hosts), MAX_HELD - d->nattempts);
}

static int64_t
claim_due_at(const tq_deliver *d)
{
	int slots = free_slots(d);
	int64_t at = d->claim_at_ms;

	if (slots <= 0 || is_failing(d, CALL_REPORT) || is_failing(d, CALL_EXTEND))
		return NEVER;
	if (d->claim_now || (d->more && slots >= d->max_inflight / 4))
		at = 0;
	else if (d->more)
		at = tq_sooner(at, d->refill_at_ms);
	return after_backoff(d, CALL_CLAIM, at);
}

static void
claim(tq_deliver *d)
{
	int slots = free_slots(d);
	tq_task **tasks = calloc(slots, sizeof(*tasks));
	int64_t from = now(d);
	tq_due due = {.next_ms = -1};
	int n;
	int i;

	n = tasks != NULL ? d->store->claim(d->store->self, slots, tasks, &due) : -1;
	if (store_worked(d, CALL_CLAIM, n))
	{
		d->claim_now = false;
		d->more = n >= slots;
		d->limited = !d->more && due.limited;
		d->refill_at_ms = NEVER;
		d->claim_at_ms = from + d->poll_interval_ms;
		if (!d->more && due.next_ms >= 0)
			d->claim_at_ms = tq_sooner(d->claim_at_ms, now(d) + due.next_ms);
		for (i = 0; i < n; i++)
			hold_task(d, tasks[i], from);
	}
	free(tasks);
	send_waiting(d);
}

/* ---- report --------------------------------------------------------------- */

static int64_t
report_due_at(const tq_deliver *d)
{
	int64_t due;

	if (d->nresults == 0)
		return NEVER;
	if (d->nresults == d->nbusy)
		due = d->busy_until_ms;
	else if (d->nresults - d->nbusy >= TQ_REPORT_BATCH)
		due = 0;
	else
		due = d->oldest_result_ms + TQ_REPORT_DELAY_MS;
	return after_backoff(d, CALL_REPORT, due);
}

/* Forgets what was written, and keeps what was busy in its order. */
static void
forget_reported(tq_deliver *d, const tq_result *results)
{
	attempt *a = d->first_result;
	int i;

	d->first_result = d->last_result = NULL;
	d->nresults = d->nbusy = 0;
	for (i = 0; a != NULL; i++)
	{
		attempt *next = a->next_result;

		if (results[i].busy)
			append_result(d, a);
		else
			free_attempt(d, a);
		a = next;
	}
	d->nbusy = d->nresults;
	d->busy_until_ms = now(d) + TQ_REPORT_BUSY_MS;
}

/* Hands over all that waits, as one batch; all is kept when that fails. */
static void
report(tq_deliver *d)
{
	tq_result *results = calloc(d->nresults, sizeof(*results));
	const attempt *a;
	int n = 0;
	int rc = -1;

	if (results != NULL)
	{
		for (a = d->first_result; a != NULL; a = a->next_result)
			results[n++] = a->result;
		rc = d->store->report(d->store->self, results, n);
	}
	if (store_worked(d, CALL_REPORT, rc))
	{
		forget_reported(d, results);
		d->claim_now = d->claim_now || d->limited;
	}
	free(results);
}

/* ---- extend --------------------------------------------------------------- */

static int64_t
extension_due_at(const tq_deliver *d)
{
	if (d->nattempts == 0)
		return NEVER;
	return after_backoff(d, CALL_EXTEND, d->check_leases ? 0 : d->extend_at_ms);
}

/* All when asked to check, else those that have used more than a third. */
static bool
wants_extension(const tq_deliver *d, const attempt *a, int64_t at)
{
	return !a->lost && (d->check_leases || at - a->lease_from_ms > lease_length(a) / 3);
}

/*
 * The lease of an attempt is lost.  A result that is there is reported all the
 * same: the store knows its token.  False: there is no such attempt any more.
 */
static bool
give_up(tq_deliver *d, attempt *a)
{
	if (a->result.response != NULL)
		return true;
	if (!a->entry.active)
	{
		tq_hosts_leave(d->hosts, &a->entry);
		free_attempt(d, a);
		return false;
	}
	a->lost = true;
	tq_http_cancel(d->http, a);
	return true;
}

static void
apply_extension(tq_deliver *d, const tq_lease *leases, int n, int64_t from)
{
	attempt *a;
	attempt *next;
	int i = 0;

	d->extend_at_ms = NEVER;
	for (a = d->first; a != NULL; a = next)
	{
		next = a->next;
		if (i < n && wants_extension(d, a, from))
		{
			a->lease_from_ms = from;

			if (leases[i++].lost && !give_up(d, a))
				continue;
		}
		if (!a->lost)
			plan_extension(d, a);
	}
	d->check_leases = false;
}

static void
extend(tq_deliver *d)
{
	int64_t from = now(d);
	tq_lease *leases = calloc(d->nattempts, sizeof(*leases));
	const attempt *a;
	int n = 0;
	int rc = -1;

	for (a = d->first; leases != NULL && a != NULL; a = a->next)
	{
		if (!wants_extension(d, a, from))
			continue;
		leases[n].id = a->task->id;
		leases[n].token = a->task->token;
		n++;
	}
	if (n > 0)
		rc = d->store->extend(d->store->self, leases, n);
	if ((n == 0 && leases != NULL) || store_worked(d, CALL_EXTEND, rc))
		apply_extension(d, leases, n, from);
	free(leases);
	take_responses(d);
}

/* ---- put back ------------------------------------------------------------- */

static bool
is_waiting(const attempt *a)
{
	return a->result.response == NULL && !a->entry.active;
}

static void
note_if_full(tq_deliver *d)
{
	if (!is_full(d) || tq_hosts_active(d->hosts) >= d->max_inflight)
		d->full_at_ms = NEVER;
	else if (d->full_at_ms == NEVER)
		d->full_at_ms = now(d);
}

static int64_t
put_back_due_at(const tq_deliver *d)
{
	int64_t full = d->full_at_ms == NEVER ? NEVER : d->full_at_ms + FULL_MS;

	return tq_sooner(full, d->put_back_at_ms);
}

/* Those that have waited too long, and the last `more` of the others, are chosen. */
static int
choose_to_put_back(tq_deliver *d, attempt **chosen, int more)
{
	int64_t before = now(d) - MAX_WAIT_MS;
	attempt *a;
	int n = 0;

	d->put_back_at_ms = NEVER;
	for (a = d->last; a != NULL; a = a->prev)
	{
		if (!is_waiting(a))
			continue;
		if (a->claimed_at_ms <= before)
			chosen[n++] = a;
		else if (more > 0)
		{
			chosen[n++] = a;
			more--;
		}
		else
			d->put_back_at_ms = tq_sooner(d->put_back_at_ms, a->claimed_at_ms + MAX_WAIT_MS);
	}
	d->put_back_at_ms = tq_later(d->put_back_at_ms, now(d) + PUT_BACK_EACH_MS);
	return n;
}

/* Some who have waited too long are still there. */
static void
look_again(tq_deliver *d)
{
	d->put_back_at_ms = tq_sooner(d->put_back_at_ms, now(d) + PUT_BACK_EACH_MS);
}

static void
forget_put_back(tq_deliver *d, attempt **chosen, const tq_lease *leases, int n)
{
	int i;

	for (i = 0; i < n; i++)
	{
		if (leases[i].busy)
		{
			look_again(d);
			continue;
		}
		tq_hosts_leave(d->hosts, &chosen[i]->entry);
		free_attempt(d, chosen[i]);
	}
	d->claim_now = true;
}

/* When it does not work it is tried again in a while. */
static void
put_back(tq_deliver *d)
{
	bool full = d->full_at_ms != NEVER && now(d) >= d->full_at_ms + FULL_MS;
	int waiting = d->nattempts - d->nresults - tq_hosts_active(d->hosts);
	attempt **chosen = calloc(d->nattempts + 1, sizeof(*chosen));
	tq_lease *leases = calloc(d->nattempts + 1, sizeof(*leases));
	int n = 0;
	int i;

	if (chosen != NULL && leases != NULL)
	{
		n = choose_to_put_back(d, chosen, full ? waiting / 2 : 0);
		for (i = 0; i < n; i++)
		{
			leases[i].id = chosen[i]->task->id;
			leases[i].token = chosen[i]->task->token;
		}
	}
	if (n > 0 && d->store->release(d->store->self, leases, n, PUT_BACK_FOR_MS) >= 0)
		forget_put_back(d, chosen, leases, n);
	else if (n > 0)
		look_again(d);
	d->full_at_ms = NEVER;
	free(leases);
	free(chosen);
}

/* ---- drain ---------------------------------------------------------------- */

static void
release(tq_deliver *d)
{
	tq_lease *leases = calloc(d->nattempts, sizeof(*leases));
	const attempt *a;
	int n = 0;

	for (a = d->first; leases != NULL && a != NULL; a = a->next)
	{
		if (a->result.response != NULL || a->lost)
			continue;
		leases[n].id = a->task->id;
		leases[n].token = a->task->token;
		n++;
	}
	if (n > 0 && d->store->release(d->store->self, leases, n, 0) < 0)
		d->host->log(d->host->self,
					 "could not release tasks: they run again when their leases have ended");
	free(leases);
}

static void
forget_all(tq_deliver *d)
{
	if (d->http != NULL)
		tq_http_free(d->http);
	tq_hosts_free(d->hosts);
	d->http = NULL;
	d->hosts = NULL;
	d->first_result = NULL;
	d->nresults = d->nbusy = 0;
	while (d->first != NULL)
		free_attempt(d, d->first);
}

static void
drain(tq_deliver *d)
{
	tq_http_step(d->http);
	take_responses(d);
	if (d->nresults > 0)
		report(d);
	if (d->nattempts > 0)
		release(d);
	forget_all(d);
	d->drained = true;
}

/* ---- the loop ------------------------------------------------------------- */

/* What the store is owed comes before what is wanted of it. */
static void
serve_store(tq_deliver *d)
{
	if (now(d) >= report_due_at(d))
		report(d);
	if (now(d) >= extension_due_at(d))
		extend(d);
	note_if_full(d);
	if (now(d) >= put_back_due_at(d))
		put_back(d);
	if (now(d) >= claim_due_at(d))
		claim(d);
}

static int64_t
time_to_wait(tq_deliver *d, int64_t max_wait_ms)
{
	int64_t owed = tq_sooner(report_due_at(d), extension_due_at(d));
	int64_t at = tq_sooner(owed, tq_sooner(put_back_due_at(d), claim_due_at(d)));
	int64_t timeout = tq_later(max_wait_ms, 0);
	int64_t http = tq_http_timeout(d->http);

	if (http >= 0)
		timeout = tq_sooner(timeout, http);
	if (at != NEVER)
		timeout = tq_sooner(timeout, tq_later(at - now(d), 0));
	return timeout;
}

bool
tq_deliver_turn(tq_deliver *d, int64_t max_wait_ms)
{
	if (d->drained)
		return false;
	if (!d->host->stopping(d->host->self))
	{
		serve_store(d);
		if (d->host->wait(d->host->self, tq_http_fd(d->http), time_to_wait(d, max_wait_ms)) &
			TQ_WAKE_TASKS)
			tq_deliver_wake(d);
		tq_http_step(d->http);
		take_responses(d);
		send_waiting(d);
	}
	if (!d->host->stopping(d->host->self))
	{
		serve_store(d);
		return true;
	}
	drain(d);
	return false;
}

void
tq_deliver_wake(tq_deliver *d)
{
	backoff *b = &d->backoffs[CALL_CLAIM];

	d->claim_now = true;
	b->retry_at_ms = tq_sooner(b->retry_at_ms, b->failed_at_ms + BACKOFF_FIRST_MS);
}

void
tq_deliver_check_leases(tq_deliver *d)
{
	d->check_leases = true;
}

int
tq_deliver_inflight(const tq_deliver *d)
{
	return d->nattempts;
}

bool
tq_deliver_configure(tq_deliver *d, const tq_deliver_config *config)
{
	if (!tq_http_set_egress(d->http, config->egress) ||
		!tq_http_set_ca_file(d->http, config->ca_file))
		return false;
	tq_http_set_limits(d->http, &config->limits);
	tq_http_set_http2(d->http, config->http2);
	d->max_inflight = config->max_inflight;
	tq_hosts_set_limits(d->hosts, config->max_inflight, config->max_per_host);
	d->poll_interval_ms = tq_later(config->poll_interval_ms, 1);
	d->claim_at_ms = tq_sooner(d->claim_at_ms, now(d) + d->poll_interval_ms);
	return true;
}

tq_deliver *
tq_deliver_new(const tq_deliver_config *config, const tq_store *store, const tq_host *host)
{
	tq_deliver *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->store = store;
	d->host = host;
	d->extend_at_ms = NEVER;
	d->refill_at_ms = NEVER;
	d->full_at_ms = NEVER;
	d->put_back_at_ms = NEVER;
	d->claim_now = true;
	d->http = tq_http_new(&config->limits);
	d->hosts = tq_hosts_new();
	if (d->http == NULL || d->hosts == NULL || !tq_deliver_configure(d, config))
	{
		tq_deliver_free(d);
		return NULL;
	}
	return d;
}

void
tq_deliver_free(tq_deliver *d)
{
	forget_all(d);
	free(d);
}

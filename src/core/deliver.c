/*
 * deliver.c
 *		The delivery loop: claim, send, report, extend, drain.
 *
 * While more tasks are due than there are free slots, a claim for each slot that
 * becomes free would be one transaction a task.  Such a claim therefore waits for
 * a quarter of the slots or for TQ_REPORT_DELAY_MS, whichever comes first.  It takes
 * more tasks than there are slots, by as many as are answered in that time: so quick
 * receivers wait for fewer commits, and no task waits much longer than it would have.
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
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/attempts.h"
#include "core/clock.h"
#include "core/deliver.h"
#include "core/hosts.h"
#include "core/report.h"
#include "core/shortage.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS   5000
#define MAX_HELD         4096
#define MAX_HELD_BYTES   (16 * 1024 * 1024)
#define MAX_WAIT_MS      60000 /* for its host's turn */
#define FULL_MS          250   /* how long nothing can be held before tasks are put back */
#define PUT_BACK_FOR_MS  5000  /* until such a task is due again */
#define PUT_BACK_EACH_MS 1000  /* the least time between looks for tasks that waited too long */
#define MIN_LEASE_MS     100   /* a shorter lease is extended as if it were so long */
#define SHORT_MS         1000  /* after a shortage, until more requests may be active again */
#define SHORT_OVER_MS    5000  /* after the last one, until it is over */
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

struct tq_deliver
{
	const tq_store *store;
	const tq_process *process;
	tq_http *http;
	int max_inflight; /* configured, as far as there are descriptors */
	int max_per_host;
	int64_t poll_interval_ms;
	int64_t stop_timeout_ms;
	int64_t give_up_at_ms; /* a stop waits for no answers after that; NEVER: no stop */

	/* attempts */
	tq_attempts attempts;
	tq_hosts *hosts;
	int64_t oldest_result_ms; /* of those that were not busy, if there are any */
	int64_t busy_until_ms;    /* while all are busy, nothing is reported before */
	int64_t extend_at_ms;     /* no lease is half used before */
	bool check_leases;

	/* shortages of the machine */
	tq_deliver_state state;
	int max_active;        /* max_inflight, or less for a while */
	int64_t room_at_ms;    /* when it grows; NEVER: it is max_inflight */
	int64_t short_over_ms; /* valid while state.shortage is not 0 */

	/* claims */
	bool claim_now; /* tasks may be due */
	bool more;      /* the last claim got all it asked for */
	int answered;   /* requests since the last claim, which was over at: */
	int64_t claimed_at_ms;
	size_t bytes_each;      /* of the tasks of the last claim, about */
	int ahead;              /* as many tasks may wait for slots, see expected_answers() */
	bool limited;           /* due tasks wait for others to end */
	tq_arming arming;       /* as the process was told */
	int64_t claim_at_ms;    /* poll interval or next task due */
	int64_t refill_at_ms;   /* with more: a slot has been free for long enough; NEVER: none is */
	int64_t full_at_ms;     /* since when so much is held that nothing can be claimed; NEVER */
	int64_t put_back_at_ms; /* no waiting task has waited too long before; NEVER */

	/* the store */
	backoff backoffs[NCALLS];
	bool failing; /* the log says so, and not yet that it works again */
	bool drained;
};

static int64_t
now(const tq_deliver *d)
{
	return d->process->now_ms(d->process->self);
}

static bool
is_stopping(const tq_deliver *d)
{
	return d->give_up_at_ms != NEVER;
}

/* ---- attempts ------------------------------------------------------------- */

static int64_t
lease_length(const tq_attempt *a)
{
	return tq_later(a->task->lease_ms, MIN_LEASE_MS);
}

static void
note_phase(const tq_deliver *d, const tq_attempt *a, tq_phase phase)
{
	if (d->process->phase != NULL)
		d->process->phase(d->process->self, a->task->id, a->task->token, phase);
}

static void
plan_extension(tq_deliver *d, const tq_attempt *a)
{
	d->extend_at_ms = tq_sooner(d->extend_at_ms, a->lease_from_ms + lease_length(a) / 2);
}

static void
free_slot(tq_deliver *d, tq_attempt *a)
{
	tq_hosts_leave(d->hosts, &a->entry);
	if (d->refill_at_ms == NEVER)
		d->refill_at_ms = now(d) + TQ_REPORT_DELAY_MS;
}

/* ---- shortages ------------------------------------------------------------ */

static void
limit_active(tq_deliver *d, int max)
{
	d->max_active = max;
	tq_hosts_set_limits(d->hosts, max, d->max_per_host);
	tq_http_set_max_connections(d->http, (int) tq_later(max, 1));
}

static void
note_shortage(tq_deliver *d, int shortage)
{
	bool is_new = d->state.shortage == 0;
	char line[160];

	d->short_over_ms = now(d) + SHORT_OVER_MS;
	d->state.put_off++;
	d->state.shortage = shortage;
	if (!is_new)
		return;
	snprintf(line, sizeof(line), "requests have to wait, and use up no attempt: %s",
			 tq_shortage_text(shortage));
	d->process->log(d->process->self, line);
}

/*
 * The request of an attempt was not begun, and has left its host, because the machine lacks
 * something.  It waits for its turn again.  Those that are active now have what they need.
 */
static void
put_off(tq_deliver *d, tq_attempt *a, int shortage)
{
	note_shortage(d, shortage);
	limit_active(d, tq_hosts_active(d->hosts));
	d->room_at_ms = now(d) + SHORT_MS;
	if (!tq_hosts_enter(d->hosts, &a->entry, a->task->url))
	{
		tq_attempts_free(&d->attempts, a);
		return;
	}
	note_phase(d, a, TQ_PHASE_WAITING);
	d->put_back_at_ms = tq_sooner(d->put_back_at_ms, a->claimed_at_ms + MAX_WAIT_MS);
}

static int64_t
room_due_at(const tq_deliver *d)
{
	return d->state.shortage != 0 ? tq_sooner(d->room_at_ms, d->short_over_ms) : d->room_at_ms;
}

/* Tries whether there is room for more again; a shortage is over when none has come for a while. */
static void
make_room(tq_deliver *d)
{
	if (now(d) >= d->room_at_ms)
	{
		tq_http_close_idle(d->http);
		limit_active(d, (int) tq_sooner(d->max_inflight, 2 * d->max_active + 1));
		d->room_at_ms = d->max_active < d->max_inflight ? now(d) + SHORT_MS : NEVER;
	}
	if (d->state.shortage == 0 || now(d) < d->short_over_ms)
		return;
	d->state.shortage = 0;
	d->process->log(d->process->self, "requests do not have to wait any more");
}

/* ---- responses ------------------------------------------------------------ */

/* The log tells the first time, and each time that the number has doubled. */
static void
note_resent(tq_deliver *d)
{
	int64_t n = ++d->state.resent;
	char line[160];

	if ((n & (n - 1)) != 0)
		return;
	snprintf(line, sizeof(line),
			 "requests sent a second time, because the receiver had closed the connection: "
			 "%" PRId64,
			 n);
	d->process->log(d->process->self, line);
}

/* A request that was given up for a stop; the attempt waits again if it was not begun. */
static bool
take_given_up(tq_deliver *d, tq_attempt *a, tq_response *response)
{
	if (response->begun)
	{
		response->cls = TQ_CLASS_STOPPED;
		snprintf(response->error, sizeof(response->error), "sender was stopped before the answer");
		return false;
	}
	tq_response_free(response);
	if (!tq_hosts_enter(d->hosts, &a->entry, a->task->url))
		tq_attempts_free(&d->attempts, a);
	return true;
}

static void
take_response(tq_deliver *d, tq_attempt *a, tq_response *response)
{
	int shortage = response->shortage;

	free_slot(d, a);
	d->answered++;
	if (a->given_up && !a->lost && response->cls == TQ_CLASS_CANCELLED &&
		take_given_up(d, a, response))
		return;
	if (response->resent)
		note_resent(d);
	if (shortage != 0 && !a->lost)
	{
		tq_response_free(response);
		put_off(d, a, shortage);
		return;
	}
	a->result.response = response;
	if (a->lost)
	{
		tq_attempts_free(&d->attempts, a);
		return;
	}

	a->result.id = a->task->id;
	a->result.token = a->task->token;
	a->result.outcome = tq_outcome_of(response->cls, response->status, response->retry_after,
									  d->process->wall_s(d->process->self));
	if (response->cls == TQ_CLASS_STOPPED)
		a->result.outcome.retry_after_ms = 0;
	if (d->attempts.nresults == d->attempts.nbusy)
		d->oldest_result_ms = now(d);
	tq_attempts_append_result(&d->attempts, a);
	note_phase(d, a, TQ_PHASE_ANSWERED);
}

static void
take_responses(tq_deliver *d)
{
	tq_response *response;

	while ((response = tq_http_next_finished(d->http)) != NULL)
		take_response(d, response->tag, response);
}

/* ---- the store's health --------------------------------------------------- */

/* Whether the last call of this kind failed, and there still is reason for one. */
static bool
is_failing(const tq_deliver *d, call c)
{
	if (d->backoffs[c].delay_ms == 0)
		return false;
	if (c == CALL_REPORT)
		return d->attempts.nresults > 0;
	return c == CALL_CLAIM || d->attempts.n > 0;
}

static void
note_success(tq_deliver *d, call c)
{
	d->backoffs[c].delay_ms = 0;
	if (!d->failing || is_failing(d, CALL_CLAIM) || is_failing(d, CALL_REPORT) ||
		is_failing(d, CALL_EXTEND))
		return;
	d->failing = false;
	d->process->log(d->process->self, "the task store works again");
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
	d->process->log(d->process->self, line);
}

/* Notes how a call went; true: it worked. */
static bool
store_worked(tq_deliver *d, call c, tq_store_status status)
{
	if (status == TQ_STORE_DONE)
		note_success(d, c);
	else
		note_failure(d, c);
	return status == TQ_STORE_DONE;
}

/* The moment for a call that is due at due_ms. */
static int64_t
after_backoff(const tq_deliver *d, call c, int64_t due_ms)
{
	return is_failing(d, c) ? tq_later(due_ms, d->backoffs[c].retry_at_ms) : due_ms;
}

/* ---- claim ---------------------------------------------------------------- */

/* Takes over a claimed task, which waits for its turn.  Without memory it is left to its lease. */
static void
hold_task(tq_deliver *d, tq_task *task, int64_t claimed_at_ms)
{
	tq_attempt *a = tq_attempts_add(&d->attempts, task, claimed_at_ms);

	if (a == NULL)
		return;
	if (!tq_hosts_enter(d->hosts, &a->entry, a->task->url))
	{
		tq_attempts_free(&d->attempts, a);
		return;
	}
	note_phase(d, a, TQ_PHASE_WAITING);
	plan_extension(d, a);
	d->put_back_at_ms = tq_sooner(d->put_back_at_ms, claimed_at_ms + MAX_WAIT_MS);
}

static void
send_task(tq_deliver *d, tq_attempt *a)
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

	note_phase(d, a, TQ_PHASE_SENDING);
	if (tq_http_submit(d->http, &request, a))
		return;
	free_slot(d, a);
	put_off(d, a, ENOMEM);
}

/* Sends what may be sent now. */
static void
send_waiting(tq_deliver *d)
{
	tq_hosts_entry *entry;

	while (!is_stopping(d) && (entry = tq_hosts_next(d->hosts)) != NULL)
		send_task(d, (tq_attempt *) ((char *) entry - offsetof(tq_attempt, entry)));
}

static int
count_waiting(const tq_deliver *d)
{
	return d->attempts.n - d->attempts.nresults - tq_hosts_active(d->hosts);
}

/* How many tasks may be claimed before there are slots for them; few, if the last were large. */
static int
places_ahead(const tq_deliver *d)
{
	size_t room = (MAX_HELD_BYTES - d->attempts.bytes) / (d->bytes_each + 1);

	return d->more ? (int) tq_later(tq_sooner(d->ahead - count_waiting(d), (int64_t) room), 0) : 0;
}

/* Whether the loop cannot hold more tasks. */
static bool
is_full(const tq_deliver *d)
{
	return d->attempts.bytes >= MAX_HELD_BYTES || d->attempts.n >= MAX_HELD;
}

/* The number of tasks that may be claimed now. */
static int
free_slots(const tq_deliver *d)
{
	if (is_full(d))
		return 0;
	return (int) tq_sooner(d->max_active - tq_hosts_active(d->hosts) + places_ahead(d),
						   MAX_HELD - d->attempts.n);
}

static int64_t
claim_due_at(const tq_deliver *d)
{
	int slots = free_slots(d);
	int64_t at = d->claim_at_ms;

	if (is_stopping(d) || slots <= 0 || is_failing(d, CALL_REPORT) || is_failing(d, CALL_EXTEND))
		return NEVER;
	if (d->claim_now || (d->more && slots >= d->max_active / 4 + d->ahead))
		at = 0;
	else if (d->more)
		at = tq_sooner(at, d->refill_at_ms);
	return after_backoff(d, CALL_CLAIM, at);
}

static void
note_arming(tq_deliver *d, tq_arming arming)
{
	if (arming == TQ_ARMING_UNKNOWN || arming == d->arming)
		return;
	d->arming = arming;
	d->process->armed(d->process->self, arming == TQ_ARMED);
}

/* How many answers come within TQ_REPORT_DELAY_MS, by those since the claim before. */
static int
expected_answers(const tq_deliver *d, int64_t from_ms)
{
	int64_t passed = tq_later(from_ms - d->claimed_at_ms, TQ_REPORT_DELAY_MS);

	return (int) tq_sooner(d->answered * TQ_REPORT_DELAY_MS / passed, TQ_REPORT_BATCH);
}

/* Takes what was claimed at the moment from_ms, when max were asked for. */
static void
take_claimed(tq_deliver *d, const tq_claim *claimed, int max, int64_t from_ms)
{
	size_t before = d->attempts.bytes;
	int i;

	d->claim_now = false;
	d->more = claimed->n >= max;
	d->limited = !d->more && claimed->limited;
	d->refill_at_ms = NEVER;
	d->ahead = expected_answers(d, from_ms);
	d->answered = 0;
	d->claimed_at_ms = now(d);
	d->claim_at_ms = from_ms + tq_later(d->poll_interval_ms, d->more ? 0 : claimed->sleep_ms);
	if (!d->more && claimed->next_ms >= 0)
		d->claim_at_ms = tq_sooner(d->claim_at_ms, now(d) + claimed->next_ms);
	for (i = 0; i < claimed->n; i++)
		hold_task(d, claimed->tasks[i], from_ms);
	if (claimed->n > 0)
		d->bytes_each = (d->attempts.bytes - before) / claimed->n;
	note_arming(d, claimed->n > 0 ? TQ_ARMED : claimed->arming);
}

static void
claim(tq_deliver *d)
{
	int max = free_slots(d);
	int64_t from_ms = now(d);
	tq_claim claimed = {.tasks = calloc(max, sizeof(tq_task *)), .next_ms = -1};
	tq_store_status status = TQ_STORE_LATER;

	if (claimed.tasks != NULL)
		status = d->store->claim(d->store->self, max, &claimed);
	if (store_worked(d, CALL_CLAIM, status))
		take_claimed(d, &claimed, max, from_ms);
	free(claimed.tasks);
	send_waiting(d);
}

/* ---- report --------------------------------------------------------------- */

static int64_t
report_due_at(const tq_deliver *d)
{
	int64_t due;

	if (d->attempts.nresults == 0)
		return NEVER;
	if (d->attempts.nresults == d->attempts.nbusy)
		due = d->busy_until_ms;
	else if (d->attempts.nresults - d->attempts.nbusy >= TQ_REPORT_BATCH)
		due = 0;
	else
		due = d->oldest_result_ms + TQ_REPORT_DELAY_MS;
	return after_backoff(d, CALL_REPORT, due);
}

/*
 * How many tasks a report may claim in the same transaction.  Tasks that wait for others to end
 * can be claimed when that transaction has ended, not before.
 */
static int
slots_beside_report(const tq_deliver *d)
{
	bool possible = d->store->report_and_claim != NULL && !is_stopping(d) && !d->limited &&
					!is_failing(d, CALL_CLAIM) && !is_failing(d, CALL_REPORT) &&
					!is_failing(d, CALL_EXTEND);
	int slots = possible ? free_slots(d) : 0;

	return slots > 0 && (d->more || now(d) >= claim_due_at(d)) ? slots : 0;
}

/* Whether a claim is due, and results wait that can be reported with it. */
static bool
claim_wants_report(const tq_deliver *d)
{
	return d->attempts.nresults > d->attempts.nbusy && now(d) >= claim_due_at(d) &&
		   slots_beside_report(d) > 0;
}

/*
 * Reports all results that wait; those that are not stored are kept.  Claims in the same
 * transaction if there are slots: so a task costs half as many commits.
 */
static void
report(tq_deliver *d)
{
	tq_claim_beside beside = {.max = slots_beside_report(d), .claim = {.next_ms = -1}};
	int64_t from_ms = now(d);
	tq_store_status status;

	if (beside.max > 0)
		beside.claim.tasks = calloc(beside.max, sizeof(tq_task *));
	if (beside.claim.tasks == NULL)
		beside.max = 0;
	status = tq_report(&d->attempts, d->store, &beside, d->process->log, d->process->self);
	d->oldest_result_ms = now(d);
	d->busy_until_ms = d->oldest_result_ms + TQ_REPORT_BUSY_MS;
	if (store_worked(d, CALL_REPORT, status))
		d->claim_now = d->claim_now || d->limited;
	if (beside.done)
		take_claimed(d, &beside.claim, beside.max, from_ms);
	free(beside.claim.tasks);
	send_waiting(d);
}

/* ---- extend --------------------------------------------------------------- */

static int64_t
extension_due_at(const tq_deliver *d)
{
	if (d->attempts.n == 0)
		return NEVER;
	return after_backoff(d, CALL_EXTEND, d->check_leases ? 0 : d->extend_at_ms);
}

/* All leases when asked to check them, else those of which more than a third has passed. */
static bool
wants_extension(const tq_deliver *d, const tq_attempt *a, int64_t at)
{
	return !a->lost && (d->check_leases || at - a->lease_from_ms > lease_length(a) / 3);
}

/*
 * The lease of an attempt is lost.  If it has a result, that is reported all the same, since
 * the store compares the token.  False: the attempt is freed.
 */
static bool
give_up(tq_deliver *d, tq_attempt *a)
{
	if (a->result.response != NULL)
		return true;
	if (!a->entry.active)
	{
		tq_hosts_leave(d->hosts, &a->entry);
		tq_attempts_free(&d->attempts, a);
		return false;
	}
	a->lost = true;
	tq_http_cancel(d->http, a);
	return true;
}

static void
apply_extension(tq_deliver *d, const tq_lease *leases, int n, int64_t from)
{
	tq_attempt *a;
	tq_attempt *next;
	int i = 0;

	d->extend_at_ms = NEVER;
	for (a = d->attempts.first; a != NULL; a = next)
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
	tq_lease *leases = calloc(d->attempts.n, sizeof(*leases));
	const tq_attempt *a;
	tq_store_status status = TQ_STORE_LATER;
	int n = 0;

	for (a = d->attempts.first; leases != NULL && a != NULL; a = a->next)
	{
		if (!wants_extension(d, a, from))
			continue;
		leases[n].id = a->task->id;
		leases[n].token = a->task->token;
		n++;
	}
	if (n > 0)
		status = d->store->extend(d->store->self, leases, n);
	if ((n == 0 && leases != NULL) || store_worked(d, CALL_EXTEND, status))
		apply_extension(d, leases, n, from);
	free(leases);
	take_responses(d);
}

/* ---- put back ------------------------------------------------------------- */

static bool
is_waiting(const tq_attempt *a)
{
	return a->result.response == NULL && !a->entry.active;
}

static void
note_if_full(tq_deliver *d)
{
	if (!is_full(d) || tq_hosts_active(d->hosts) >= d->max_active)
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

/* Chooses the tasks that have waited too long, and of the others the last `more`. */
static int
choose_to_put_back(tq_deliver *d, tq_attempt **chosen, int more)
{
	int64_t before = now(d) - MAX_WAIT_MS;
	tq_attempt *a;
	int n = 0;

	d->put_back_at_ms = NEVER;
	for (a = d->attempts.last; a != NULL; a = a->prev)
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

/* Some tasks that have waited too long are still held. */
static void
look_again(tq_deliver *d)
{
	d->put_back_at_ms = tq_sooner(d->put_back_at_ms, now(d) + PUT_BACK_EACH_MS);
}

static void
forget_put_back(tq_deliver *d, tq_attempt **chosen, const tq_lease *leases, int n)
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
		tq_attempts_free(&d->attempts, chosen[i]);
	}
	d->claim_now = true;
}

/*
 * Gives back the tasks that have waited too long, and of the others the last `more`.  When the
 * store does not release them, it is tried again in a while.
 */
static void
put_back(tq_deliver *d, int more, int64_t delay_ms)
{
	tq_attempt **chosen = calloc(d->attempts.n + 1, sizeof(*chosen));
	tq_lease *leases = calloc(d->attempts.n + 1, sizeof(*leases));
	int n = 0;
	int i;

	if (chosen != NULL && leases != NULL)
	{
		n = choose_to_put_back(d, chosen, more);
		for (i = 0; i < n; i++)
		{
			leases[i].id = chosen[i]->task->id;
			leases[i].token = chosen[i]->task->token;
		}
	}
	if (n > 0 && d->store->release(d->store->self, leases, n, delay_ms) == TQ_STORE_DONE)
		forget_put_back(d, chosen, leases, n);
	else if (n > 0)
		look_again(d);
	d->full_at_ms = NEVER;
	free(leases);
	free(chosen);
}

static void
put_back_some(tq_deliver *d)
{
	bool full = d->full_at_ms != NEVER && now(d) >= d->full_at_ms + FULL_MS;

	put_back(d, full ? count_waiting(d) / 2 : 0, PUT_BACK_FOR_MS);
}

/* ---- drain ---------------------------------------------------------------- */

static void
note_stop(tq_deliver *d)
{
	if (is_stopping(d) || !d->process->stopping(d->process->self))
		return;
	d->give_up_at_ms = now(d) + d->stop_timeout_ms;
	if (d->stop_timeout_ms > 0 && count_waiting(d) > 0)
		put_back(d, count_waiting(d), 0);
}

/* Whether a stop waits for nothing any more. */
static bool
is_over(const tq_deliver *d)
{
	return is_stopping(d) && (now(d) >= d->give_up_at_ms ||
							  (tq_hosts_active(d->hosts) == 0 && d->attempts.nresults == 0));
}

static void
give_up_active(tq_deliver *d)
{
	tq_attempt *a;

	for (a = d->attempts.first; a != NULL; a = a->next)
	{
		if (a->result.response != NULL || !a->entry.active)
			continue;
		a->given_up = true;
		(void) tq_http_cancel(d->http, a);
	}
	take_responses(d);
}

static void
release(tq_deliver *d)
{
	tq_lease *leases = calloc(d->attempts.n, sizeof(*leases));
	const tq_attempt *a;
	int n = 0;

	for (a = d->attempts.first; leases != NULL && a != NULL; a = a->next)
	{
		if (a->result.response != NULL || a->lost)
			continue;
		leases[n].id = a->task->id;
		leases[n].token = a->task->token;
		n++;
	}
	if (n > 0 && d->store->release(d->store->self, leases, n, 0) != TQ_STORE_DONE)
		d->process->log(d->process->self,
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
	tq_attempts_free_all(&d->attempts);
}

static void
drain(tq_deliver *d)
{
	tq_http_step(d->http);
	take_responses(d);
	give_up_active(d);
	if (d->attempts.nresults > 0)
		report(d);
	if (d->attempts.n > 0)
		release(d);
	forget_all(d);
	d->drained = true;
}

/* ---- the loop ------------------------------------------------------------- */

/* Reports and extensions come before claims. */
static void
serve_store(tq_deliver *d)
{
	if (now(d) >= report_due_at(d) || claim_wants_report(d))
		report(d);
	if (now(d) >= extension_due_at(d))
		extend(d);
	if (now(d) >= room_due_at(d))
	{
		make_room(d);
		send_waiting(d);
	}
	note_if_full(d);
	if (now(d) >= put_back_due_at(d))
		put_back_some(d);
	if (now(d) >= claim_due_at(d))
		claim(d);
}

static int64_t
time_to_wait(tq_deliver *d, int64_t max_wait_ms)
{
	int64_t owed = tq_sooner(report_due_at(d), extension_due_at(d));
	int64_t wanted = tq_sooner(put_back_due_at(d), claim_due_at(d));
	int64_t at = tq_sooner(tq_sooner(owed, wanted), tq_sooner(room_due_at(d), d->give_up_at_ms));
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
	note_stop(d);
	if (!is_over(d))
	{
		serve_store(d);
		if (d->process->wait(d->process->self, tq_http_fd(d->http), time_to_wait(d, max_wait_ms)))
			tq_deliver_wake(d);
		tq_http_step(d->http);
		take_responses(d);
		note_stop(d);
		send_waiting(d);
	}
	if (!is_over(d))
	{
		serve_store(d);
		return true;
	}
	drain(d);
	return false;
}

void
tq_deliver_hurry(tq_deliver *d)
{
	d->stop_timeout_ms = 0;
	if (is_stopping(d))
		d->give_up_at_ms = now(d);
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
	return d->attempts.n;
}

const tq_deliver_state *
tq_deliver_state_of(const tq_deliver *d)
{
	return &d->state;
}

/* Tells when descriptors allow less than was configured, once. */
static void
set_max_inflight(tq_deliver *d, const tq_deliver_config *config)
{
	int max = (int) tq_sooner(config->max_inflight, config->max_descriptors);
	char line[160];

	if (max < config->max_inflight && max != d->max_inflight)
	{
		snprintf(line, sizeof(line),
				 "at most %d requests are sent at a time, not %d: the limit of open files", max,
				 config->max_inflight);
		d->process->log(d->process->self, line);
	}
	d->max_inflight = max;
}

bool
tq_deliver_configure(tq_deliver *d, const tq_deliver_config *config)
{
	if (!tq_http_set_egress(d->http, config->egress) ||
		!tq_http_set_ca_file(d->http, config->ca_file))
		return false;
	tq_http_set_limits(d->http, &config->limits);
	tq_http_set_http2(d->http, config->http2);
	set_max_inflight(d, config);
	d->max_per_host = config->max_per_host;
	d->room_at_ms = NEVER;
	limit_active(d, d->max_inflight);
	d->poll_interval_ms = tq_later(config->poll_interval_ms, 1);
	d->claim_at_ms = tq_sooner(d->claim_at_ms, now(d) + d->poll_interval_ms);
	d->stop_timeout_ms = config->stop_timeout_ms;
	return true;
}

tq_deliver *
tq_deliver_new(const tq_deliver_config *config, const tq_store *store, const tq_process *process)
{
	tq_deliver *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->store = store;
	d->process = process;
	d->extend_at_ms = NEVER;
	d->refill_at_ms = NEVER;
	d->full_at_ms = NEVER;
	d->put_back_at_ms = NEVER;
	d->room_at_ms = NEVER;
	d->give_up_at_ms = NEVER;
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

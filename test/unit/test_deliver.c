/*
 * test_deliver.c
 *		The delivery loop on a fake store and a fake clock.
 *
 * Time passes only when a test says so.  Tasks with an invalid URL end at
 * once and without a network; those sent to /mute never end.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/deliver.h"
#include "server.h"
#include "unit.h"

#define MAX_SEEN 4096
#define SHORT_MS 1000 /* between two tries after a shortage */

static int port;

/* ---- the fake process ----------------------------------------------------- */

typedef struct fake_process
{
	int64_t now;
	int64_t each_wait; /* by so much the clock goes on in each wait */
	bool wake;         /* what the next wait answers */
	bool stopping;
	int64_t waited; /* timeout of the last wait */
	int lines;
	char line[200]; /* the last one logged */
	int armed_calls;
	bool armed; /* as it was told last */
} fake_process;

static fake_process the_process;

static int64_t
process_now(void *self)
{
	return ((fake_process *) self)->now;
}

static int64_t
process_wall(void *self)
{
	(void) self;
	return 784111777;
}

/* Real time passes only as long as the engine has something to wait for. */
static bool
process_wait(void *self, int fd, int64_t timeout_ms)
{
	fake_process *p = self;
	struct pollfd fds = {fd, POLLIN, 0};
	bool wake = p->wake;

	p->waited = timeout_ms;
	p->now += p->each_wait;
	p->wake = false;
	(void) poll(&fds, 1, timeout_ms > 2 ? 2 : (int) timeout_ms);
	return wake;
}

static bool
process_stopping(void *self)
{
	return ((fake_process *) self)->stopping;
}

static void
process_armed(void *self, bool armed)
{
	fake_process *p = self;

	p->armed_calls++;
	p->armed = armed;
}

static void
process_log(void *self, const char *line)
{
	fake_process *p = self;

	p->lines++;
	snprintf(p->line, sizeof(p->line), "%s", line);
}

static const tq_process process = {
	.now_ms = process_now,
	.wall_s = process_wall,
	.wait = process_wait,
	.stopping = process_stopping,
	.armed = process_armed,
	.log = process_log,
	.self = &the_process};

/* ---- the fake store ------------------------------------------------------- */

typedef struct fake_store
{
	int available; /* tasks that are due */
	int instant;   /* the first of them have an invalid URL */
	char url[200]; /* what they are sent to */
	int64_t lease_ms;
	int64_t next_due_ms;
	bool limited;
	int64_t next_id;
	int64_t lose; /* id whose lease is lost at the next extend */
	bool fail_claim;
	tq_arming arming;
	bool fail_report;
	int64_t busy;      /* id of a task that another session holds; -1: none */
	int64_t refuse;    /* id of a result that cannot be stored with what the receiver sent; -1 */
	bool refuse_bare;  /* nor without */
	int fail_alone_at; /* after so many reports of one result they fail; -1 */
	bool fail_extend;
	bool fail_release;

	/* what was seen */
	int claims;
	int claim_max; /* of the last claim */
	tq_bytes body; /* of its tasks */
	int claimed;
	int reports;
	int claims_beside;       /* reports that have claimed as well */
	int report_size;         /* of the last report */
	int reported;            /* successfully */
	int report_of[MAX_SEEN]; /* how often, by id */
	tq_outcome outcome;      /* of the last result */
	tq_class cls;
	int status;
	int refusals;
	bool bare; /* the last result that was stored had nothing of what the receiver sent */
	char error[100];
	int extends;
	int extend_size;
	int64_t extended_token;
	int releases;
	int release_size;
	int64_t release_delay_ms;
	int busy_releases; /* of which the last one is busy */
} fake_store;

static fake_store the_store;

static tq_task *
make_task(fake_store *s)
{
	const char *url = s->instant-- > 0 ? "nonsense" : s->url;
	tq_task *t = tq_task_new((tq_bytes){NULL, 0}, (tq_bytes){url, strlen(url)},
							 (tq_bytes){"X-Task-Id: 1", 12}, s->body);

	t->id = s->next_id++;
	t->token = t->id + 100000;
	t->lease_ms = s->lease_ms;
	t->timeout_ms = 60000;
	return t;
}

static tq_store_status
store_claim(void *self, int max, tq_claim *claim)
{
	fake_store *s = self;

	s->claims++;
	s->claim_max = max;
	if (s->fail_claim)
		return TQ_STORE_LATER;
	for (; claim->n < max && s->available > 0; claim->n++, s->available--)
		claim->tasks[claim->n] = make_task(s);
	claim->next_ms = s->next_due_ms;
	claim->limited = s->limited;
	claim->arming = s->arming;
	s->claimed += claim->n;
	return TQ_STORE_DONE;
}

static bool
is_bare(const tq_response *r)
{
	return r->headers == NULL && r->body == NULL && r->truncated;
}

/* As a transaction of all of them goes. */
static tq_store_status
report_status(fake_store *s, const tq_result *results, int n)
{
	int i;

	if (s->fail_report || (n == 1 && s->fail_alone_at >= 0 && s->fail_alone_at-- == 0))
		return TQ_STORE_LATER;
	for (i = 0; i < n; i++)
		if (results[i].id == s->refuse && (s->refuse_bare || !is_bare(results[i].response)))
			return TQ_STORE_REFUSED;
	return TQ_STORE_DONE;
}

static tq_store_status
store_report(void *self, tq_result *results, int n)
{
	fake_store *s = self;
	tq_store_status status = report_status(s, results, n);
	int i;

	s->reports++;
	s->report_size = n;
	s->refusals += status == TQ_STORE_REFUSED;
	for (i = 0; status == TQ_STORE_DONE && i < n; i++)
	{
		const tq_response *r = results[i].response;

		if (results[i].token != results[i].id + 100000 || r == NULL)
			exit(1);
		results[i].busy = results[i].id == s->busy;
		s->report_of[results[i].id]++;
		s->reported += !results[i].busy;
		s->outcome = results[i].outcome;
		s->cls = r->cls;
		s->status = r->status;
		s->bare = is_bare(r);
		snprintf(s->error, sizeof(s->error), "%.99s", r->error);
	}
	return status;
}

static tq_store_status
store_report_and_claim(void *self, tq_result *results, int n, int max, tq_claim *claim)
{
	fake_store *s = self;
	tq_store_status status = store_report(self, results, n);

	s->claims_beside++;
	return status == TQ_STORE_DONE ? store_claim(self, max, claim) : status;
}

static tq_store_status
store_extend(void *self, tq_lease *leases, int n)
{
	fake_store *s = self;
	int i;

	s->extends++;
	s->extend_size = n;
	if (s->fail_extend)
		return TQ_STORE_LATER;
	for (i = 0; i < n; i++)
	{
		leases[i].lost = leases[i].id == s->lose;
		s->extended_token = leases[i].token;
	}
	return TQ_STORE_DONE;
}

static tq_store_status
store_release(void *self, tq_lease *leases, int n, int64_t delay_ms)
{
	fake_store *s = self;

	leases[n - 1].busy = s->busy_releases-- > 0;
	s->releases++;
	s->release_size = n;
	s->release_delay_ms = delay_ms;
	return s->fail_release ? TQ_STORE_LATER : TQ_STORE_DONE;
}

static const tq_store store = {
	.claim = store_claim,
	.report = store_report,
	.extend = store_extend,
	.release = store_release,
	.self = &the_store};

/* The same, which can do both in one transaction. */
static const tq_store store_of_both = {
	.claim = store_claim,
	.report = store_report,
	.report_and_claim = store_report_and_claim,
	.extend = store_extend,
	.release = store_release,
	.self = &the_store};

static const tq_store *store_in_use = &store;

/* ---- common to the tests -------------------------------------------------- */

static tq_deliver_config
config_of(int max_inflight, int max_per_host, const tq_egress *egress)
{
	return (tq_deliver_config){
		.max_inflight = max_inflight,
		.max_descriptors = 1000,
		.max_per_host = max_per_host,
		.poll_interval_ms = 10000,
		.limits = {
			.max_response = 1000,
			.max_headers = 8192,
			.connect_timeout_ms = 2000,
			.resend = true},
		.egress = egress};
}

static tq_deliver *
start_with(int max_inflight, int max_per_host, int64_t stop_timeout_ms, const char *path)
{
	tq_egress egress = {0};
	tq_deliver_config config = config_of(max_inflight, max_per_host, &egress);
	char err[100];
	tq_deliver *d;

	memset(&the_process, 0, sizeof(the_process));
	memset(&the_store, 0, sizeof(the_store));
	the_store.busy = the_store.refuse = -1;
	the_store.fail_alone_at = -1;
	the_process.now = 1000000;
	the_store.lease_ms = 60000;
	the_store.next_due_ms = -1;
	the_store.lose = -1;
	the_store.body = (tq_bytes){"{}", 2};
	if (path == NULL)
		strcpy(the_store.url, "nonsense");
	else
		snprintf(the_store.url, sizeof(the_store.url), "http://127.0.0.1:%d%s", port, path);
	tq_egress_allow(&egress, "127.0.0.0/8", err, sizeof(err));
	config.stop_timeout_ms = stop_timeout_ms;
	d = tq_deliver_new(&config, store_in_use, &process);
	tq_egress_free(&egress);
	if (d == NULL)
		exit(1);
	return d;
}

static tq_deliver *
start(int max_inflight, const char *path)
{
	return start_with(max_inflight, max_inflight, 0, path);
}

/* At most two requests are under way to one host. */
static tq_deliver *
start_stopping(int64_t stop_timeout_ms, const char *path)
{
	return start_with(10, 2, stop_timeout_ms, path);
}

static void
turns(tq_deliver *d, int n)
{
	while (n-- > 0)
		tq_deliver_turn(d, 1000);
}

/* Claims so many tasks, and goes on until the receiver has their requests. */
static void
start_requests(tq_deliver *d, int n)
{
	int before = atomic_load(&server_seen->requests);
	int64_t give_up = clock_ms() + 5000;

	the_store.available = n;
	tq_deliver_wake(d);
	while (atomic_load(&server_seen->requests) < before + n && clock_ms() < give_up)
		turns(d, 1);
}

static void
pass(tq_deliver *d, int64_t ms)
{
	the_process.now += ms;
	tq_deliver_turn(d, 1000);
}

/* ---- tests ---------------------------------------------------------------- */

static void
test_slots(void)
{
	tq_deliver *d = start(10, "/mute");

	the_store.available = 25;
	turns(d, 3);
	is_int(the_store.claims, 1, "one claim");
	is_int(the_store.claim_max, 10, "for all slots");
	is_int(tq_deliver_inflight(d), 10, "ten in flight");
	pass(d, 20000);
	tq_deliver_wake(d);
	turns(d, 3);
	is_int(the_store.claims, 1, "no claim without a free slot");
	tq_deliver_free(d);
}

static void
test_refill(void)
{
	tq_deliver *d = start(10, NULL);
	int i;
	bool once = true;

	the_store.available = 1000;
	for (i = 0; i < 1000 && the_store.reported < 1000; i++)
		pass(d, 1);
	is_int(the_store.reported, 1000, "all are reported");
	for (i = 0; i < 1000; i++)
		once = once && the_store.report_of[i] == 1;
	ok(once, "each once");
	ok(the_store.claims < 200, "by claims of several (%d)", the_store.claims);
	ok(the_store.reports < 40, "and reports of several (%d)", the_store.reports);
	is_int(the_store.cls, TQ_CLASS_INVALID, "class");
	is_int(the_store.outcome.verdict, TQ_PERMANENT, "verdict");
	is_int(tq_deliver_inflight(d), 0, "nothing is held");
	tq_deliver_free(d);
}

/* While more is waiting, a slot or two are no reason for a transaction. */
static void
test_refill_timing(void)
{
	tq_deliver *d = start(100, "/mute");

	the_store.available = 1000;
	the_store.instant = 2;
	turns(d, 3);
	is_int(the_store.claims, 1, "a few free slots wait");
	ok(the_process.waited <= TQ_REPORT_DELAY_MS, "and nobody sleeps over them");
	pass(d, TQ_REPORT_DELAY_MS - 1);
	is_int(the_store.claims, 1, "not for long");
	pass(d, 1);
	is_int(the_store.claims, 2, "then they are filled");
	is_int(the_store.claim_max, 2, "together");
	tq_deliver_free(d);

	d = start(100, "/mute");
	the_store.available = 1000;
	the_store.instant = 25;
	turns(d, 3);
	is_int(the_store.claims, 2, "a quarter of the slots does not wait");
	is_int(the_store.claim_max, 25, "but is filled at once");
	tq_deliver_free(d);
}

/* Quick receivers have the next requests at once; slow ones do not make tasks wait here. */
static void
test_claims_ahead(void)
{
	tq_deliver *d = start(10, "/503");
	int i;

	the_store.available = 1000;
	for (i = 0; i < 10000 && the_store.claim_max < 20; i++)
		turns(d, 1);
	ok(the_store.claim_max >= 20, "more than there are slots");
	the_process.each_wait = 1;
	for (i = 0; i < 10000 && the_store.reported < 1000; i++)
		turns(d, 1);
	is_int(the_store.reported, 1000, "all are reported");
	ok(the_store.claims < 50, "by few claims (%d)", the_store.claims);
	tq_deliver_free(d);

	d = start(10, "/503");
	the_store.available = 100;
	the_process.each_wait = 1000;
	for (i = 0; i < 10000 && the_store.reported < 100 && the_store.claim_max <= 10; i++)
		turns(d, 1);
	is_int(the_store.reported, 100, "a few a second: never more than there are slots");
	tq_deliver_free(d);
}

static void
test_claims_ahead_large(void)
{
	enum
	{
		SIZE = 1 << 20
	};
	tq_deliver *d = start(10, "/503");
	char *body = calloc(1, SIZE);
	int most = 0;
	int i;

	the_store.available = 150;
	the_store.body = (tq_bytes){body, SIZE};
	for (i = 0; i < 100000 && the_store.reported < 150; i++)
	{
		pass(d, i % 100 == 0);
		most = tq_deliver_inflight(d) > most ? tq_deliver_inflight(d) : most;
	}
	is_int(the_store.reported, 150, "large ones are all reported");
	ok(most <= 16 + 10, "and memory bounds what is held (%d)", most);
	tq_deliver_free(d);
	free(body);
}

static void
test_real_answers(void)
{
	tq_deliver *d = start(10, "/503");
	int i;

	the_store.available = 100;
	for (i = 0; i < 10000 && the_store.reported < 100; i++)
		pass(d, 1);
	is_int(the_store.reported, 100, "100 answers over HTTP");
	is_int(the_store.status, 503, "status");
	is_int(the_store.outcome.verdict, TQ_RETRY, "verdict");
	is_int(the_store.outcome.retry_after_ms, 7000, "Retry-After");
	tq_deliver_free(d);
}

static void
test_report_timing(void)
{
	tq_deliver *d = start(300, NULL);

	the_store.available = 10;
	turns(d, 3);
	is_int(the_store.reports, 0, "a few results wait");
	ok(the_process.waited <= TQ_REPORT_DELAY_MS, "and nobody sleeps over them");
	pass(d, TQ_REPORT_DELAY_MS - 1);
	is_int(the_store.reports, 0, "not for long");
	pass(d, 1);
	is_int(the_store.reports, 1, "one report");
	is_int(the_store.report_size, 10, "of all");

	the_store.available = TQ_REPORT_BATCH + 6;
	tq_deliver_wake(d);
	turns(d, 2);
	is_int(the_store.reports, 2, "a full batch goes at once");
	is_int(the_store.report_size, TQ_REPORT_BATCH + 6, "with all that is there");
	tq_deliver_free(d);
}

static void
each_reported_once(int n, int but)
{
	bool once = true;
	int i;

	for (i = 0; i < n; i++)
		once = once && (i == but || the_store.report_of[i] == 1);
	ok(once, "each other one is stored once");
}

/* ---- a report and a claim in one transaction ---------------------------------- */

static void
test_both(void)
{
	tq_deliver *d = start(100, NULL);
	bool once = true;
	int i;

	the_store.available = 1000;
	for (i = 0; i < 1000 && the_store.reported < 1000; i++)
		pass(d, 1);
	is_int(the_store.reported, 1000, "all are reported");
	for (i = 0; i < 1000; i++)
		once = once && the_store.report_of[i] == 1;
	ok(once, "each once");
	is_int(the_store.claims - the_store.claims_beside, 1, "the first claim stands alone");
	ok(the_store.claims_beside >= 4, "the others go with a report (%d)", the_store.claims_beside);
	tq_deliver_free(d);
}

/* What is due for a claim does not let a few results wait. */
static void
test_both_at_once(void)
{
	tq_deliver *d = start(100, NULL);

	the_store.available = 10;
	turns(d, 3);
	is_int(the_store.reports, 0, "a few results wait");
	the_store.available = 5;
	tq_deliver_wake(d);
	turns(d, 1);
	is_int(the_store.reports, 1, "until a claim is due");
	is_int(the_store.report_size, 10, "with which they go");
	is_int(the_store.claims_beside, 1, "together");
	is_int(the_store.claim_max, 100, "for all slots");
	tq_deliver_free(d);
}

/* A result that is refused keeps no task from being claimed, nor is one claimed twice. */
static void
test_both_refused(void)
{
	tq_deliver *d = start(100, NULL);
	int i;

	the_store.available = 200;
	the_store.refuse = 3;
	for (i = 0; i < 100 && the_store.reported < 200; i++)
		pass(d, TQ_REPORT_DELAY_MS);
	is_int(the_store.reported, 200, "all are stored");
	is_int(the_store.claimed, 200, "all were claimed");
	each_reported_once(200, 3);
	tq_deliver_free(d);
}

/* What waits for others to end can be claimed when the report has committed. */
static void
test_both_limited(void)
{
	tq_deliver *d = start(100, NULL);

	the_store.available = 10;
	the_store.limited = true;
	turns(d, 3);
	tq_deliver_wake(d);
	turns(d, 1);
	is_int(the_store.claims, 2, "a claim that is due");
	is_int(the_store.claims_beside, 0, "goes by itself");
	pass(d, TQ_REPORT_DELAY_MS);
	is_int(the_store.reports, 1, "a report");
	is_int(the_store.claims_beside, 0, "likewise");
	is_int(the_store.claims, 3, "then a claim at once");
	tq_deliver_free(d);
}

static void
test_both_failing(void)
{
	tq_deliver *d = start(100, NULL);
	int i;

	the_store.available = 1000;
	the_store.fail_report = true;
	turns(d, 5);
	is_int(the_store.claimed, 100, "nothing is claimed beside a report that fails");
	the_store.fail_report = false;
	for (i = 0; i < 1000 && the_store.reported < 1000; i++)
		pass(d, 10);
	is_int(the_store.reported, 1000, "later all is well");
	tq_deliver_free(d);
}

static void
test_busy_results(void)
{
	tq_deliver *d = start(TQ_REPORT_BATCH, NULL);

	the_store.available = 3;
	the_store.busy = the_store.next_id + 1;
	pass(d, TQ_REPORT_DELAY_MS);
	pass(d, TQ_REPORT_DELAY_MS);
	is_int(the_store.reports, 1, "one report");
	is_int(the_store.reported, 2, "of two");
	is_int(tq_deliver_inflight(d), 1, "the one that is busy is kept");
	pass(d, TQ_REPORT_BUSY_MS - 2);
	is_int(the_store.reports, 1, "and left alone for a while");
	pass(d, 2 + TQ_REPORT_DELAY_MS);
	is_int(the_store.reports, 2, "then reported again");
	is_int(the_store.report_size, 1, "by itself");
	is_int(tq_deliver_inflight(d), 1, "and kept again");

	the_store.available = TQ_REPORT_BATCH;
	tq_deliver_wake(d);
	turns(d, 2);
	is_int(the_store.report_size, TQ_REPORT_BATCH + 1, "others do not wait for it");
	the_store.busy = the_store.refuse = -1;
	the_store.fail_alone_at = -1;
	pass(d, TQ_REPORT_BUSY_MS);
	pass(d, TQ_REPORT_BUSY_MS);
	is_int(tq_deliver_inflight(d), 0, "at last it is written");
	tq_deliver_free(d);
}

static void
test_when_to_claim(void)
{
	tq_deliver *d = start(10, NULL);

	turns(d, 3);
	is_int(the_store.claims, 1, "one at the start");
	ok(the_process.waited == 1000, "then it waits as long as it may");
	pass(d, 9999);
	is_int(the_store.claims, 1, "none before the poll interval");
	ok(the_process.waited <= 1, "which bounds the wait");
	pass(d, 1);
	is_int(the_store.claims, 2, "one after it");

	the_process.wake = true;
	turns(d, 2);
	is_int(the_store.claims, 3, "one when woken");
	turns(d, 2);
	is_int(the_store.claims, 3, "none without");

	the_store.next_due_ms = 300;
	tq_deliver_wake(d);
	turns(d, 2);
	is_int(the_store.claims, 4, "woken by its owner");
	ok(the_process.waited <= 300, "the next task due bounds the wait");
	the_store.next_due_ms = -1;
	pass(d, 299);
	is_int(the_store.claims, 4, "not before that");
	pass(d, 1);
	is_int(the_store.claims, 5, "but then");
	tq_deliver_turn(d, 17);
	is_int(the_process.waited, 17, "the caller bounds the wait");
	tq_deliver_turn(d, -1);
	is_int(the_process.waited, 0, "and never makes it negative");
	tq_deliver_free(d);
}

static void
test_failing_report(void)
{
	tq_deliver *d = start(10, NULL);
	int64_t back_off = 100;
	int before;
	int i;

	the_store.available = 10;
	the_store.fail_report = true;
	turns(d, 1);
	before = the_store.claims;
	pass(d, 5);
	the_store.available = 20;
	is_int(the_store.reports, 1, "a report is tried");
	is_int(the_process.lines, 1, "one line tells that it failed");
	is_str(the_process.line, "could not report results, will try again until it works",
		   "which says so");
	for (i = 0; i < 8; i++)
	{
		tq_deliver_wake(d);
		pass(d, back_off - 1);
		is_int(the_store.reports, 1 + i, "not before %d ms", (int) back_off);
		ok(the_process.waited <= 1, "the back-off bounds the wait");
		pass(d, 1);
		is_int(the_store.reports, 2 + i, "but then");
		is_int(the_store.report_size, 10, "the same batch");
		back_off = back_off * 2 < 5000 ? back_off * 2 : 5000;
	}
	is_int(the_store.claims, before, "nothing is claimed meanwhile");
	is_int(the_process.lines, 1, "and nothing more is said");

	the_store.fail_report = false;
	pass(d, 5000);
	is_int(the_store.reported, 10, "at last");
	is_int(the_process.lines, 2, "one line tells that it works");
	is_str(the_process.line, "the task store works again", "which says so");
	for (i = 0; i < 100; i++)
		pass(d, 1);
	is_int(the_store.reported, 30, "the rest follows");
	for (i = 0; i < 30; i++)
		if (the_store.report_of[i] != 1)
			break;
	is_int(i, 30, "each was reported once");
	tq_deliver_free(d);
}

static void
test_failing_claim(void)
{
	tq_deliver *d = start(10, NULL);

	the_store.fail_claim = true;
	turns(d, 3);
	is_int(the_store.claims, 1, "a claim fails");
	is_int(the_process.lines, 1, "one line");
	pass(d, 100);
	is_int(the_store.claims, 2, "again after 100 ms");
	pass(d, 199);
	is_int(the_store.claims, 2, "then after 200");
	pass(d, 1);
	is_int(the_store.claims, 3, "which is now");
	pass(d, 99);
	tq_deliver_wake(d);
	turns(d, 2);
	is_int(the_store.claims, 3, "a wake-up does not hurry it below 100 ms");
	pass(d, 1);
	is_int(the_store.claims, 4, "but to that");
	the_store.fail_claim = false;
	the_store.available = 1;
	pass(d, 5000);
	is_int(the_store.claimed, 1, "it works again");
	is_int(the_process.lines, 2, "and says so");
	tq_deliver_free(d);
}

static void
test_extension(void)
{
	tq_deliver *d = start(10, "/mute");

	the_store.available = 2;
	turns(d, 2);
	pass(d, 15000);
	the_store.available = 1;
	the_store.lease_ms = 100000;
	tq_deliver_wake(d);
	turns(d, 2);
	is_int(tq_deliver_inflight(d), 3, "two older, one younger");
	pass(d, 14999);
	is_int(the_store.extends, 0, "not before half of the lease");
	ok(the_process.waited <= 1, "which bounds the wait");
	pass(d, 1);
	is_int(the_store.extends, 1, "at its half");
	is_int(the_store.extend_size, 2, "those that have used over a third");
	turns(d, 3);
	is_int(the_store.extends, 1, "once");

	/* The younger one is half through at 65 s, the others have used more than a third then. */
	pass(d, 29999);
	is_int(the_store.extends, 1, "extended leases are whole again");
	pass(d, 1);
	is_int(the_store.extends, 2, "until they are half used");
	is_int(the_store.extend_size, 3, "with the younger one, past its third");

	the_store.fail_extend = true;
	pass(d, 30000);
	is_int(the_store.extends, 3, "an extension fails");
	is_int(the_process.lines, 1, "one line");
	pass(d, 99);
	is_int(the_store.extends, 3, "it is not tried again at once");
	pass(d, 1);
	is_int(the_store.extends, 4, "but soon");
	tq_deliver_wake(d);
	the_store.available = 1;
	turns(d, 2);
	is_int(tq_deliver_inflight(d), 3, "and nothing is claimed meanwhile");
	the_store.fail_extend = false;
	pass(d, 200);
	is_int(the_process.lines, 2, "until it works");
	is_int(tq_deliver_inflight(d), 4, "and then it is");
	tq_deliver_free(d);
}

static void
test_lost_lease(void)
{
	tq_deliver *d = start(3, "/mute");

	the_store.available = 3;
	turns(d, 3);
	the_store.lose = 1;
	tq_deliver_check_leases(d);
	turns(d, 1);
	is_int(the_store.extends, 1, "leases are looked at when asked");
	is_int(the_store.extend_size, 3, "all of them");
	is_int(tq_deliver_inflight(d), 2, "the lost one is given up");
	turns(d, 2);
	is_int(the_store.extends, 1, "once");
	pass(d, 50);
	is_int(the_store.reports, 0, "its result is dropped");
	the_store.available = 1;
	tq_deliver_wake(d);
	turns(d, 2);
	is_int(tq_deliver_inflight(d), 3, "its slot is free");
	tq_deliver_free(d);
}

/* A result that cannot be reported yet still needs its lease. */
static void
test_extension_of_results(void)
{
	tq_deliver *d = start(3, NULL);

	the_store.available = 3;
	the_store.lease_ms = 1000;
	the_store.fail_report = true;
	turns(d, 2);
	pass(d, 5);
	is_int(the_store.reports, 1, "a report fails");
	pass(d, 500);
	is_int(the_store.extends, 1, "the leases are extended");
	is_int(the_store.extend_size, 3, "of all results");

	/* Told that one is lost, it is reported all the same: its token says enough. */
	the_store.lose = 2;
	pass(d, 600);
	is_int(the_store.extends, 2, "again");
	the_store.fail_report = false;
	pass(d, 5000);
	is_int(the_store.reported, 3, "all are reported at last");
	tq_deliver_free(d);
}

static void
test_drain(void)
{
	tq_deliver *d = start(8, "/mute");
	int64_t before;

	start_requests(d, 5);
	strcpy(the_store.url, "nonsense");
	the_store.available = 2;
	tq_deliver_wake(d);
	turns(d, 1);
	the_store.available = 10;
	the_process.stopping = true;
	before = clock_ms();
	ok(!tq_deliver_turn(d, 1000), "the loop is through");
	ok(clock_ms() - before < 900, "at once");
	is_int(the_store.reports, 1, "one report");
	is_int(the_store.report_size, 7, "of what was finished and what was being sent");
	is_str(tq_class_name(the_store.cls), "stopped", "that has failed");
	is_str(the_store.error, "sender was stopped before the answer", "and says why");
	ok(the_store.outcome.verdict == TQ_RETRY && the_store.outcome.retry_after_ms == 0,
	   "to be tried again at once");
	is_int(the_store.releases, 0, "nothing to release");
	is_int(the_store.claimed, 7, "nothing is claimed");
	ok(!tq_deliver_turn(d, 1000), "and stays so");
	is_int(the_store.reports + the_store.releases, 1, "without another call");
	is_int(tq_deliver_inflight(d), 0, "nothing is held");
	tq_deliver_free(d);

	d = start(8, "/mute");
	turns(d, 1);
	the_process.stopping = true;
	ok(!tq_deliver_turn(d, 1000), "an idle loop ends, too");
	is_int(the_store.reports + the_store.releases, 0, "without a call");
	tq_deliver_free(d);
}

static void
test_drain_of_failing_store(void)
{
	tq_deliver *d = start_stopping(0, "/mute");

	start_requests(d, 1);
	the_store.available = 2;
	strcpy(the_store.url, "nonsense");
	the_store.fail_report = true;
	the_store.fail_release = true;
	tq_deliver_wake(d);
	turns(d, 1);
	pass(d, 5);
	the_process.stopping = true;
	ok(!tq_deliver_turn(d, 1000), "it does not insist");
	is_int(the_store.reports, 2, "one more report");
	is_int(the_store.releases, 0, "what was begun is not released");
	tq_deliver_free(d);
}

/* What is under way may end, nothing more begins. */
static void
test_drain_waits(void)
{
	tq_deliver *d = start_stopping(2000, "/slow");
	int requests = atomic_load(&server_seen->requests);
	int64_t give_up;

	start_requests(d, 2);
	the_store.available = 6;
	tq_deliver_wake(d);
	turns(d, 1);
	is_int(tq_deliver_inflight(d), 8, "two are sent, six wait");
	the_process.stopping = true;
	ok(tq_deliver_turn(d, 1000), "the loop goes on");
	is_int(the_store.releases, 1, "what waits is released");
	is_int(the_store.release_size, 6, "all of it");
	is_int(the_store.release_delay_ms, 0, "without a delay");
	the_store.available = 1;
	give_up = clock_ms() + 5000;
	while (tq_deliver_turn(d, 1000) && clock_ms() < give_up)
		the_process.now++;
	is_int(the_store.reported, 2, "the answers are reported");
	is_int(the_store.status, 200, "as they are");
	is_int(the_store.claimed, 8, "nothing was claimed");
	is_int(atomic_load(&server_seen->requests) - requests, 2, "nor sent");
	tq_deliver_free(d);

	d = start_stopping(2000, "/mute");
	start_requests(d, 2);
	the_process.stopping = true;
	ok(tq_deliver_turn(d, 1000), "it waits for an answer");
	the_process.now += 1999;
	ok(tq_deliver_turn(d, 1000) && the_process.waited == 1, "and no longer");
	the_process.now++;
	ok(!tq_deliver_turn(d, 1000), "that does not come");
	is_int(the_store.reported, 2, "the attempts have failed");
	is_str(tq_class_name(the_store.cls), "stopped", "for the stop");
	tq_deliver_free(d);

	d = start_stopping(2000, "/mute");
	start_requests(d, 2);
	the_process.stopping = true;
	ok(tq_deliver_turn(d, 1000), "it waits for an answer");
	tq_deliver_hurry(d);
	ok(!tq_deliver_turn(d, 1000), "but not when it is told to hurry");
	tq_deliver_free(d);
}

static void
test_configure(void)
{
	tq_deliver *d = start(10, "/mute");
	tq_deliver_config config = config_of(2, 100, NULL);

	the_store.available = 5;
	turns(d, 2);
	ok(tq_deliver_configure(d, &config), "new settings");
	is_int(tq_deliver_inflight(d), 5, "what is in flight goes on");
	the_store.available = 5;
	tq_deliver_wake(d);
	turns(d, 2);
	is_int(tq_deliver_inflight(d), 5, "fewer slots take no more");
	config.max_inflight = 8;
	tq_deliver_configure(d, &config);
	turns(d, 1);
	is_int(the_store.claimed, 10, "more slots do");
	is_int(the_store.cls, 0, "no result so far");
	pass(d, 5);
	is_int(the_store.cls, TQ_CLASS_EGRESS_DENIED, "the new list of addresses holds");
	tq_deliver_free(d);
}

/* With new settings, and addresses of this machine allowed. */
static void
configure(tq_deliver *d, int max_per_host)
{
	tq_egress egress = {0};
	tq_deliver_config config = config_of(10, max_per_host, &egress);
	char err[100];

	tq_egress_allow(&egress, "127.0.0.0/8", err, sizeof(err));
	if (!tq_deliver_configure(d, &config))
		exit(1);
	tq_egress_free(&egress);
}

/* Until the server has read all that was sent to it before: it serves one after the other. */
static void
let_server_catch_up(void)
{
	tq_deliver *d = start(1, "/ok");
	int i;

	the_store.available = 1;
	for (i = 0; i < 10000 && the_store.reported == 0; i++)
		pass(d, 1);
	tq_deliver_free(d);
}

/* Tasks for one host that hangs, and then one for another. */
static void
test_hosts(void)
{
	tq_deliver *d;
	int before;
	int i;

	let_server_catch_up();
	before = atomic_load(&server_seen->requests);
	d = start(10, "/mute");
	configure(d, 2);
	the_store.available = 2000;
	for (i = 0; i < 1000; i++)
		pass(d, 1);
	is_int(tq_deliver_inflight(d), 2000, "all tasks for one host are held");
	is_int(atomic_load(&server_seen->requests) - before, 2, "two of them were sent");

	snprintf(the_store.url, sizeof(the_store.url), "http://127.0.0.2:%d/ok", port);
	the_store.available = 1;
	tq_deliver_wake(d);
	for (i = 0; i < 1000 && the_store.reported == 0; i++)
		pass(d, 1);
	is_int(the_store.cls, TQ_CLASS_CONNECT, "another host is tried at once");

	the_store.lose = 1500;
	tq_deliver_check_leases(d);
	turns(d, 1);
	is_int(the_store.extend_size, 2000, "the leases of those that wait are kept");
	is_int(tq_deliver_inflight(d), 1999, "one that lost its lease waits no more");
	the_store.lose = 0;
	tq_deliver_check_leases(d);
	for (i = 0; i < 100; i++)
		pass(d, 1);
	is_int(atomic_load(&server_seen->requests) - before, 3,
		   "one that is given up under way makes room for the next");
	the_process.stopping = true;
	ok(!tq_deliver_turn(d, 1000), "stopped");
	is_int(the_store.release_size, 1996, "what waits is given back");
	tq_deliver_free(d);
}

static void
test_full(void)
{
	tq_deliver *d = start(10, "/mute");
	int i;

	configure(d, 1);
	the_store.available = 5000;
	for (i = 0; i < 5000 && the_store.claimed < 4096; i++)
		pass(d, 1);
	is_int(tq_deliver_inflight(d), 4096, "what is held is bounded");
	the_store.fail_release = true;
	pass(d, 240);
	is_int(the_store.releases, 0, "it is kept at first");
	pass(d, 20);
	is_int(the_store.releases, 1, "but not while others could be sent");
	is_int(tq_deliver_inflight(d), 4096, "when that fails all is as before");
	the_store.fail_release = false;
	pass(d, 300);
	is_int(the_store.releases, 2, "and is tried again");
	is_int(the_store.release_size, 2047, "half of what waits is put back");
	is_int(the_store.release_delay_ms, 5000, "for some seconds");
	for (i = 0; i < 1000 && the_store.claimed < 5000; i++)
		pass(d, 1);
	is_int(tq_deliver_inflight(d), 4096 - 2047 + 904, "others are claimed");
	tq_deliver_free(d);
}

static void
test_long_wait(void)
{
	tq_deliver *d = start(10, "/mute");

	configure(d, 1);
	the_store.lease_ms = 300000;
	the_store.available = 3;
	turns(d, 2);
	pass(d, 59000);
	is_int(the_store.releases, 0, "for a minute who waits is kept");
	the_store.busy_releases = 1;
	pass(d, 1100);
	is_int(the_store.releases, 1, "not for longer");
	is_int(the_store.release_size, 2, "but who is under way goes on");
	is_int(tq_deliver_inflight(d), 2, "and who is in somebody's hands stays");
	pass(d, 60000);
	is_int(tq_deliver_inflight(d), 1, "until later");
	tq_deliver_free(d);
}

/* Tasks that are due but may only be sent when one that is under way has ended. */
static void
test_limited(void)
{
	tq_deliver *d = start(10, NULL);
	int before;

	the_store.available = 1;
	the_store.limited = true;
	turns(d, 1);
	before = the_store.claims;
	pass(d, 5);
	turns(d, 1);
	is_int(the_store.reported, 1, "one has ended");
	is_int(the_store.claims, before + 1, "others are looked for at once");
	turns(d, 3);
	is_int(the_store.claims, before + 1, "once");
	tq_deliver_free(d);
}

/* ---- results that the store refuses --------------------------------------- */

/* Until all are through, or a second has passed. */
static void
deliver_all(tq_deliver *d)
{
	int i;

	for (i = 0; i < 1000 && (i < 10 || tq_deliver_inflight(d) > 0); i++)
		pass(d, 1);
}

static void
test_refused_answer(void)
{
	tq_deliver *d = start(10, "/503");

	the_store.available = 5;
	the_store.refuse = 4;
	deliver_all(d);
	is_int(the_store.reported, 5, "all are stored");
	each_reported_once(5, -1);
	ok(the_store.bare, "the one that was refused without what the receiver sent");
	is_str(the_store.error, "the response could not be stored", "which it says");
	is_int(the_store.status, 503, "but with its status");
	is_int(the_store.outcome.retry_after_ms, 7000, "and its outcome");
	is_int(the_process.lines, 0, "nothing is logged");
	tq_deliver_free(d);
}

static void
test_refused_for_ever(void)
{
	tq_deliver *d = start(10, NULL);

	the_store.available = 30;
	the_store.refuse = 2;
	the_store.refuse_bare = true;
	deliver_all(d);
	is_int(the_store.reported, 29, "the others are stored, and those that come later");
	each_reported_once(30, 2);
	is_int(the_store.refusals, 3, "it is tried with the others, alone, and bare");
	is_int(the_process.lines, 1, "one line");
	is_str(the_process.line,
		   "cannot store the result of task 2, which runs again when its lease expires",
		   "says what becomes of it");
	is_int(tq_deliver_inflight(d), 0, "it is not held any more");
	is_int(the_store.releases, 0, "nor given back: its attempt is used up when the lease expires");
	pass(d, 60000);
	is_int(the_store.extends, 0, "which is not extended");
	tq_deliver_free(d);
}

/* The database goes away while results are reported one by one. */
static void
test_refused_and_failing(void)
{
	tq_deliver *d = start(10, NULL);

	the_store.available = 5;
	the_store.refuse = 1;
	the_store.fail_alone_at = 4;
	turns(d, 2);
	pass(d, TQ_REPORT_DELAY_MS);
	is_int(the_store.reported, 3, "what was stored before");
	is_int(tq_deliver_inflight(d), 2, "is not held any more, but the rest");
	is_int(the_process.lines, 1, "one line");
	pass(d, 99);
	is_int(the_store.reports, 6, "it backs off");
	pass(d, 1);
	is_int(the_store.reported, 5, "then the rest is stored");
	is_int(the_store.report_size, 2, "together");
	each_reported_once(5, -1);
	is_int(the_process.lines, 2, "and it works again");
	tq_deliver_free(d);
}

/* It goes away when a result was refused once, and is reported bare. */
static void
test_refused_bare_and_failing(void)
{
	tq_deliver *d = start(10, NULL);

	the_store.available = 3;
	the_store.refuse = 1;
	the_store.fail_alone_at = 2;
	the_store.busy = 0;
	turns(d, 2);
	pass(d, TQ_REPORT_DELAY_MS);
	is_int(tq_deliver_inflight(d), 3, "a busy one is kept, too");
	the_store.refuse_bare = true;
	the_store.busy = -1;
	pass(d, 100);
	is_int(the_store.reported, 2, "the others are stored");
	is_int(the_store.refusals, 4, "bare it was refused, with others and alone");
	is_int(tq_deliver_inflight(d), 0, "and is given up");
	tq_deliver_free(d);
}

static void
test_drain_of_refused(void)
{
	tq_deliver *d = start(10, NULL);

	the_store.available = 5;
	the_store.refuse = 0;
	the_store.refuse_bare = true;
	turns(d, 1);
	the_process.stopping = true;
	ok(!tq_deliver_turn(d, 1000), "the loop ends");
	is_int(the_store.reported, 4, "and what can be stored is");
	tq_deliver_free(d);
}

/* ---- requests that are sent a second time ----------------------------------- */

static void
test_resent(void)
{
	tq_deliver *d = start(1, "/leave");
	int i;

	the_store.available = 11;
	for (i = 0; i < 10000 && the_store.reported < 11; i++)
		pass(d, 1);
	is_int(the_store.status, 200, "all are answered");
	is_int(tq_deliver_state_of(d)->resent, 10, "all but the first by a second request");
	is_int(the_process.lines, 4, "the log tells the first, and each doubling");
	is_str(the_process.line,
		   "requests sent a second time, because the receiver had closed the connection: 8",
		   "with its number");
	tq_deliver_free(d);
}

/* ---- shortages of the machine ----------------------------------------------- */

static void
pass_seconds(tq_deliver *d, int seconds)
{
	while (seconds-- > 0)
		pass(d, SHORT_MS);
}

static void
test_no_descriptors(void)
{
	tq_deliver *d = start(10, "/503");
	const tq_deliver_state *state = tq_deliver_state_of(d);
	int i;

	the_store.available = 5;
	leave_descriptors(0);
	turns(d, 3);
	is_int(state->shortage, EMFILE, "no descriptor is free");
	is_int(state->put_off, 5, "five requests are not begun");
	is_int(tq_deliver_inflight(d), 5, "but wait");
	is_int(the_process.lines, 1, "one line");
	is_str(the_process.line,
		   "requests have to wait, and use up no attempt: "
		   "the limit of open files of the process is reached",
		   "says so");
	the_store.available = 5;
	tq_deliver_wake(d);
	pass(d, SHORT_MS - 1);
	turns(d, 3);
	is_int(state->put_off, 5, "nothing is tried meanwhile");
	is_int(the_store.claims, 1, "nor claimed");
	ok(the_process.waited <= 1, "and nobody sleeps over it");
	pass_seconds(d, 10);
	ok(state->put_off > 5 && state->put_off <= 5 + 2 * 10, "then one is tried each second (%d)",
	   (int) state->put_off);
	leave_descriptors(1000);
	for (i = 0; i < 10000 && the_store.reported < 10; i++)
		pass(d, 10);
	is_int(the_store.reported, 10, "at last all are sent");
	is_int(the_store.status, 503, "and answered");
	is_int(the_store.releases, 0, "none was put back meanwhile");
	is_int(the_process.lines, 1, "without another line");
	pass(d, 5000);
	is_int(state->shortage, 0, "it is over");
	is_str(the_process.line, "requests do not have to wait any more", "which a line says");
	tq_deliver_free(d);
}

/* Some requests have what they need, and go on. */
static void
test_few_descriptors(void)
{
	tq_deliver *d = start(10, "/503");
	int i;

	the_store.available = 100;
	leave_descriptors(3);
	for (i = 0; i < 10000 && the_store.reported < 100; i++)
		pass(d, 10);
	leave_descriptors(1000);
	is_int(the_store.reported, 100, "two at a time, all are sent");
	is_int(the_store.status, 503, "and answered");
	is_int(the_store.releases, 0, "none was put back");
	is_int(tq_deliver_state_of(d)->shortage, EMFILE, "as the rest did not fit");
	tq_deliver_free(d);
}

/* A connection that is kept open for nothing gives up its descriptor. */
static void
test_idle_descriptors(void)
{
	tq_deliver *d = start(10, "/503");
	int i;

	the_store.available = 1;
	for (i = 0; i < 10000 && the_store.reported < 1; i++)
		pass(d, 1);
	leave_descriptors(1);
	snprintf(the_store.url, sizeof(the_store.url), "https://localhost:%d/503", port);
	the_store.available = 1;
	tq_deliver_wake(d);
	for (i = 0; i < 10000 && the_store.reported < 2; i++)
		pass(d, 10);
	leave_descriptors(1000);
	is_int(the_store.reported, 2, "the request to another host is sent");
	is_int(the_store.cls, TQ_CLASS_TLS, "with which TLS was spoken, in vain");
	ok(tq_deliver_state_of(d)->put_off > 0, "after it was put off");
	tq_deliver_free(d);
}

static void
test_put_off_too_long(void)
{
	tq_deliver *d = start(10, "/503");

	the_store.available = 3;
	leave_descriptors(0);
	turns(d, 3);
	pass_seconds(d, 59);
	is_int(the_store.releases, 0, "for a minute they wait");
	pass_seconds(d, 5);
	is_int(tq_deliver_inflight(d), 0, "then they are put back");
	is_int(the_store.release_delay_ms, 5000, "for some seconds");
	leave_descriptors(1000);
	tq_deliver_free(d);
}

static void
test_descriptors_bound(void)
{
	tq_deliver *d = start(10, "/mute");
	tq_egress egress = {0};
	tq_deliver_config config = config_of(10, 10, &egress);
	char err[100];

	ok(tq_egress_allow(&egress, "127.0.0.0/8", err, sizeof(err)), "an address");
	config.max_descriptors = 4;
	ok(tq_deliver_configure(d, &config) && tq_deliver_configure(d, &config), "new settings");
	is_int(the_process.lines, 1, "one line");
	is_str(the_process.line,
		   "at most 4 requests are sent at a time, not 10: the limit of open files",
		   "says that descriptors are few");
	the_store.available = 10;
	turns(d, 2);
	is_int(the_store.claim_max, 4, "no more are claimed");
	config.max_inflight = 4;
	tq_deliver_configure(d, &config);
	is_int(the_process.lines, 1, "what fits is not told");
	tq_egress_free(&egress);
	tq_deliver_free(d);
}

/* ---- arming ----------------------------------------------------------------- */

static void
claim_with(tq_deliver *d, tq_arming arming)
{
	the_store.arming = arming;
	tq_deliver_wake(d);
	turns(d, 1);
}

static void
test_arming(void)
{
	tq_deliver *d = start(10, NULL);

	claim_with(d, TQ_ARMING_UNKNOWN);
	is_int(the_process.armed_calls, 0, "nothing is known at first");
	claim_with(d, TQ_DISARMED);
	claim_with(d, TQ_DISARMED);
	is_int(the_process.armed_calls, 1, "the process is told once");
	ok(!the_process.armed, "that the database is not armed");
	claim_with(d, TQ_ARMING_UNKNOWN);
	is_int(the_process.armed_calls, 1, "not when the store did not look");
	the_store.available = 1;
	claim_with(d, TQ_ARMING_UNKNOWN);
	is_int(the_process.armed_calls, 2, "but when it changes");
	ok(the_process.armed, "a task tells, too");
	tq_deliver_free(d);
}

int
main(void)
{
	port = server_start();
	test_slots();
	test_refill();
	test_refill_timing();
	test_claims_ahead();
	test_claims_ahead_large();
	test_real_answers();
	test_report_timing();
	store_in_use = &store_of_both;
	test_both();
	test_both_at_once();
	test_both_refused();
	test_both_limited();
	test_both_failing();
	store_in_use = &store;
	test_busy_results();
	test_when_to_claim();
	test_failing_report();
	test_failing_claim();
	test_extension();
	test_lost_lease();
	test_extension_of_results();
	test_drain();
	test_drain_of_failing_store();
	test_drain_waits();
	test_configure();
	test_hosts();
	test_full();
	test_long_wait();
	test_limited();
	test_refused_answer();
	test_refused_for_ever();
	test_refused_and_failing();
	test_refused_bare_and_failing();
	test_drain_of_refused();
	test_resent();
	test_no_descriptors();
	test_few_descriptors();
	test_idle_descriptors();
	test_put_off_too_long();
	test_descriptors_bound();
	test_arming();
	server_stop();
	return done();
}

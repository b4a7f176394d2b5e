/*
 * http.c
 *		HTTP requests on curl's multi-socket interface, resolved by resolve.c.
 *
 * An exchange is resolved, aimed at one vetted address with CONNECT_TO, and run;
 * when that address cannot be reached, the next one is tried.  The address is part of
 * what a connection is known by (links.h), so a connection to one address is never
 * reused for another.
 *
 * Exchanges stand in one of three lists: active (resolving or running), ready
 * (to be given to curl) and finished.  curl's and c-ares' callbacks write into
 * their exchange, into the epoll set or into timer_us, and do nothing else.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/http.h"
#include "core/interfaces.h"
#include "core/keepalive.h"
#include "core/links.h"
#include "core/shortage.h"
#include "core/transfer.h"

#define MAX_EVENTS 128 /* handled in one step; the rest stays readable */
#define MAX_KEPT   256 /* exchanges that have ended */

/*
 * curl ends a running exchange at its deadline.  If curl loses it, as it may when
 * memory runs out at the wrong moment, the exchange is ended here, so much later.
 */
#define GRACE_US 1000000

#define INTERFACES_EVERY_US 5000000

/*
 * libcurl tells of an answer's head and content, but not of what stands between chunks, or in TLS
 * between records, and reads that without a limit.  So it is counted from time to time how much
 * has come: this much more than head and content may have is too much.
 */
#define COUNT_RAW_EVERY_US 50000
#define RAW_PER_BYTE       8 /* one byte a chunk */
#define RAW_BESIDE         65536

/* Connections are closed when others are opened.  With nothing to do they are closed after this. */
#define CLOSE_IDLE_US 60000000

/* Somewhat above this limit curl itself breaks off, with an error that means something else. */
#define HARD_MAX_HEADERS (256 * 1024)

typedef struct exchange_list
{
	tq_exchange *first;
	tq_exchange *last;
} exchange_list;

/*
 * A socket in the epoll set.  One whose transfer has ended stays there until it is readable or
 * closed, so that the next transfer on it costs no call of the system.
 */
typedef struct watch
{
	uint32_t set;    /* its events in the epoll set; 0: it is not there */
	uint32_t wanted; /* by curl */
} watch;

struct tq_http
{
	int epfd;
	watch *watches; /* by descriptor */
	int nwatches;
	CURLM *multi;
	tq_resolver *resolver;
	tq_http_limits limits;
	char *ca_file; /* owned; NULL: the system's authorities */
	bool http2;
	tq_egress egress;      /* owned; exchanges and the resolver point to it */
	int64_t interfaces_us; /* when the machine's own addresses are read again; 0: never read */
	int64_t count_raw_us;  /* when received bytes are counted again */
	int64_t timer_us;      /* when curl wants to be called; -1: no timer */
	int64_t expire_us;     /* nothing expires before; -1: nothing is in flight */
	int64_t close_idle_us; /* when idle connections are closed; -1: something is in flight */
	exchange_list active;
	exchange_list ready;
	exchange_list finished;
	int inflight;   /* active and ready */
	bool unwatched; /* a socket of an active exchange is not in the epoll set */
	tq_links links;
	tq_urls urls;
	tq_keepalive keepalive;
	int options;       /* changes with what handles are set up with; never 0 */
	tq_exchange *kept; /* have ended, and are begun again */
	int nkept;
};

/* The earlier of two moments, of which -1 is never. */
static int64_t
sooner_if_any(int64_t a, int64_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static void
append(exchange_list *list, tq_exchange *x)
{
	x->next = NULL;
	x->prev = list->last;
	if (list->last != NULL)
		list->last->next = x;
	else
		list->first = x;
	list->last = x;
}

static void
unlink_from(exchange_list *list, tq_exchange *x)
{
	if (x->prev != NULL)
		x->prev->next = x->next;
	else
		list->first = x->next;
	if (x->next != NULL)
		x->next->prev = x->prev;
	else
		list->last = x->prev;
}

/* ---- exchanges that are begun again ----------------------------------------- */

/* NULL: out of memory. */
static tq_exchange *
take_exchange(tq_http *h, void *tag)
{
	tq_exchange *kept = h->kept;
	tq_exchange *next = kept != NULL ? kept->next : NULL;
	tq_exchange *x = tq_exchange_begin(kept, &h->limits, &h->egress, tag);

	if (x == NULL)
		return NULL;
	if (kept != NULL)
	{
		h->kept = next;
		h->nkept--;
	}
	x->http = h;
	return x;
}

static void
keep_exchange(tq_http *h, tq_exchange *x)
{
	if (h->nkept >= MAX_KEPT)
	{
		tq_exchange_free(x);
		return;
	}
	x->next = h->kept;
	h->kept = x;
	h->nkept++;
}

static void
forget_kept(tq_http *h)
{
	while (h->kept != NULL)
	{
		tq_exchange *x = h->kept;

		h->kept = x->next;
		tq_exchange_free(x);
	}
	h->nkept = 0;
	tq_urls_forget(&h->urls);
}

/* Makes the handle ready for the request.  False: out of memory. */
static bool
load_handle(tq_exchange *x)
{
	tq_http *h = x->http;

	if (x->easy == NULL)
		x->easy = curl_easy_init();
	else if (x->options != h->options)
		curl_easy_reset(x->easy);
	if (x->easy == NULL)
		return false;
	if (x->options != h->options && !tq_transfer_setup(x, h->ca_file))
		return false;
	x->options = h->options;
	return tq_transfer_load(x, h->http2);
}

/* ---- connections ---------------------------------------------------------- */

/* Gives the exchange a connection to the address at which it is aimed.  False: out of memory. */
static bool
take_link(tq_exchange *x, const struct sockaddr_storage *addr)
{
	x->link = tq_links_take(&x->http->links, x->url->host, x->url->port, addr, x->resent);
	return x->link != NULL;
}

/* The handle must not be with curl. */
static void
give_link(tq_exchange *x)
{
	tq_http *h = x->http;

	if (x->link == NULL)
		return;
	curl_easy_setopt(x->easy, CURLOPT_SHARE, NULL);
	x->link->received = tq_transfer_received(x);
	tq_links_give(&h->links, x->link,
				  tq_keepalive_idle_s(&h->keepalive, x->url->host, x->url->port));
	x->link = NULL;
}

/* ---- an exchange's way ---------------------------------------------------- */

/*
 * The exchange must be active or ready, and its handle not with curl.  A handle whose transfer did
 * not end well is set up again before its next one.
 */
static void
finish(tq_exchange *x)
{
	tq_http *h = x->http;

	unlink_from(x->phase == TQ_PHASE_READY ? &h->ready : &h->active, x);
	give_link(x);
	if (x->response->cls != TQ_CLASS_HTTP || x->resent)
		x->options = 0;
	x->lookup = NULL;
	x->phase = TQ_PHASE_FINISHED;
	x->response->elapsed_us = tq_clock_us() - x->submitted_us;
	x->response->begun = x->started || x->resent;
	if (--h->inflight == 0)
		h->close_idle_us = tq_clock_us() + CLOSE_IDLE_US;
	append(&h->finished, x);
}

static void
finish_early(tq_exchange *x, tq_class cls, const char *prefix, const char *reason)
{
	x->response->cls = cls;
	snprintf(x->response->error, sizeof(x->response->error), "%s%s", prefix,
			 reason != NULL ? reason : "");
	finish(x);
}

/* Names the port, which the URL need not show. */
static void
finish_denied(tq_exchange *x, const char *list)
{
	char prefix[64] = "URL is not allowed: ";

	if (strcmp(list, TQ_EGRESS_PORTS) == 0)
		snprintf(prefix, sizeof(prefix), "URL is not allowed: port %s is not on the ",
				 x->url->port);
	finish_early(x, TQ_CLASS_EGRESS_DENIED, prefix, list);
}

static void
finish_short(tq_exchange *x, int shortage)
{
	x->response->shortage = shortage;
	finish_early(x, TQ_CLASS_INTERNAL, tq_shortage_text(shortage), NULL);
}

static void
make_ready(tq_exchange *x)
{
	unlink_from(&x->http->active, x);
	x->phase = TQ_PHASE_READY;
	append(&x->http->ready, x);
}

/* Called by the resolver: only records. */
static void
record_addresses(void *arg, const tq_addresses *result)
{
	tq_exchange *x = arg;

	x->addresses.naddrs = result->naddrs;
	memcpy(x->addresses.addr, result->addr, result->naddrs * sizeof(result->addr[0]));
	x->addresses.failure = result->failure;
	x->addresses.reason = result->reason;
	x->addresses.shortage = result->shortage;
	x->lookup = NULL;
	x->response->times.dns_us = tq_clock_us() - x->submitted_us;
	make_ready(x);
}

/* Gives the exchange to curl, aimed at the next address. */
static bool
run(tq_exchange *x)
{
	tq_http *h = x->http;
	int64_t left_ms = (x->deadline_us - tq_clock_us() + 999) / 1000;
	const struct sockaddr_storage *addr = &x->addresses.addr[x->next_address++];

	if (!x->loaded && !load_handle(x))
		return false;
	if (!take_link(x, addr) || !tq_transfer_aim(x, left_ms > 0 ? left_ms : 1))
		return false;
	x->connected = x->opened = false;
	if (curl_multi_add_handle(h->multi, x->easy) != CURLM_OK)
		return false;
	unlink_from(&h->ready, x);
	x->phase = TQ_PHASE_RUNNING;
	append(&h->active, x);
	return true;
}

/* Runs the exchanges that the resolver, or a failed connect, has made ready. */
static void
start_ready(tq_http *h)
{
	while (h->ready.first != NULL)
	{
		tq_exchange *x = h->ready.first;
		const tq_addresses *a = &x->addresses;

		if (a->naddrs == 0 && a->shortage != 0)
			finish_short(x, a->shortage);
		else if (a->naddrs == 0 && a->failure == TQ_CLASS_EGRESS_DENIED)
			finish_early(x, a->failure, "address is not allowed: ", a->reason);
		else if (a->naddrs == 0)
			finish_early(x, a->failure, "could not resolve host: ", a->reason);
		else if (x->deadline_us <= tq_clock_us())
			finish_early(x, TQ_CLASS_TIMEOUT, "no connection in time", NULL);
		else if (!run(x))
			finish_short(x, ENOMEM);
	}
}

static void
note_keepalive(tq_exchange *x)
{
	char *value = tq_exchange_find_header(x, "Keep-Alive");
	int timeout_s = value != NULL ? tq_keepalive_timeout(value) : -1;

	if (timeout_s >= 0)
		tq_keepalive_note(&x->http->keepalive, x->url->host, x->url->port, timeout_s);
	free(value);
}

/* Whether a transfer that curl has ended goes on, and with which of the addresses. */
static bool
goes_on(tq_exchange *x, CURLcode code)
{
	if (tq_transfer_again(x, code))
	{
		x->next_address--;
		return true;
	}
	return tq_transfer_unreached(x, code) && x->next_address < x->addresses.naddrs;
}

/* curl has ended a transfer, with success or not. */
static void
take_result(tq_http *h, CURL *easy, CURLcode code)
{
	char *private = NULL;
	tq_exchange *x;
	bool time_is_up;
	int shortage;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
	curl_multi_remove_handle(h->multi, easy);
	x = (tq_exchange *) private;
	time_is_up = x->deadline_us <= tq_clock_us();
	shortage = tq_transfer_shortage(x, code);
	if (shortage != 0)
	{
		finish_short(x, shortage);
		return;
	}
	if (!time_is_up && goes_on(x, code))
	{
		give_link(x);
		make_ready(x);
		return;
	}
	note_keepalive(x);
	tq_transfer_conclude(x, code, time_is_up);
	finish(x);
}

static void
take_results(tq_http *h)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(h->multi, &left)) != NULL)
		if (msg->msg == CURLMSG_DONE)
			take_result(h, msg->easy_handle, msg->data.result);
}

static int64_t
expiry(const tq_exchange *x)
{
	return x->deadline_us + (x->phase == TQ_PHASE_RESOLVING ? 0 : GRACE_US);
}

/* Ends an active exchange before its time. */
static void
break_off(tq_exchange *x, tq_class cls, const char *reason)
{
	if (x->phase == TQ_PHASE_RESOLVING)
		tq_resolve_cancel(x->http->resolver, x->lookup);
	else
		curl_multi_remove_handle(x->http->multi, x->easy);
	finish_early(x, cls, reason, NULL);
}

static void
expire(tq_http *h)
{
	int64_t now = tq_clock_us();
	tq_exchange *x;
	tq_exchange *next;

	if (h->expire_us < 0 || h->expire_us > now)
		return;
	h->expire_us = -1;
	for (x = h->active.first; x != NULL; x = next)
	{
		next = x->next;
		if (expiry(x) > now)
			h->expire_us = sooner_if_any(h->expire_us, expiry(x));
		else if (x->phase == TQ_PHASE_RESOLVING)
			break_off(x, TQ_CLASS_TIMEOUT, "host was not resolved in time");
		else
			break_off(x, TQ_CLASS_TIMEOUT, "no complete answer in time");
	}
}

static bool
is_flooded(tq_exchange *x)
{
	int64_t limit = RAW_BESIDE + (int64_t) x->limits.max_headers +
					RAW_PER_BYTE * (int64_t) x->limits.max_response;
	int64_t received = x->started ? tq_link_received(x->link, false) : -1;

	if (received >= 0 && x->raw_from < 0)
		x->raw_from = received;
	return received > x->raw_from + limit;
}

/* Ends the exchanges whose receivers send without an end what is neither head nor content. */
static void
end_flooded(tq_http *h)
{
	int64_t now = tq_clock_us();
	tq_exchange *x;
	tq_exchange *next;

	if (now < h->count_raw_us)
		return;
	h->count_raw_us = now + COUNT_RAW_EVERY_US;
	for (x = h->active.first; x != NULL; x = next)
	{
		next = x->next;
		if (x->phase != TQ_PHASE_RUNNING || now - x->submitted_us <= COUNT_RAW_EVERY_US ||
			!is_flooded(x))
			continue;
		/* For some answers it is chance whether curl ends them before. */
		x->response->status = tq_transfer_status(x);
		break_off(x, TQ_CLASS_TOO_LARGE, "answer is much longer than its content");
	}
}

/* Ends the exchanges whose sockets could not be put into the epoll set. */
static void
end_unwatched(tq_http *h)
{
	tq_exchange *x;
	tq_exchange *next;

	for (x = h->active.first; h->unwatched && x != NULL; x = next)
	{
		next = x->next;
		if (x->phase != TQ_PHASE_RUNNING || x->shortage == 0)
			continue;
		if (!x->started)
			x->response->shortage = x->shortage;
		break_off(x, TQ_CLASS_INTERNAL, tq_shortage_text(x->shortage));
	}
	h->unwatched = false;
}

/* ---- curl's callbacks: they record ---------------------------------------- */

/* False: out of memory. */
static bool
make_watches(tq_http *h, int n)
{
	watch *watches;

	if (n <= h->nwatches)
		return true;
	n += 64;
	watches = realloc(h->watches, n * sizeof(*watches));
	if (watches == NULL)
		return false;
	memset(watches + h->nwatches, 0, (n - h->nwatches) * sizeof(*watches));
	h->watches = watches;
	h->nwatches = n;
	return true;
}

/* is_new: an older socket with this number was closed, and so is not in the set any more. */
static bool
watch_socket(tq_http *h, int fd, uint32_t events, bool is_new)
{
	struct epoll_event ev = {.events = events, .data.u64 = (uint64_t) fd};
	watch *w;
	int op;

	if (!make_watches(h, fd + 1))
	{
		errno = ENOMEM;
		return false;
	}
	w = &h->watches[fd];
	if (is_new)
		w->set = 0;
	w->wanted = events;
	if (w->set == events)
		return true;
	op = w->set != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	if (epoll_ctl(h->epfd, op, fd, &ev) != 0)
		return false;
	w->set = events;
	return true;
}

/* Takes a socket that nothing waits for out of the set: its peer has closed it, or is about to. */
static void
unwatch_socket(tq_http *h, int fd)
{
	epoll_ctl(h->epfd, EPOLL_CTL_DEL, fd, NULL);
	h->watches[fd].set = 0;
}

/*
 * A failure is not told to curl, which would give up every transfer for it: the exchange is ended
 * by itself, see end_unwatched().
 */
static int
socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	tq_http *h = arg;
	char *private = NULL;
	tq_exchange *x;
	uint32_t events;

	(void) unused;
	/* curl has handles of its own, which belong to no exchange. */
	(void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
	x = (tq_exchange *) private;
	if (what == CURL_POLL_REMOVE)
	{
		if (fd < h->nwatches)
			h->watches[fd].wanted = 0;
		return 0;
	}
	events = ((what & CURL_POLL_IN) ? EPOLLIN : 0) | ((what & CURL_POLL_OUT) ? EPOLLOUT : 0);
	if (x != NULL && (what & CURL_POLL_IN))
		x->connected = true;
	if (!watch_socket(h, fd, events, x != NULL && tq_link_is_new(x->link, fd)) && x != NULL)
	{
		x->shortage = tq_shortage_of(errno) != 0 ? errno : ENOMEM;
		h->unwatched = true;
	}
	return 0;
}

static int
timer_wanted(CURLM *multi, long timeout_ms, void *arg)
{
	tq_http *h = arg;

	(void) multi;
	h->timer_us = timeout_ms < 0 ? -1 : tq_clock_us() + (int64_t) timeout_ms * 1000;
	return 0;
}

/* ---- the engine ----------------------------------------------------------- */

/*
 * Once in a process, and never undone, because other code may use curl as well.
 * libcurl reads SSLKEYLOGFILE here, and would write session keys to that file.
 */
static bool
init_curl(void)
{
	static bool done = false;

	if (!done)
	{
		unsetenv("SSLKEYLOGFILE");
		done = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	}
	return done;
}

/* NULL: out of memory. */
static CURLM *
new_multi(tq_http *h)
{
	CURLM *multi = curl_multi_init();
	CURLMcode code = CURLM_OK;

	if (multi == NULL)
		return NULL;
	code |= curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
	code |= curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, h);
	code |= curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
	code |= curl_multi_setopt(multi, CURLMOPT_TIMERDATA, h);
	code |= curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	code |= curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 1L); /* in the cache of one link */
	if (code == CURLM_OK)
		return multi;
	curl_multi_cleanup(multi);
	return NULL;
}

static bool
open_parts(tq_http *h)
{
	h->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (h->epfd < 0)
		return false;
	h->multi = new_multi(h);
	h->resolver = tq_resolver_new(h->epfd);
	if (h->multi == NULL || h->resolver == NULL)
		return false;
	tq_resolver_set_egress(h->resolver, &h->egress);
	return true;
}

tq_http *
tq_http_new(const tq_http_limits *limits)
{
	tq_http *h;

	if (!init_curl())
		return NULL;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return NULL;
	h->epfd = -1;
	h->options = 1;
	h->timer_us = -1;
	h->expire_us = -1;
	h->close_idle_us = -1;
	tq_http_set_limits(h, limits);
	if (!open_parts(h))
	{
		tq_http_free(h);
		return NULL;
	}
	return h;
}

void
tq_http_set_limits(tq_http *h, const tq_http_limits *limits)
{
	h->limits = *limits;
	if (h->limits.max_headers > HARD_MAX_HEADERS)
		h->limits.max_headers = HARD_MAX_HEADERS;
}

bool
tq_http_set_egress(tq_http *h, const tq_egress *e)
{
	static const tq_egress none = {0};

	return tq_egress_copy(&h->egress, e != NULL ? e : &none);
}

bool
tq_http_set_ca_file(tq_http *h, const char *path)
{
	char *copy = NULL;

	if (path != NULL && *path != '\0')
	{
		copy = strdup(path);
		if (copy == NULL)
			return false;
	}
	free(h->ca_file);
	h->ca_file = copy;
	h->options++;
	return true;
}

void
tq_http_set_http2(tq_http *h, bool http2)
{
	h->http2 = http2;
}

void
tq_http_set_max_connections(tq_http *h, int max)
{
	tq_links_set_max(&h->links, max);
}

void
tq_http_close_idle(tq_http *h)
{
	tq_links_close_idle(&h->links);
	forget_kept(h);
}

bool
tq_http_set_servers(tq_http *h, const char *servers)
{
	return tq_resolver_set_servers(h->resolver, servers);
}

/* curl has milliseconds in an int, which is enough for 24 days. */
static int64_t
clamp_timeout(int64_t timeout_ms)
{
	if (timeout_ms < 0)
		return 0;
	return timeout_ms < INT_MAX ? timeout_ms : INT_MAX;
}

/*
 * Reads them again from time to time: interfaces come and go while the process runs.
 * Returns the shortage because of which they were never read, as an error number; 0: none.
 */
static int
know_own_addresses(tq_http *h)
{
	int64_t now = tq_clock_us();

	if (now < h->interfaces_us)
		return 0;
	if (!tq_interfaces_read(&h->egress) && tq_shortage_of(errno) != 0)
		return h->interfaces_us == 0 ? errno : 0;
	h->interfaces_us = now + INTERFACES_EVERY_US;
	return 0;
}

bool
tq_http_submit(tq_http *h, const tq_request *request, void *tag)
{
	tq_exchange *x = take_exchange(h, tag);
	const char *problem;
	const char *denied;
	int shortage;

	if (x == NULL)
		return false;
	x->submitted_us = tq_clock_us();
	x->deadline_us = x->submitted_us + clamp_timeout(request->timeout_ms) * 1000;
	append(&h->active, x);
	h->inflight++;
	h->close_idle_us = -1;
	h->expire_us = sooner_if_any(h->expire_us, expiry(x));

	shortage = know_own_addresses(h);
	problem = tq_exchange_prepare(x, &h->urls, request);
	denied = problem == NULL ? tq_egress_url_denied(&h->egress, x->url->host, x->url->port) : NULL;
	if (problem == tq_out_of_memory)
		finish_short(x, ENOMEM);
	else if (problem != NULL)
		finish_early(x, TQ_CLASS_INVALID, problem, NULL);
	else if (denied != NULL)
		finish_denied(x, denied);
	else if (shortage != 0)
		finish_short(x, shortage);
	else if (!tq_resolve(h->resolver, x->url->host, record_addresses, x, &x->lookup))
		finish_short(x, ENOMEM);
	start_ready(h);
	return true;
}

bool
tq_http_cancel(tq_http *h, void *tag)
{
	tq_exchange *x = h->active.first;

	while (x != NULL && x->response->tag != tag)
		x = x->next;
	if (x == NULL)
		return false;
	break_off(x, TQ_CLASS_CANCELLED, "given up");
	return true;
}

int
tq_http_inflight(const tq_http *h)
{
	return h->inflight;
}

int
tq_http_fd(const tq_http *h)
{
	return h->epfd;
}

int64_t
tq_http_timeout(tq_http *h)
{
	int64_t own_us = h->inflight > 0 ? h->expire_us : h->close_idle_us;
	int64_t until_us = sooner_if_any(h->timer_us, own_us);
	int64_t timeout = -1;

	if (h->finished.first != NULL || h->ready.first != NULL)
		return 0;
	if (until_us >= 0)
	{
		int64_t left = until_us - tq_clock_us();

		timeout = left > 0 ? (left + 999) / 1000 : 0;
	}
	return sooner_if_any(timeout, tq_resolver_timeout(h->resolver));
}

static void
handle_events(tq_http *h)
{
	struct epoll_event events[MAX_EVENTS];
	int n = epoll_wait(h->epfd, events, MAX_EVENTS, 0);
	int running;
	int i;

	for (i = 0; i < n; i++)
	{
		int fd = (int) (events[i].data.u64 & UINT32_MAX);
		uint32_t happened = events[i].events;
		int mask = 0;

		if (events[i].data.u64 & TQ_RESOLVE_TAG)
		{
			tq_resolver_step(h->resolver, fd, happened);
			continue;
		}
		if (h->watches[fd].wanted == 0)
		{
			unwatch_socket(h, fd);
			continue;
		}
		if (happened & (EPOLLIN | EPOLLHUP))
			mask |= CURL_CSELECT_IN;
		if (happened & EPOLLOUT)
			mask |= CURL_CSELECT_OUT;
		if (happened & EPOLLERR)
			mask |= CURL_CSELECT_ERR;
		curl_multi_socket_action(h->multi, fd, mask, &running);
	}
}

static void
handle_timers(tq_http *h)
{
	int running;

	if (h->timer_us >= 0 && h->timer_us <= tq_clock_us())
	{
		h->timer_us = -1;
		curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	if (tq_resolver_timeout(h->resolver) == 0)
		tq_resolver_step(h->resolver, -1, 0);
	expire(h);
	if (h->close_idle_us >= 0 && h->close_idle_us <= tq_clock_us())
	{
		h->close_idle_us = -1;
		tq_http_close_idle(h);
	}
}

void
tq_http_step(tq_http *h)
{
	handle_events(h);
	handle_timers(h);
	take_results(h);
	end_flooded(h);
	end_unwatched(h);
	start_ready(h);
}

tq_response *
tq_http_next_finished(tq_http *h)
{
	tq_exchange *x = h->finished.first;
	tq_response *response;

	if (x == NULL)
		return NULL;
	unlink_from(&h->finished, x);
	response = tq_exchange_end(x);
	keep_exchange(h, x);
	return response;
}

static void
drop_list(tq_http *h, exchange_list *list)
{
	while (list->first != NULL)
	{
		tq_exchange *x = list->first;

		unlink_from(list, x);
		if (x->phase == TQ_PHASE_RUNNING)
			curl_multi_remove_handle(h->multi, x->easy);
		give_link(x);
		if (x->lookup != NULL)
			tq_resolve_cancel(h->resolver, x->lookup);
		tq_exchange_free(x);
	}
}

void
tq_http_free(tq_http *h)
{
	drop_list(h, &h->active);
	drop_list(h, &h->ready);
	drop_list(h, &h->finished);
	tq_http_close_idle(h);
	if (h->multi != NULL)
		curl_multi_cleanup(h->multi);
	if (h->resolver != NULL)
		tq_resolver_free(h->resolver);
	tq_egress_free(&h->egress);
	free(h->ca_file);
	free(h->watches);
	if (h->epfd >= 0)
		close(h->epfd);
	free(h);
}

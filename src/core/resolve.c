/*
 * resolve.c
 *		Names to vetted addresses, with c-ares in the caller's epoll set.
 *
 * A query is one name that is being looked up; any number of waiters share it.
 * c-ares cannot give up a single query, so a query whose waiters have all
 * left, or whose time is up, stays with c-ares until c-ares ends it.  It is an orphan
 * then; the number of queries is bounded, orphans included.
 *
 * c-ares may call back from within ares_getaddrinfo() and ares_destroy(), so
 * its callback writes into the query and nothing else; the waiters' callbacks are
 * called when c-ares has returned.
 *
 * A file or a socket that c-ares cannot open is for c-ares one that is not there: the
 * name would seem not to exist.  So it is asked nothing while no descriptor is free.
 */
#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "core/clock.h"
#include "core/resolve.h"
#include "core/shortage.h"

#define RESOLV_CONF          "/etc/resolv.conf"
#define RESOLV_CONF_CHECK_MS 5000

#define QUERY_TIMEOUT_MS  5000 /* one name, all servers and tries together */
#define SERVER_TIMEOUT_MS 1000 /* first try of one server; doubled for the second */
/* Since 1.30 c-ares learns how fast a server is, and may begin with 250 ms. */
#define SERVER_TRIES (ARES_VERSION >= 0x011e00 ? 4 : 2)
#define MAX_QUERIES  1024

#define CACHE_SLOTS    256 /* a power of two */
#define CACHE_MAX_MS   60000
#define CACHE_LOCAL_MS 1000 /* answers from the hosts file, which have no TTL */

typedef struct waiter
{
	struct waiter *prev;
	struct waiter *next;
	struct query *query;
	tq_resolved callback;
	void *arg;
} waiter;

typedef struct answer
{
	int status;   /* c-ares' */
	int shortage; /* error number: what the machine lacked; 0: nothing */
	int ttl;      /* seconds; of the shortest-lived address */
	int naddrs;
	struct sockaddr_storage addr[TQ_MAX_ADDRESSES];
} answer;

typedef struct query
{
	struct query *prev;
	struct query *next;
	int64_t deadline_ms;
	bool ended;  /* c-ares has called back; answer is valid */
	bool orphan; /* no waiter may join it any more */
	waiter *waiters;
	answer answer;
	char host[TQ_MAX_HOST + 1];
} query;

typedef struct cached
{
	char *host; /* NULL: slot is free */
	int64_t expires_ms;
	answer answer;
} cached;

struct tq_resolver
{
	int epfd;
	const tq_egress *egress;
	ares_channel channel; /* NULL until the first name, or when c-ares failed */
	bool own_servers;     /* set by tq_resolver_set_servers() */
	struct stat conf;     /* resolv.conf as the channel has read it */
	int64_t conf_checked_ms;
	query *first; /* ordered by deadline: all have the same time */
	query *last;
	int nqueries;
	int unwatched; /* error number: why a socket of c-ares is not in the epoll set; 0: all are */
	cached cache[CACHE_SLOTS];
};

/* ---- answers -------------------------------------------------------------- */

static void
add_address(answer *a, const struct sockaddr *addr)
{
	size_t len;

	if (a->naddrs >= TQ_MAX_ADDRESSES)
		return;
	if (addr->sa_family == AF_INET)
		len = sizeof(struct sockaddr_in);
	else if (addr->sa_family == AF_INET6)
		len = sizeof(struct sockaddr_in6);
	else
		return;
	memcpy(&a->addr[a->naddrs++], addr, len);
}

/* Fills in what one waiter is told: the addresses that the present rules allow. */
static void
vet(const tq_resolver *r, const answer *a, tq_addresses *result)
{
	const char *rule = NULL;
	int i;

	result->naddrs = 0;
	result->shortage = a->shortage;
	for (i = 0; i < a->naddrs; i++)
	{
		const char *denied = tq_egress_denied(r->egress, (const struct sockaddr *) &a->addr[i]);

		if (denied == NULL)
			result->addr[result->naddrs++] = a->addr[i];
		else if (rule == NULL)
			rule = denied;
	}

	if (rule != NULL)
	{
		result->failure = TQ_CLASS_EGRESS_DENIED;
		result->reason = rule;
	}
	else if (a->shortage != 0)
	{
		result->failure = TQ_CLASS_INTERNAL;
		result->reason = tq_shortage_text(a->shortage);
	}
	else if (a->status == ARES_SUCCESS)
	{
		result->failure = TQ_CLASS_DNS;
		result->reason = "name has no address";
	}
	else
	{
		result->failure = a->status == ARES_ETIMEOUT ? TQ_CLASS_TIMEOUT : TQ_CLASS_DNS;
		result->reason = ares_strerror(a->status);
	}
}

static void
tell(const tq_resolver *r, const answer *a, tq_resolved callback, void *arg)
{
	tq_addresses result;

	vet(r, a, &result);
	callback(arg, &result);
}

static bool
is_literal(const char *host, answer *a)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	memset(a, 0, sizeof(*a));
	a->status = ARES_SUCCESS;
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		add_address(a, (const struct sockaddr *) &v4);
	else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
		add_address(a, (const struct sockaddr *) &v6);
	return a->naddrs > 0;
}

/* ---- cache: one slot a hash value, the newer name wins -------------------- */

static cached *
cache_slot(tq_resolver *r, const char *host)
{
	uint32_t hash = 2166136261u;

	for (; *host != '\0'; host++)
	{
		unsigned char c = (unsigned char) *host;

		hash = (hash ^ (c >= 'A' && c <= 'Z' ? c + 32u : c)) * 16777619u;
	}
	return &r->cache[(hash ^ (hash >> 16)) & (CACHE_SLOTS - 1)];
}

static const answer *
cache_find(tq_resolver *r, const char *host)
{
	cached *slot = cache_slot(r, host);

	if (slot->host == NULL || strcasecmp(slot->host, host) != 0)
		return NULL;
	return slot->expires_ms > tq_clock_ms() ? &slot->answer : NULL;
}

static void
cache_store(tq_resolver *r, const char *host, const answer *a, bool local)
{
	cached *slot = cache_slot(r, host);
	int64_t keep = local ? CACHE_LOCAL_MS : (int64_t) a->ttl * 1000;

	if (a->status != ARES_SUCCESS || a->naddrs == 0 || keep <= 0)
		return;
	free(slot->host);
	slot->host = strdup(host);
	slot->expires_ms = tq_clock_ms() + (keep < CACHE_MAX_MS ? keep : CACHE_MAX_MS);
	slot->answer = *a;
}

static void
cache_clear(tq_resolver *r)
{
	int i;

	for (i = 0; i < CACHE_SLOTS; i++)
	{
		free(r->cache[i].host);
		r->cache[i].host = NULL;
	}
}

/* ---- the channel ---------------------------------------------------------- */

/* c-ares tells about each socket before it closes it. */
static void
socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
	tq_resolver *r = data;
	struct epoll_event ev = {0};

	ev.data.u64 = (uint64_t) fd | TQ_RESOLVE_TAG;
	ev.events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);
	if (ev.events == 0)
		epoll_ctl(r->epfd, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(r->epfd, EPOLL_CTL_MOD, fd, &ev) != 0 &&
			 epoll_ctl(r->epfd, EPOLL_CTL_ADD, fd, &ev) != 0)
		r->unwatched = tq_shortage_of(errno);
}

static int
open_channel(tq_resolver *r)
{
	struct ares_options options = {0};
	char lookups[] = "fb";
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
			   ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
	int status;

	options.flags = ARES_FLAG_NOALIASES; /* no HOSTALIASES of the environment */
	options.timeout = SERVER_TIMEOUT_MS;
	options.tries = SERVER_TRIES;
	options.lookups = lookups;
	options.sock_state_cb = socket_state;
	options.sock_state_cb_data = r;
#ifdef ARES_OPT_QUERY_CACHE
	options.qcache_max_ttl = 0; /* one cache is enough */
	mask |= ARES_OPT_QUERY_CACHE;
#endif
	status = ares_init_options(&r->channel, &options, mask);
	if (status != ARES_SUCCESS)
		r->channel = NULL;
	return status;
}

/*
 * Opens the channel, or opens it anew when resolv.conf has changed: the process may
 * outlive many networks.  While a query is under way the channel stays as it is.
 * Returns c-ares' status.
 */
static int
ensure_channel(tq_resolver *r)
{
	int64_t now = tq_clock_ms();
	struct stat st;

	if (r->channel != NULL &&
		(r->own_servers || r->nqueries > 0 || now - r->conf_checked_ms < RESOLV_CONF_CHECK_MS))
		return ARES_SUCCESS;

	if (stat(RESOLV_CONF, &st) != 0)
		memset(&st, 0, sizeof(st));
	r->conf_checked_ms = now;
	if (r->channel != NULL && st.st_ino == r->conf.st_ino && st.st_size == r->conf.st_size &&
		st.st_mtim.tv_sec == r->conf.st_mtim.tv_sec &&
		st.st_mtim.tv_nsec == r->conf.st_mtim.tv_nsec)
		return ARES_SUCCESS;

	r->conf = st;
	if (r->channel != NULL)
		ares_destroy(r->channel);
	return open_channel(r);
}

/* ---- queries -------------------------------------------------------------- */

/* Called by c-ares, perhaps before ares_getaddrinfo() has returned: only records. */
static void
query_ended(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	query *q = arg;
	struct ares_addrinfo_node *node;

	(void) timeouts;
	q->ended = true;
	q->answer.status = status;
	q->answer.ttl = CACHE_MAX_MS / 1000;
	if (info == NULL)
		return;
	for (node = info->nodes; node != NULL; node = node->ai_next)
	{
		add_address(&q->answer, node->ai_addr);
		if (node->ai_ttl < q->answer.ttl)
			q->answer.ttl = node->ai_ttl;
	}
	ares_freeaddrinfo(info);
}

/* Notes what the machine lacked, if that is why there is no answer. */
static void
find_shortage(tq_resolver *r, answer *a)
{
	if (a->status == ARES_ENOMEM)
		a->shortage = ENOMEM;
	else if (a->status == ARES_ETIMEOUT && r->unwatched != 0)
		a->shortage = r->unwatched;
	else if (a->status == ARES_ECONNREFUSED || a->status == ARES_ETIMEOUT ||
			 a->status == ARES_EFILE)
		a->shortage = tq_shortage_of_descriptors();
	else
		r->unwatched = 0;
}

static query *
new_query(tq_resolver *r, const char *host)
{
	query *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	strcpy(q->host, host);
	q->deadline_ms = tq_clock_ms() + QUERY_TIMEOUT_MS;
	q->prev = r->last;
	if (r->last != NULL)
		r->last->next = q;
	else
		r->first = q;
	r->last = q;
	r->nqueries++;
	return q;
}

/* The query must have no waiters. */
static void
free_query(tq_resolver *r, query *q)
{
	if (q->prev != NULL)
		q->prev->next = q->next;
	else
		r->first = q->next;
	if (q->next != NULL)
		q->next->prev = q->prev;
	else
		r->last = q->prev;
	r->nqueries--;
	free(q);
}

static query *
find_query(const tq_resolver *r, const char *host)
{
	query *q;

	for (q = r->first; q != NULL; q = q->next)
		if (!q->orphan && strcasecmp(q->host, host) == 0)
			return q;
	return NULL;
}

static void
start_query(tq_resolver *r, query *q)
{
	struct ares_addrinfo_hints hints = {0};

	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	ares_getaddrinfo(r->channel, q->host, NULL, &hints, query_ended, q);
}

static void
remove_waiter(waiter *w)
{
	if (w->prev != NULL)
		w->prev->next = w->next;
	else
		w->query->waiters = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	free(w);
}

static bool
add_waiter(query *q, tq_resolved callback, void *arg, void **handle)
{
	waiter *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return false;
	w->query = q;
	w->callback = callback;
	w->arg = arg;
	w->next = q->waiters;
	if (w->next != NULL)
		w->next->prev = w;
	q->waiters = w;
	*handle = w;
	return true;
}

/* Tells all that wait for q the answer. */
static void
tell_waiters(tq_resolver *r, query *q, const answer *a)
{
	while (q->waiters != NULL)
	{
		tq_resolved callback = q->waiters->callback;
		void *arg = q->waiters->arg;

		remove_waiter(q->waiters);
		tell(r, a, callback, arg);
	}
}

/* Reports and frees queries that have ended; gives up those that take too long. */
static void
reap(tq_resolver *r)
{
	int64_t now = tq_clock_ms();
	query *q;
	query *next;

	for (q = r->first; q != NULL; q = next)
	{
		next = q->next;
		if (q->ended)
		{
			find_shortage(r, &q->answer);
			cache_store(r, q->host, &q->answer, false);
			tell_waiters(r, q, &q->answer);
			free_query(r, q);
		}
		else if (q->deadline_ms <= now)
		{
			answer late = {.status = ARES_ETIMEOUT};

			q->orphan = true;
			find_shortage(r, &late);
			tell_waiters(r, q, &late);
		}
	}
}

/* A look-up for which a query is needed. */
static bool
ask(tq_resolver *r, const char *host, tq_resolved callback, void *arg, void **handle)
{
	query *q = new_query(r, host);

	if (q == NULL)
		return false;
	if (!add_waiter(q, callback, arg, handle))
	{
		free_query(r, q);
		return false;
	}
	start_query(r, q);
	if (q->ended)
	{
		/* Answered without a server: from the hosts file, or the name is impossible. */
		*handle = NULL;
		find_shortage(r, &q->answer);
		cache_store(r, host, &q->answer, true);
		tell_waiters(r, q, &q->answer);
		free_query(r, q);
	}
	return true;
}

bool
tq_resolve(tq_resolver *r, const char *host, tq_resolved callback, void *arg, void **handle)
{
	const answer *known;
	answer literal;
	tq_addresses failed = {.failure = TQ_CLASS_DNS};
	query *q;
	int status;

	*handle = NULL;
	known = is_literal(host, &literal) ? &literal : cache_find(r, host);
	if (known != NULL)
	{
		tell(r, known, callback, arg);
		return true;
	}

	q = find_query(r, host);
	if (q != NULL)
		return add_waiter(q, callback, arg, handle);

	if (strlen(host) > TQ_MAX_HOST)
		failed.reason = "name is too long";
	else if (r->nqueries >= MAX_QUERIES)
		failed.reason = "too many look-ups under way";
	else if ((failed.shortage = tq_shortage_of_descriptors()) != 0)
	{
		failed.failure = TQ_CLASS_INTERNAL;
		failed.reason = tq_shortage_text(failed.shortage);
	}
	else if ((status = ensure_channel(r)) != ARES_SUCCESS)
		failed.reason = ares_strerror(status);
	if (failed.reason == NULL)
		return ask(r, host, callback, arg, handle);
	callback(arg, &failed);
	return true;
}

void
tq_resolve_cancel(tq_resolver *r, void *handle)
{
	(void) r;
	remove_waiter(handle);
}

void
tq_resolver_step(tq_resolver *r, int fd, uint32_t epoll_events)
{
	ares_socket_t readable = ARES_SOCKET_BAD;
	ares_socket_t writable = ARES_SOCKET_BAD;

	if (r->channel == NULL)
		return;
	if (fd >= 0 && epoll_events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		readable = fd;
	if (fd >= 0 && epoll_events & (EPOLLOUT | EPOLLERR))
		writable = fd;
	ares_process_fd(r->channel, readable, writable);
	reap(r);
}

int64_t
tq_resolver_timeout(tq_resolver *r)
{
	struct timeval tv;
	int64_t timeout = -1;
	const query *q;

	if (r->channel == NULL || r->nqueries == 0)
		return -1;
	if (ares_timeout(r->channel, NULL, &tv) != NULL)
		timeout = (int64_t) tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000;

	for (q = r->first; q != NULL && q->orphan; q = q->next)
		;
	if (q != NULL)
	{
		int64_t left = q->deadline_ms - tq_clock_ms();

		if (left < 0)
			left = 0;
		if (timeout < 0 || left < timeout)
			timeout = left;
	}
	return timeout;
}

tq_resolver *
tq_resolver_new(int epfd)
{
	tq_resolver *r = calloc(1, sizeof(*r));

	if (r != NULL)
		r->epfd = epfd;
	return r;
}

void
tq_resolver_set_egress(tq_resolver *r, const tq_egress *e)
{
	r->egress = e;
}

bool
tq_resolver_set_servers(tq_resolver *r, const char *servers)
{
	if (r->nqueries > 0 || (r->channel == NULL && open_channel(r) != ARES_SUCCESS))
		return false;
	if (ares_set_servers_ports_csv(r->channel, servers) != ARES_SUCCESS)
		return false;
	r->own_servers = true;
	cache_clear(r);
	return true;
}

void
tq_resolver_free(tq_resolver *r)
{
	if (r->channel != NULL)
		ares_destroy(r->channel);
	while (r->first != NULL)
	{
		while (r->first->waiters != NULL)
			remove_waiter(r->first->waiters);
		free_query(r, r->first);
	}
	cache_clear(r);
	free(r);
}

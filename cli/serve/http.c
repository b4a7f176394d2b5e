/*
 * http.c
 *		Requests in, answers out: the only file that knows libmicrohttpd.
 *
 * The library has no thread here and no listening socket: connections are accepted in this file,
 * so that it can say how many there may be, and stop taking them.  A connection that waits for its
 * answer is suspended: the library does not look at it, so it does not notice either when the peer
 * goes away.  Such a descriptor may be in an epoll set of our own, which tells.
 *
 * The library knows how long a connection was idle, not how long a request takes to arrive.  So a
 * list of all connections is looked through once a second, and what is too slow is shut down.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/serve/http.h"
#include "cli/serve/rejected.h"
#include "core/clock.h"

#define MAX_CONNECTIONS  512    /* beside those that wait */
#define MAX_AT_ALL       102400 /* for the library */
#define MAX_TARGET       8192
#define MAX_HEADERS      100
#define MAX_HEADER_BYTES 16384
#define POOL_BYTES       65536 /* of the library, for head and body of a connection */
#define IDLE_S           75
#define HEAD_MS          10000
#define BODY_MS          30000
#define KEEP_IDLE_S      10 /* then the peer is probed */
#define KEEP_INTERVAL_S  5
#define KEEP_PROBES      2 /* so many without an answer end the connection */
#define LOOK_MS          1000
#define MAX_EVENTS       64
#define DRAIN_BYTES      65536
#define STREAM_BYTES     16384

#define TOO_LARGE                                                                               \
	"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Type: application/json\r\n" \
	"Content-Length: 54\r\n\r\n{\"status\":\"error\",\"reason\":\"the request is too large\"}\n"

/* What is awaited of a connection; it goes round. */
typedef enum phase
{
	PHASE_IDLE, /* a request */
	PHASE_HEAD, /* the rest of its head */
	PHASE_BODY, /* the rest of its body */
	PHASE_BUSY  /* the answer, and that the client reads it */
} phase;

typedef struct Link
{
	struct Link *previous;
	struct Link *next;
	int fd;
	phase phase;
	int64_t until_ms; /* when the phase must be over; BUSY: never */
} Link;

struct http_server
{
	struct MHD_Daemon *daemon;
	const http_handlers *handlers;
	int sockets[HTTP_MAX_SOCKETS]; /* nsockets */
	int nsockets;
	int daemon_fd;
	int watch_fd;
	bool behind_proxy;
	bool quiet;   /* takes no connection */
	bool resumed; /* the library has something to do */
	Link links;   /* head of the ring */
	int nlinks;
	int nwatched;
	int nrequests;
	int64_t look_at_ms;
	int64_t accept_at_ms; /* takes no connection before */
};

typedef struct Memory
{
	struct Memory *next;
} Memory;

typedef struct Header
{
	struct Header *next;
	const char *name;
	const char *value;
} Header;

struct http_private
{
	http_request request;
	http_server *server;
	struct MHD_Connection *connection;
	Link *link;
	Memory *memory;
	Header *headers; /* of the answer */
	struct MHD_Response *response;
	size_t limit; /* of the body */
	bool begun;   /* begin() was called */
	bool handled; /* handle() was called */
	bool suspended;
	bool watched;

	/* Of an answer that goes on. */
	tq_buffer unsent;
	size_t taken; /* so many of its bytes are sent */
	bool open;    /* more is to come */
};

/* ---- memory of a request --------------------------------------------------------- */

void *
http_alloc(http_request *r, size_t size)
{
	Memory *m = malloc(sizeof(*m) + size);

	if (m == NULL)
		return NULL;
	m->next = r->private->memory;
	r->private->memory = m;
	return m + 1;
}

char *
http_copy(http_request *r, const char *text, size_t len)
{
	char *copy = http_alloc(r, len + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

static void
free_request(struct http_private *p)
{
	while (p->memory != NULL)
	{
		Memory *m = p->memory;

		p->memory = m->next;
		free(m);
	}
	if (p->response != NULL)
		MHD_destroy_response(p->response);
	tq_buffer_free(&p->request.body);
	tq_buffer_free(&p->unsent);
	free(p);
}

/* ---- answers --------------------------------------------------------------------- */

void
http_add(http_request *r, const char *name, const char *value)
{
	Header *h = http_alloc(r, sizeof(*h));

	if (h == NULL)
		return;
	h->name = http_copy(r, name, strlen(name));
	h->value = http_copy(r, value, strlen(value));
	h->next = r->private->headers;
	if (h->name != NULL && h->value != NULL)
		r->private->headers = h;
}

static void
unwatch(struct http_private *p)
{
	if (!p->watched)
		return;
	(void) epoll_ctl(p->server->watch_fd, EPOLL_CTL_DEL, p->link->fd, NULL);
	p->watched = false;
	p->server->nwatched--;
}

/* Wakes the request: the library asks for the answer again. */
static void
answer_with(http_request *r, int status, const char *type, struct MHD_Response *response)
{
	struct http_private *p = r->private;
	const Header *h;

	r->status = status;
	p->response = response;
	if (response != NULL)
	{
		(void) MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
		if (type != NULL)
			(void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
		for (h = p->headers; h != NULL; h = h->next)
			(void) MHD_add_response_header(response, h->name, h->value);
		/* Only what says otherwise may be kept. */
		if (MHD_get_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL) == NULL)
			(void) MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	}
	unwatch(p);
	if (!p->suspended)
		return;
	p->suspended = false;
	p->server->resumed = true;
	MHD_resume_connection(p->connection);
}

/* The library does not change what it is given. */
static struct MHD_Response *
response_of(const char *body, size_t len, enum MHD_ResponseMemoryMode mode)
{
	return MHD_create_response_from_buffer(len, (void *) body, mode);
}

void
http_answer(http_request *r, int status, const char *type, const char *body, size_t len)
{
	answer_with(r, status, type, response_of(body, len, MHD_RESPMEM_MUST_COPY));
}

void
http_answer_static(http_request *r, int status, const char *type, const char *body, size_t len)
{
	answer_with(r, status, type, response_of(body, len, MHD_RESPMEM_PERSISTENT));
}

void
http_answer_free(http_request *r, int status, const char *type, char *body, size_t len)
{
	struct MHD_Response *response = response_of(body, len, MHD_RESPMEM_MUST_FREE);

	if (response == NULL)
		free(body);
	answer_with(r, status, type, response);
}

/* ---- answers that go on ---------------------------------------------------------- */

size_t
http_unsent(const http_request *r)
{
	return r->private->unsent.len - r->private->taken;
}

/* Nothing to send: the library does not look at the connection until there is. */
static ssize_t
read_unsent(void *arg, uint64_t position, char *to, size_t max)
{
	struct http_private *p = arg;
	size_t n = http_unsent(&p->request);

	(void) position;
	if (n > max)
		n = max;
	if (n > 0)
	{
		memcpy(to, p->unsent.data + p->taken, n);
		p->taken += n;
		return (ssize_t) n;
	}
	if (!p->open)
		return MHD_CONTENT_READER_END_OF_STREAM;
	p->suspended = true;
	MHD_suspend_connection(p->connection);
	return 0;
}

static void
resume(struct http_private *p)
{
	if (!p->suspended)
		return;
	p->suspended = false;
	p->server->resumed = true;
	MHD_resume_connection(p->connection);
}

void
http_open(http_request *r, int status, const char *type)
{
	struct http_private *p = r->private;

	p->open = true;
	tq_buffer_init(&p->unsent, SIZE_MAX);
	answer_with(r, status, type,
				MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BYTES, read_unsent, p,
												  NULL));
	(void) http_watch(r);
}

/* What was sent is forgotten when all of it was. */
void
http_append(http_request *r, const char *text, size_t len)
{
	struct http_private *p = r->private;

	if (p->taken == p->unsent.len)
	{
		tq_buffer_reset(&p->unsent);
		p->taken = 0;
	}
	if (!tq_buffer_append(&p->unsent, text, len))
		p->open = false;
	resume(p);
}

void
http_close(http_request *r)
{
	r->private->open = false;
	resume(r->private);
}

/* Without memory for an answer the connection is closed. */
static enum MHD_Result
send_answer(struct http_private *p)
{
	p->link->phase = PHASE_BUSY;
	if (p->response == NULL)
		return MHD_NO;
	return MHD_queue_response(p->connection, (unsigned) p->request.status, p->response);
}

static void
refuse_head(struct http_private *p, int status, const char *reason)
{
	char body[200];
	int len = snprintf(body, sizeof(body), "{\"status\":\"error\",\"reason\":\"%s\"}\n", reason);

	rejected_count(status == 413 || status == 414 || status == 431 ? REJECTED_TOO_LARGE
																   : REJECTED_MALFORMED);
	/* What follows cannot be told from the rest of it. */
	http_add(&p->request, MHD_HTTP_HEADER_CONNECTION, "close");
	http_answer(&p->request, status, HTTP_TYPE_JSON, body, (size_t) len);
}

/* ---- what the library is lenient about ------------------------------------------- */

typedef struct Head
{
	int nlengths;
	int nencodings;
	int nhosts;
	int nheaders;
	size_t bytes;
	const char *fault;
} Head;

static bool
is_token(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char) text[i]) && (strchr("!#$%&'*+-.^_`|~", text[i]) == NULL ||
												  text[i] == '\0'))
			return false;
	return len > 0;
}

static bool
has_controls(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (((unsigned char) text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
			return true;
	return false;
}

static bool
is_named(const char *key, size_t len, const char *name)
{
	return len == strlen(name) && strncasecmp(key, name, len) == 0;
}

static enum MHD_Result
check_header(void *arg, enum MHD_ValueKind kind, const char *key, size_t key_size,
			 const char *value, size_t size)
{
	Head *head = arg;

	(void) kind;
	head->nheaders++;
	head->bytes += key_size + size + 4;
	if (!is_token(key, key_size))
		head->fault = "the name of a header is not valid";
	else if (value != NULL && has_controls(value, size))
		head->fault = "a header has control characters";
	else if (is_named(key, key_size, MHD_HTTP_HEADER_CONTENT_LENGTH))
	{
		head->nlengths++;
		if (value == NULL || size == 0 || size > 18 || strspn(value, "0123456789") != size)
			head->fault = "Content-Length is not a number";
	}
	else if (is_named(key, key_size, MHD_HTTP_HEADER_TRANSFER_ENCODING))
	{
		head->nencodings++;
		if (value == NULL || !is_named(value, size, "chunked"))
			head->fault = "Transfer-Encoding is not chunked";
	}
	else if (is_named(key, key_size, MHD_HTTP_HEADER_HOST))
		head->nhosts++;
	return MHD_YES;
}

/* Whether the target is a path of visible characters. */
static bool
is_target(const char *path, const char *query)
{
	const char *c;

	for (c = path; *c != '\0'; c++)
		if ((unsigned char) *c <= 0x20 || (unsigned char) *c >= 0x7f || *c == '#')
			return false;
	for (c = query != NULL ? query : ""; *c != '\0'; c++)
		if ((unsigned char) *c <= 0x20 || (unsigned char) *c >= 0x7f || *c == '#')
			return false;
	return *path == '/';
}

/* Refuses what another program could understand in another way, or what is too large. */
static void
check_head(struct http_private *p, const char *method, const char *version)
{
	const http_request *r = &p->request;
	Head head = {.fault = NULL};
	bool modern = strcmp(version, MHD_HTTP_VERSION_1_1) == 0;

	(void) MHD_get_connection_values_n(p->connection, MHD_HEADER_KIND, check_header, &head);
	if (!modern && strcmp(version, MHD_HTTP_VERSION_1_0) != 0)
		refuse_head(p, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	else if (head.fault != NULL)
		refuse_head(p, 400, head.fault);
	else if (head.nlengths + head.nencodings > 1)
		refuse_head(p, 400, "the length of the body is told more than once");
	else if (head.nencodings > 0 && !modern)
		refuse_head(p, 400, "HTTP/1.0 has no Transfer-Encoding");
	else if (head.nhosts > 1 || (modern && head.nhosts == 0))
		refuse_head(p, 400, "there must be one Host");
	else if (strlen(r->path) + (r->query != NULL ? strlen(r->query) : 0) > MAX_TARGET)
		refuse_head(p, 414, "the path and the query are too long");
	else if (head.nheaders > MAX_HEADERS || head.bytes > MAX_HEADER_BYTES)
		refuse_head(p, 431, "the headers are too large");
	else if (!is_token(method, strlen(method)) ||
			 (!is_target(r->path, r->query) &&
			  (strcmp(method, "OPTIONS") != 0 || strcmp(r->path, "*") != 0)))
		refuse_head(p, 400, "the request line is not valid");
}

/* ---- a request arrives ----------------------------------------------------------- */

const char *
http_header(const http_request *r, const char *name)
{
	return MHD_lookup_connection_value(r->private->connection, MHD_HEADER_KIND, name);
}

typedef struct Headers
{
	http_header_taker *take;
	void *arg;
} Headers;

static enum MHD_Result
hand_over_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	const Headers *headers = arg;

	(void) kind;
	headers->take(headers->arg, name, value != NULL ? value : "");
	return MHD_YES;
}

void
http_each_header(const http_request *r, http_header_taker *take, void *arg)
{
	Headers headers = {take, arg};

	(void) MHD_get_connection_values(r->private->connection, MHD_HEADER_KIND, hand_over_header,
									 &headers);
}

static void
set_phase(Link *link, phase phase, int64_t ms)
{
	link->phase = phase;
	link->until_ms = tq_clock_ms() + ms;
}

typedef struct Wanted
{
	const char *name;
	const char *value; /* of the last header with that name */
} Wanted;

static enum MHD_Result
take_last(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Wanted *wanted = arg;

	(void) kind;
	if (strcasecmp(name, wanted->name) == 0)
		wanted->value = value;
	return MHD_YES;
}

/* A proxy may add a header of its own behind one that came from outside. */
static const char *
last_header(const http_request *r, const char *name)
{
	Wanted wanted = {name, NULL};

	(void) MHD_get_connection_values(r->private->connection, MHD_HEADER_KIND, take_last, &wanted);
	return wanted.value;
}

/* The last address of the list is what the proxy has seen; the others are anybody's claim. */
static void
trust_proxy(http_request *r)
{
	const char *list = last_header(r, "X-Forwarded-For");
	const char *scheme = last_header(r, "X-Forwarded-Proto");
	const char *last = list != NULL ? strrchr(list, ',') : NULL;

	if (list != NULL)
	{
		last = last != NULL ? last + 1 : list;
		last += strspn(last, " \t");
		snprintf(r->address, sizeof(r->address), "%.*s",
				 (int) strspn(last, "0123456789abcdefABCDEF.:"), last);
	}
	r->through_tls = scheme != NULL && strcmp(scheme, "https") == 0;
}

static void
name_peer(struct http_private *p)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(p->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *address = info != NULL ? info->client_addr : NULL;
	http_request *r = &p->request;

	strcpy(r->address, "unix");
	if (address != NULL && address->sa_family == AF_INET)
		(void) inet_ntop(AF_INET, &((const struct sockaddr_in *) address)->sin_addr, r->address,
						 sizeof(r->address));
	else if (address != NULL && address->sa_family == AF_INET6)
		(void) inet_ntop(AF_INET6, &((const struct sockaddr_in6 *) address)->sin6_addr,
						 r->address, sizeof(r->address));
	else
		r->from_file = true;
}

bool
http_is_direct(const http_request *r)
{
	return !r->private->server->behind_proxy && !r->from_file;
}

bool
http_is_for_this_machine(const http_request *r)
{
	const char *host = http_header(r, "Host");
	size_t len;

	if (host == NULL || *host == '[')
		return true;
	len = strcspn(host, ":");
	return strspn(host, "0123456789.") >= len ||
		   (len == strlen("localhost") && strncasecmp(host, "localhost", len) == 0);
}

static bool
declares_more(const http_request *r, size_t limit)
{
	const char *length = http_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return length != NULL && strtoull(length, NULL, 10) > limit;
}

/* Method names are of the head, which the library keeps as long as the request. */
static void
take_head(struct http_private *p, const char *method, const char *version)
{
	http_request *r = &p->request;

	set_phase(p->link, PHASE_BODY, BODY_MS);
	name_peer(p);
	if (p->server->behind_proxy)
		trust_proxy(r);
	r->method = strcmp(method, "HEAD") == 0 ? "GET" : method;
	check_head(p, method, version);
	if (r->status != 0)
		return;
	p->begun = true;
	p->limit = p->server->handlers->begin(p->server->handlers->arg, r);
	if (r->status == 0 && declares_more(r, p->limit))
		refuse_head(p, 413, "the request is too large");
	tq_buffer_init(&r->body, p->limit);
}

/* The library cannot answer before the end of a body whose length was not told. */
static void
answer_by_hand(const Link *link)
{
	char rest[DRAIN_BYTES];

	rejected_count(REJECTED_TOO_LARGE);
	(void) send(link->fd, TOO_LARGE, strlen(TOO_LARGE), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void) shutdown(link->fd, SHUT_WR);
	while (recv(link->fd, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
}

static enum MHD_Result
take_body(struct http_private *p, const char *data, size_t *size)
{
	if (!tq_buffer_append(&p->request.body, data, *size))
	{
		answer_by_hand(p->link);
		return MHD_NO;
	}
	*size = 0;
	return MHD_YES;
}

static void
handle(struct http_private *p)
{
	p->link->phase = PHASE_BUSY;
	p->handled = true;
	p->server->handlers->handle(p->server->handlers->arg, &p->request);
	if (p->request.status != 0)
		return;
	p->suspended = true;
	MHD_suspend_connection(p->connection);
}

static enum MHD_Result
on_access(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
		  const char *version, const char *data, size_t *size, void **request)
{
	struct http_private *p = *request;

	(void) arg;
	(void) connection;
	(void) url;
	if (p == NULL)
		return MHD_NO;
	if (p->link->phase == PHASE_HEAD)
		take_head(p, method, version);
	else if (*size > 0)
		return take_body(p, data, size);
	else if (!p->handled)
		handle(p);
	return p->request.status != 0 ? send_answer(p) : MHD_YES;
}

/* The first that is heard of a request: its target, as it came. */
static void *
on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
	http_server *s = arg;
	struct http_private *p = calloc(1, sizeof(*p));
	const char *question = strchr(target, '?');
	size_t len = question != NULL ? (size_t) (question - target) : strlen(target);
	http_request *r;

	if (p == NULL)
		return NULL;
	r = &p->request;
	r->private = p;
	p->server = s;
	p->connection = connection;
	p->link = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
				  ->socket_context;
	r->arrived_ms = tq_clock_ms();
	r->path = http_copy(r, target, len);
	r->query = question != NULL ? http_copy(r, question + 1, strlen(question + 1)) : NULL;
	if (p->link == NULL || r->path == NULL || (question != NULL && r->query == NULL))
	{
		free_request(p);
		return NULL;
	}
	s->nrequests++;
	set_phase(p->link, PHASE_HEAD, HEAD_MS);
	return p;
}

static void
on_end(void *arg, struct MHD_Connection *connection, void **request,
	   enum MHD_RequestTerminationCode why)
{
	http_server *s = arg;
	struct http_private *p = *request;

	(void) connection;
	(void) why;
	if (p == NULL)
		return;
	*request = NULL;
	unwatch(p);
	if (p->begun)
		s->handlers->end(s->handlers->arg, &p->request);
	set_phase(p->link, PHASE_IDLE, IDLE_S * 1000 + HEAD_MS);
	s->nrequests--;
	free_request(p);
}

/* Paths and queries are left as they came: what is a slash in them and what is not matters. */
static size_t
leave_escapes(void *arg, struct MHD_Connection *connection, char *text)
{
	(void) arg;
	(void) connection;
	return strlen(text);
}

/* ---- connections ----------------------------------------------------------------- */

static void
on_connection(void *arg, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	http_server *s = arg;
	Link *link = *context;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED)
	{
		if (link == NULL)
			return;
		link->previous->next = link->next;
		link->next->previous = link->previous;
		s->nlinks--;
		free(link);
		*context = NULL;
		return;
	}
	link = calloc(1, sizeof(*link));
	*context = link;
	if (link == NULL)
		return;
	link->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	link->next = s->links.next;
	link->previous = &s->links;
	link->next->previous = link;
	s->links.next = link;
	s->nlinks++;
	set_phase(link, PHASE_IDLE, HEAD_MS);
}

static bool
is_full(const http_server *s)
{
	return s->quiet || s->nlinks - s->nwatched >= MAX_CONNECTIONS ||
		   tq_clock_ms() < s->accept_at_ms;
}

/*
 * A request that waits sends nothing for a minute, and much between it and us forgets such a
 * connection, without a word.  Probes keep it known there, or tell that the client is gone.
 */
static void
keep_alive(int fd)
{
	const int yes = 1;
	const int idle_s = KEEP_IDLE_S;
	const int interval_s = KEEP_INTERVAL_S;
	const int probes = KEEP_PROBES;

	(void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes));
	(void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	(void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static void
accept_connections(http_server *s, int listening)
{
	while (!is_full(s))
	{
		struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
		socklen_t size = sizeof(address);
		int fd = accept4(listening, (struct sockaddr *) &address, &size,
						 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
		{
			/* Without descriptors, poll() would tell of the same connection all the time. */
			if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
				s->accept_at_ms = tq_clock_ms() + LOOK_MS;
			return;
		}
		if (address.ss_family != AF_UNIX)
			keep_alive(fd);
		/* The library closes the descriptor if it does not take it. */
		(void) MHD_add_connection(s->daemon, fd, (struct sockaddr *) &address, size);
	}
}

/* To accept in vain is dearer than to ask. */
static void
accept_waiting(http_server *s)
{
	struct pollfd fds[HTTP_MAX_SOCKETS];
	int i;

	for (i = 0; i < s->nsockets; i++)
		fds[i] = (struct pollfd){s->sockets[i], POLLIN, 0};
	if (is_full(s) || poll(fds, (nfds_t) s->nsockets, 0) <= 0)
		return;
	for (i = 0; i < s->nsockets; i++)
		if (fds[i].revents != 0)
			accept_connections(s, s->sockets[i]);
}

/*
 * Whether the peer will send nothing more.  Where its last bytes and the end came together, the
 * library looks at the bytes and is not told of the end again.
 */
static bool
sends_no_more(const Link *link)
{
	char byte;

	return recv(link->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* The library sees that the socket has ended, and ends the request. */
static void
end_slow_ones(http_server *s)
{
	int64_t now = tq_clock_ms();
	Link *link;

	if (now < s->look_at_ms)
		return;
	s->look_at_ms = now + LOOK_MS;
	for (link = s->links.next; link != &s->links; link = link->next)
	{
		bool late = now >= link->until_ms;

		if (link->phase == PHASE_BUSY || (!late && !sends_no_more(link)))
			continue;
		if (late && link->phase != PHASE_IDLE)
			rejected_count(REJECTED_TOO_SLOW);
		(void) shutdown(link->fd, SHUT_RDWR);
		link->until_ms = INT64_MAX;
	}
}

/* ---- what waits ------------------------------------------------------------------ */

bool
http_watch(http_request *r)
{
	struct http_private *p = r->private;
	struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = p};

	if (p->watched)
		return true;
	p->watched = epoll_ctl(p->server->watch_fd, EPOLL_CTL_ADD, p->link->fd, &event) == 0;
	p->server->nwatched += p->watched ? 1 : 0;
	return p->watched;
}

static void
look_after_watched(http_server *s)
{
	struct epoll_event events[MAX_EVENTS];
	int n = epoll_wait(s->watch_fd, events, MAX_EVENTS, 0);
	int i;

	for (i = 0; i < n; i++)
	{
		struct http_private *p = events[i].data.ptr;

		unwatch(p);
		s->handlers->gone(s->handlers->arg, &p->request);
	}
}

/* ---- the whole ------------------------------------------------------------------- */

int
http_poll(const http_server *s, struct pollfd *fds)
{
	int n = 0;
	int i;

	for (i = 0; !is_full(s) && i < s->nsockets; i++)
		fds[n++] = (struct pollfd){s->sockets[i], POLLIN, 0};
	fds[n++] = (struct pollfd){s->daemon_fd, POLLIN, 0};
	fds[n++] = (struct pollfd){s->watch_fd, POLLIN, 0};
	return n;
}

int
http_timeout(const http_server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (s->resumed)
		return 0;
	if (MHD_get_timeout(s->daemon, &ms) != MHD_YES || ms > LOOK_MS)
		return LOOK_MS;
	return (int) ms;
}

void
http_step(http_server *s)
{
	accept_waiting(s);
	look_after_watched(s);
	s->resumed = false;
	(void) MHD_run(s->daemon);
	end_slow_ones(s);
}

void
http_quiesce(http_server *s)
{
	s->quiet = true;
}

int
http_count(const http_server *s)
{
	return s->nrequests;
}

#if MHD_VERSION >= 0x01000000
#define STRICTNESS MHD_OPTION_CLIENT_DISCIPLINE_LVL
#else
#define STRICTNESS MHD_OPTION_STRICT_FOR_CLIENT
#endif

static bool
start_daemon(http_server *s, int max_of_one)
{
	const union MHD_DaemonInfo *info;

	s->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
		on_access, s, MHD_OPTION_CONNECTION_LIMIT, (unsigned) MAX_AT_ALL,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned) max_of_one,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t) POOL_BYTES, STRICTNESS, 1, MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
		MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_end,
		s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
	if (s->daemon == NULL)
		return false;
	info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	s->daemon_fd = info != NULL ? info->epoll_fd : -1;
	s->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	return s->daemon_fd >= 0 && s->watch_fd >= 0;
}

http_server *
http_new(const http_options *o, const http_handlers *handlers)
{
	http_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->links.next = s->links.previous = &s->links;
	s->watch_fd = -1;
	s->handlers = handlers;
	s->behind_proxy = o->behind_proxy;
	memcpy(s->sockets, o->sockets, (size_t) o->nsockets * sizeof(*o->sockets));
	s->nsockets = o->nsockets;
	if (start_daemon(s, o->max_of_one))
		return s;
	http_free(s);
	return NULL;
}

void
http_free(http_server *s)
{
	int i;

	if (s == NULL)
		return;
	if (s->daemon != NULL)
		MHD_stop_daemon(s->daemon);
	for (i = 0; i < s->nsockets; i++)
		close(s->sockets[i]);
	if (s->watch_fd >= 0)
		close(s->watch_fd);
	free(s);
}

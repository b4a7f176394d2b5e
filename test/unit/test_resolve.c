/*
 * test_resolve.c
 *		Names, literals and answers, with a name server in the test itself.
 *
 * The name asked for tells the server what to do.  Both sides take turns in
 * one loop, so every question is seen and counted.
 */
#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/resolve.h"
#include "unit.h"

static int server;    /* UDP socket */
static int questions; /* for A records */
static int most_threads;
static int epfd;
static tq_resolver *resolver;
static tq_egress rules;

/* So many sockets and the like can be made; -1: any number. */
static int files_left = -1;

static bool
take_file(void)
{
	if (files_left == 0)
	{
		errno = ENFILE;
		return false;
	}
	if (files_left > 0)
		files_left--;
	return true;
}

/* c-ares and the resolver call these. */
int
socket(int family, int type, int protocol)
{
	return take_file() ? (int) syscall(SYS_socket, family, type, protocol) : -1;
}

int
eventfd(unsigned int count, int flags)
{
	return take_file() ? (int) syscall(SYS_eventfd2, count, flags) : -1;
}

/* ---- the name server ------------------------------------------------------ */

#define TYPE_A     1
#define TYPE_CNAME 5
#define TYPE_AAAA  28

typedef struct packet
{
	uint8_t bytes[4096];
	size_t len;
	int answers;
} packet;

static void
put(packet *p, const void *bytes, size_t len)
{
	memcpy(p->bytes + p->len, bytes, len);
	p->len += len;
}

static void
put16(packet *p, unsigned value)
{
	uint8_t bytes[2] = {(uint8_t) (value >> 8), (uint8_t) value};

	put(p, bytes, 2);
}

/* A record for the name of the question. */
static void
put_record(packet *p, unsigned type, unsigned ttl, const void *data, size_t len)
{
	put16(p, 0xc00c);
	put16(p, type);
	put16(p, 1);
	put16(p, ttl >> 16);
	put16(p, ttl & 0xffff);
	put16(p, (unsigned) len);
	put(p, data, len);
	p->answers++;
}

static void
put_address(packet *p, unsigned type, unsigned ttl, const char *text)
{
	uint8_t addr[16];

	inet_pton(type == TYPE_A ? AF_INET : AF_INET6, text, addr);
	put_record(p, type, ttl, addr, type == TYPE_A ? 4 : 16);
}

/* Answers for a name; returns the response code, or -1 for silence. */
static int
answer_name(packet *p, const char *name, unsigned type)
{
	int i;

	if (strcmp(name, "mute") == 0)
		return -1;
	if (strcmp(name, "nx") == 0)
		return 3;
	if (strcmp(name, "servfail") == 0)
		return 2;
	if (strcmp(name, "loop") == 0)
	{
		put_record(p, TYPE_CNAME, 60, "\xc0\x0c", 2);
		return 0;
	}
	if (type == TYPE_AAAA)
	{
		if (strcmp(name, "both") == 0)
			put_address(p, type, 60, "2606:4700::1111");
		if (strcmp(name, "mapped") == 0)
			put_address(p, type, 60, "::ffff:127.0.0.1");
		return 0;
	}
	if (strcmp(name, "public") == 0 || strcmp(name, "both") == 0)
		put_address(p, type, 300, "1.1.1.1");
	if (strcmp(name, "short") == 0)
		put_address(p, type, 0, "1.1.1.1");
	if (strcmp(name, "private") == 0)
		put_address(p, type, 300, "10.0.0.1");
	if (strcmp(name, "mixed") == 0)
	{
		put_address(p, type, 300, "10.0.0.1");
		put_address(p, type, 300, "1.1.1.1");
		put_address(p, type, 300, "169.254.169.254");
	}
	for (i = 0; strcmp(name, "many") == 0 && i < 25; i++)
		put_address(p, type, 300, "1.1.1.1");
	return 0;
}

/* Takes one question and answers it. */
static void
serve_one(void)
{
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	packet p = {.len = 0};
	char name[64] = "";
	ssize_t n = recvfrom(server, p.bytes, 512, 0, (struct sockaddr *) &from, &from_len);
	size_t at = 12;
	unsigned type;
	int code;

	if (n < 17)
		return;
	snprintf(name, sizeof(name), "%.*s", p.bytes[12], (const char *) p.bytes + 13);
	while (p.bytes[at] != 0)
		at += p.bytes[at] + 1u;
	type = p.bytes[at + 2];
	p.len = at + 5;
	if (type == TYPE_A)
		questions++;

	code = answer_name(&p, name, type);
	if (code < 0)
		return;
	if (strcmp(name, "garbage") == 0)
		memset(p.bytes + 4, 0xff, 8);
	else
	{
		p.bytes[2] = 0x81; /* answer, recursion desired */
		p.bytes[3] = (uint8_t) (0x80 | code);
		p.bytes[6] = 0;
		p.bytes[7] = (uint8_t) p.answers;
		memset(p.bytes + 8, 0, 4);
	}
	sendto(server, p.bytes, p.len, 0, (struct sockaddr *) &from, from_len);
}

static int
start_server(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(addr);

	server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (server < 0 || bind(server, (struct sockaddr *) &addr, len) != 0 ||
		getsockname(server, (struct sockaddr *) &addr, &len) != 0)
		exit(1);
	return ntohs(addr.sin_port);
}

/* ---- driving the resolver ------------------------------------------------- */

typedef struct outcome
{
	int calls;
	tq_addresses result;
} outcome;

static void
record(void *arg, const tq_addresses *result)
{
	outcome *o = arg;

	o->calls++;
	o->result = *result;
}

static void
turn(void)
{
	struct pollfd fds[2] = {{epfd, POLLIN, 0}, {server, POLLIN, 0}};
	struct epoll_event events[8];
	int64_t timeout = tq_resolver_timeout(resolver);
	int n;
	int i;

	poll(fds, 2, timeout < 0 || timeout > 10000 ? 10000 : (int) timeout);
	if (count_threads() > most_threads)
		most_threads = count_threads();
	if (fds[1].revents)
		serve_one();
	n = epoll_wait(epfd, events, 8, 0);
	for (i = 0; i < n; i++)
	{
		if (!(events[i].data.u64 & TQ_RESOLVE_TAG))
			exit(1);
		tq_resolver_step(resolver, (int) (events[i].data.u64 & UINT32_MAX), events[i].events);
	}
	if (tq_resolver_timeout(resolver) == 0)
		tq_resolver_step(resolver, -1, 0);
}

static void
wait_for(const outcome *o)
{
	int64_t give_up = clock_ms() + 20000;

	while (o->calls == 0 && clock_ms() < give_up)
		turn();
}

static outcome
look_up(const char *host)
{
	outcome o = {0};
	void *handle = NULL;

	if (!tq_resolve(resolver, host, record, &o, &handle))
		exit(1);
	ok((handle == NULL) == (o.calls == 1), "%s: a handle while it goes on", host);
	wait_for(&o);
	is_int(o.calls, 1, "%s: one answer", host);
	return o;
}

static const char *
address(const outcome *o, int i)
{
	static char text[INET6_ADDRSTRLEN];
	const struct sockaddr_storage *a = &o->result.addr[i];

	if (i >= o->result.naddrs)
		return NULL;
	if (a->ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *) a)->sin_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *) a)->sin6_addr, text, sizeof(text));
	return text;
}

static void
is_failure(const outcome *o, tq_class cls, const char *name)
{
	if (is_int(o->result.naddrs, 0, "%s", name))
		is_int(o->result.failure, cls, "%s: its class", name);
}

/* ---- tests ---------------------------------------------------------------- */

static void
test_literals(void)
{
	outcome o = look_up("1.1.1.1");

	is_str(address(&o, 0), "1.1.1.1", "IPv4");
	o = look_up("2606:4700::1111");
	is_str(address(&o, 0), "2606:4700::1111", "IPv6");
	o = look_up("127.0.0.1");
	is_failure(&o, TQ_CLASS_EGRESS_DENIED, "loopback is refused");
	is_str(o.result.reason, "loopback", "with the rule");
	o = look_up("::ffff:127.0.0.1");
	is_str(o.result.reason, "loopback", "in disguise too");
	is_int(questions, 0, "no question was asked");
}

static void
test_answers(void)
{
	outcome o = look_up("public.test");

	ok(o.result.naddrs > 0, "a public name");
	is_int(o.result.naddrs, 1, "one address");
	is_str(address(&o, 0), "1.1.1.1", "the right one");

	o = look_up("both.test");
	is_int(o.result.naddrs, 2, "both families");
	o = look_up("private.test");
	is_failure(&o, TQ_CLASS_EGRESS_DENIED, "a private answer");
	is_str(o.result.reason, "private", "with the rule");
	o = look_up("mapped.test");
	is_failure(&o, TQ_CLASS_EGRESS_DENIED, "a mapped answer");
	o = look_up("mixed.test");
	is_int(o.result.naddrs, 1, "a mixed answer keeps what is public");
	is_str(address(&o, 0), "1.1.1.1", "which is this");
	o = look_up("many.test");
	is_int(o.result.naddrs, TQ_MAX_ADDRESSES, "many addresses are cut");
	o = look_up("nx.test");
	is_failure(&o, TQ_CLASS_DNS, "no such name");
	ok(o.result.reason != NULL, "with a reason");
	o = look_up("none.test");
	is_failure(&o, TQ_CLASS_DNS, "a name without addresses");
	o = look_up("servfail.test");
	is_failure(&o, TQ_CLASS_DNS, "a server that fails");
	o = look_up("loop.test");
	is_failure(&o, TQ_CLASS_DNS, "an alias of itself");
	o = look_up("garbage.test");
	is_int(o.result.naddrs, 0, "an answer that is none");
	o = look_up("..");
	is_int(o.result.naddrs, 0, "no name at all");
	o = look_up("a-label-that-is-longer-than-sixty-three-bytes-is-not-a-label-in-dns.test");
	is_int(o.result.naddrs, 0, "a label that is too long");
}

static void
test_hosts_file(void)
{
	outcome o = look_up("localhost");

	is_failure(&o, TQ_CLASS_EGRESS_DENIED, "localhost is refused");
}

static void
test_cache(void)
{
	tq_egress none = {0};
	tq_egress open = {0};
	char err[100];
	int before;
	outcome o;

	look_up("public.test");
	before = questions;
	o = look_up("PUBLIC.test");
	is_str(address(&o, 0), "1.1.1.1", "from the cache, in any case");
	is_int(questions, before, "nobody was asked");
	look_up("short.test");
	look_up("short.test");
	is_int(questions - before, 2, "a TTL of 0 is honoured");

	/* The rules of now, not those of then. */
	o = look_up("private.test");
	is_failure(&o, TQ_CLASS_EGRESS_DENIED, "private");
	tq_egress_allow(&open, "10.0.0.0/8", err, sizeof(err));
	tq_resolver_set_egress(resolver, &open);
	before = questions;
	o = look_up("private.test");
	ok(o.result.naddrs > 0, "opened");
	tq_resolver_set_egress(resolver, &none);
	o = look_up("private.test");
	is_failure(&o, TQ_CLASS_EGRESS_DENIED, "closed again");
	is_int(questions, before, "all from the cache");
	tq_resolver_set_egress(resolver, &rules);
	tq_egress_free(&open);
}

static void
test_sharing(void)
{
	outcome o[3] = {{0}};
	void *handles[3];
	int before = questions;
	int i;

	for (i = 0; i < 3; i++)
		tq_resolve(resolver, i == 1 ? "SHORT.test" : "short.test", record, &o[i], &handles[i]);
	tq_resolve_cancel(resolver, handles[0]);
	wait_for(&o[2]);
	is_int(o[0].calls, 0, "the one that left hears nothing");
	is_int(o[1].calls, 1, "the second hears");
	is_int(o[2].calls, 1, "the third too");
	is_int(questions - before, 1, "one question for all");
}

/* Three servers are more than there is time for, so that we give up before c-ares does. */
static void
test_mute(int port)
{
	outcome quick = {0};
	outcome o = {0};
	outcome again = {0};
	char servers[100];
	void *handle;
	int64_t start = clock_ms();
	int64_t took;
	int before;

	snprintf(servers, sizeof(servers), "127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d", port, port, port);
	ok(tq_resolver_set_servers(resolver, servers), "three servers");
	tq_resolve(resolver, "mute.test", record, &o, &handle);
	ok(clock_ms() - start < 1000, "does not wait");
	tq_resolve(resolver, "short.test", record, &quick, &handle);
	wait_for(&quick);
	ok(quick.calls == 1 && o.calls == 0, "others go on");
	ok(!tq_resolver_set_servers(resolver, "127.0.0.1"), "servers do not change under a query");
	wait_for(&o);
	took = clock_ms() - start;
	/* c-ares 1.30 and later knows how fast a server was, and gives up the sooner. */
	ok(took > (ARES_VERSION >= 0x011e00 ? 400 : 4900) && took < 7000, "ends in time (%d ms)",
	   (int) took);
	is_failure(&o, TQ_CLASS_TIMEOUT, "as a timeout");

	/* Its query is still with c-ares; who comes now gets one of his own. */
	before = questions;
	tq_resolve(resolver, "mute.test", record, &again, &handle);
	while (questions == before)
		turn();
	turn();
	is_int(again.calls, 0, "the next one has its own time");
	tq_resolve_cancel(resolver, handle);
	is_int(most_threads, 1, "never a second thread");
}

/* Without descriptors every name seems not to exist, and every server not to be there. */
static void
test_shortage(void)
{
	int before = questions;
	outcome o;
	int left;

	for (left = 0; left < 2; left++)
	{
		files_left = left;
		o = look_up("scarce.test");
		files_left = -1;
		is_failure(&o, TQ_CLASS_INTERNAL, "no file is left");
		is_int(o.result.shortage, ENFILE, "with its reason");
	}
	leave_descriptors(0);
	o = look_up("unread.test");
	leave_descriptors(100);
	is_int(o.result.shortage, EMFILE, "no file can be read");
	is_int(questions, before, "nothing was asked");
	o = look_up("nx.test");
	is_failure(&o, TQ_CLASS_DNS, "a name that is not there");
	is_int(o.result.shortage, 0, "is no shortage");
}

static void
test_cancel_and_free(void)
{
	outcome o = {0};
	void *handle;
	int64_t start;

	tq_resolve(resolver, "mute.test", record, &o, &handle);
	start = clock_ms();
	tq_resolve_cancel(resolver, handle);
	ok(clock_ms() - start < 1000, "cancelled at once");
	tq_resolve(resolver, "mute.test", record, &o, &handle);
	start = clock_ms();
	tq_resolver_free(resolver);
	ok(clock_ms() - start < 1000, "freed at once");
	is_int(o.calls, 0, "without a word");
}

/* As many names as there is room for, and one. */
static void
test_bound(int port)
{
	static outcome o[1025];
	char servers[64];
	char host[64];
	void *handle;
	int i;

	snprintf(servers, sizeof(servers), "127.0.0.1:%d", port);
	resolver = tq_resolver_new(epfd);
	tq_resolver_set_servers(resolver, servers);
	for (i = 0; i < 1025; i++)
	{
		snprintf(host, sizeof(host), "mute.test%d", i);
		tq_resolve(resolver, host, record, &o[i], &handle);
	}
	is_int(o[1023].calls, 0, "1024 look-ups");
	is_int(o[1024].calls, 1, "are all");
	is_str(o[1024].result.reason, "too many look-ups under way", "with a reason");
	tq_resolver_free(resolver);
}

int
main(void)
{
	int port = start_server();
	char servers[64];

	epfd = epoll_create1(EPOLL_CLOEXEC);
	resolver = tq_resolver_new(epfd);
	if (resolver == NULL)
		exit(1);
	tq_resolver_set_egress(resolver, &rules);
	is_int(tq_resolver_timeout(resolver), -1, "nothing to do");
	snprintf(servers, sizeof(servers), "127.0.0.1:%d", port);
	ok(tq_resolver_set_servers(resolver, servers), "our own name server");
	ok(!tq_resolver_set_servers(resolver, "nonsense"), "not any text");
	test_literals();
	test_answers();
	test_hosts_file();
	test_cache();
	test_sharing();
	test_shortage();
	test_mute(port);
	test_cancel_and_free();
	test_bound(port);
	close(epfd);
	close(server);
	return done();
}

/*
 * test_http.c
 *		The engine against a server that misbehaves, on loopback only.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/http.h"
#include "server.h"
#include "unit.h"

#define PORT_DENIED "URL is not allowed: port %d is not on the list of ports"
#define BASIC_LIMITS           \
	{                          \
		1000, 8192, 2000, true \
	}

static int port;
static int most_threads;
static char key_log[100]; /* must never come to be */

/* ---- calls of the system that can be made to fail ------------------------- */

/* Error numbers; 0: the call goes to the system.  libcurl finds these functions as well. */
static int socket_error;
static int connect_error;
static int udp_error; /* of connect() */
static int epoll_error;
static int interfaces_error;

static int
fail(int error)
{
	errno = error;
	return -1;
}

int
socket(int family, int type, int protocol)
{
	if (socket_error != 0 && family != AF_UNIX)
		return fail(socket_error);
	return (int) syscall(SYS_socket, family, type, protocol);
}

int
connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
	int type = 0;
	socklen_t size = sizeof(type);

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
	if (type == SOCK_STREAM && connect_error != 0)
		return fail(connect_error);
	if (type == SOCK_DGRAM && udp_error != 0)
		return fail(udp_error);
	return (int) syscall(SYS_connect, fd, addr.__sockaddr__, len);
}

/* After so many that succeed, one send() fails as if the peer had closed; -1: none. */
static int sends_left = -1;

ssize_t
send(int fd, const void *bytes, size_t len, int flags)
{
	if (sends_left >= 0 && sends_left-- == 0)
		return fail(EPIPE);
	return syscall(SYS_sendto, fd, bytes, len, flags, NULL, 0);
}

int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && epoll_error != 0)
		return fail(epoll_error);
	return (int) syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

/* Of the monotonic clocks, which libcurl reads as well. */
static int seconds_skipped;

int
clock_gettime(clockid_t id, struct timespec *now)
{
	int result = (int) syscall(SYS_clock_gettime, id, now);

	if (result == 0 && id != CLOCK_REALTIME)
		now->tv_sec += seconds_skipped;
	return result;
}

/* No interface at all, when it works. */
int
getifaddrs(struct ifaddrs **interfaces)
{
	*interfaces = NULL;
	return interfaces_error != 0 ? fail(interfaces_error) : 0;
}

/* Connections of this process, by TCP. */
static int
count_sockets(void)
{
	struct sockaddr_in peer;
	int n = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
	{
		socklen_t len = sizeof(peer);

		n += getpeername(fd, (struct sockaddr *) &peer, &len) == 0 && peer.sin_family == AF_INET;
	}
	return n;
}

/* CPU time of this process. */
static int64_t
cpu_us(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * INT64_C(1000000) +
		   used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

/* ---- driving the engine --------------------------------------------------- */

static tq_http *
new_engine(const tq_http_limits *limits, const char *allow)
{
	tq_http *h = tq_http_new(limits);
	tq_egress egress = {0};
	char err[100];

	if (h == NULL || !tq_egress_allow(&egress, allow, err, sizeof(err)) ||
		!tq_http_set_egress(h, &egress))
		exit(1);
	tq_egress_free(&egress);
	return h;
}

static tq_response *
next_response(tq_http *h)
{
	int64_t give_up = clock_ms() + 20000;
	tq_response *r;

	while ((r = tq_http_next_finished(h)) == NULL && clock_ms() < give_up)
	{
		struct pollfd fd = {tq_http_fd(h), POLLIN, 0};
		int64_t timeout = tq_http_timeout(h);
		int threads = count_threads();

		if (threads > most_threads)
			most_threads = threads;
		poll(&fd, 1, timeout < 0 || timeout > 20000 ? 20000 : (int) timeout);
		tq_http_step(h);
	}
	if (r == NULL)
	{
		printf("Bail out! no response\n");
		exit(1);
	}
	return r;
}

static tq_response *
perform(tq_http *h, const tq_request *request)
{
	if (!tq_http_submit(h, request, NULL))
		exit(1);
	return next_response(h);
}

static tq_response *
get_url(tq_http *h, const char *url, int64_t timeout_ms)
{
	tq_request request = {.method = "GET", .url = url, .timeout_ms = timeout_ms};

	return perform(h, &request);
}

static tq_response *
get(tq_http *h, const char *path)
{
	char url[200];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", port, path);
	return get_url(h, url, 5000);
}

/* Checks class, status and error, and frees the response. */
static void
expect(tq_response *r, const char *cls, int status, const char *error, const char *what)
{
	is_str(tq_class_name(r->cls), cls, "%s: class", what);
	is_int(r->status, status, "%s: status", what);
	if (error != NULL)
		is_str(r->error, error, "%s: error", what);
	tq_response_free(r);
}

/* Accepts nothing, and has next to no room for those that wait. */
static int
silent_listener(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *) addr, sizeof(*addr)) != 0 ||
		getsockname(fd, (struct sockaddr *) addr, &len) != 0 || listen(fd, 0) != 0)
		exit(1);
	return fd;
}

/* ---- answers -------------------------------------------------------------- */

static void
test_plain_answers(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	tq_response *r = get(h, "/ok");

	is_str(tq_class_name(r->cls), "http", "200: class");
	is_int(r->status, 200, "200: status");
	is_str(r->headers, "Content-Length: 2\r\nX-Test: yes", "200: headers");
	is_int(r->headers_len, 30, "200: length of headers");
	is_str(r->body, "ok", "200: body");
	is_int(r->body_len, 2, "200: length of body");
	ok(!r->truncated && r->retry_after == NULL, "200: nothing else");
	is_str(r->error, "", "200: no error");
	ok(r->elapsed_us > 0 && r->elapsed_us < 5000000, "200: elapsed time");
	tq_response_free(r);

	expect(get(h, "/204"), "http", 204, "", "204");
	expect(get(h, "/099"), "protocol", 0, NULL, "status 099");

	r = get(h, "/500");
	is_str(r->body, "oops", "500: body");
	expect(r, "http", 500, "", "500");

	r = get(h, "/503");
	is_str(r->retry_after, "7", "503: Retry-After");
	expect(r, "http", 503, "", "503");

	r = get(h, "/302");
	is_str(r->headers, "Location: /ok\r\nContent-Length: 0", "302: headers");
	expect(r, "http", 302, "", "302 is not followed");

	r = get(h, "/early");
	is_str(r->headers, "X-Late: yes\r\nContent-Length: 0", "103: the final headers only");
	expect(r, "http", 200, "", "103");

	r = get(h, "/trailer");
	is_str(r->headers, "Transfer-Encoding: chunked\r\nX-Head: yes", "trailers are no headers");
	is_str(r->body, "ok", "chunked: body");
	expect(r, "http", 200, "", "chunked");

	r = get(h, "/folded");
	is_str(r->headers, "X-Folded: one two three\r\nRetry-After: 7\r\nContent-Length: 0",
		   "a header of several lines");
	is_str(r->retry_after, "7", "its value");
	expect(r, "http", 503, "", "a header of several lines");

	r = get(h, "/gzip");
	is_str(r->body, "\x1f\x8b\x08!", "a compressed body is kept as it is");
	expect(r, "http", 200, "", "compressed");

	r = get(h, "/lf");
	is_str(r->headers, "X-A: 1\r\nX-B: 2\r\nContent-Length: 0", "bare line feeds");
	expect(r, "http", 200, "", "bare line feeds");
	tq_http_free(h);
}

static void
test_faults(void)
{
	static const struct
	{
		const char *path;
		int status;
	} kept[] = {{"/ok", 200}, {"/500", 500}, {"/early", 200}, {"/trailer", 200}, {NULL, 0}}, *k;
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	tq_response *r;
	char url[200];
	int64_t start;
	int i;

	expect(get(h, "/reset"), "reset", 0, NULL, "reset");
	expect(get(h, "/close"), "reset", 0, NULL, "close without an answer");
	expect(get(h, "/half"), "reset", 200, NULL, "half a body");
	expect(get(h, "/09"), "protocol", 0, "peer does not speak HTTP", "HTTP/0.9");
	expect(get(h, "/smtp"), "protocol", 0, NULL, "another protocol");

	expect(get(h, "/http2"), "protocol", 0, "peer does not speak HTTP", "HTTP/2 over HTTP/1.1");
	expect(get(h, "/204-zero"), "http", 204, "", "204 without a body");
	for (i = 0; i < 2; i++)
	{
		expect(get(h, "/204"), "http", 204, "", "204 on a connection that is kept");
		expect(get(h, "/204-length"), "protocol", 204, "answer with status 204 has a body",
			   "204 that announces a body");
		expect(get(h, "/204"), "http", 204, "", "204");
		expect(get(h, "/204-body"), "protocol", 204, "answer with status 204 has a body",
			   "204 with a body, and the end");
		expect(get(h, "/204"), "http", 204, "", "204 again");
		expect(get(h, "/204-more"), "protocol", 204, "answer with status 204 has a body",
			   "204 with a body");
	}
	for (k = kept; k->path != NULL; k++)
	{
		expect(get(h, k->path), "http", k->status, "", k->path);
		expect(get(h, "/204"), "http", 204, "", "204 on the same connection");
		expect(get(h, k->path), "http", k->status, "", k->path);
		expect(get(h, "/204-body"), "protocol", 204, "answer with status 204 has a body",
			   "204 with a body on the same connection");
	}
	expect(get(h, "/bad-header"), "protocol", 200, "answer is malformed", "bad header");
	expect(get(h, "/lengths"), "protocol", 200, "answer is malformed", "two lengths");
	expect(get(h, "/same-lengths"), "http", 200, "", "the same length twice");
	expect(get(h, "/bad-trailer"), "protocol", 200, "answer is malformed", "bad trailer");
	expect(get(h, "/101"), "protocol", 0, "receiver switches to a protocol that was not asked for",
		   "101 that nobody asked for");
	start = clock_ms();
	expect(get(h, "/extension"), "too_large", 200, "answer is much longer than its content",
		   "a chunk extension without end");
	ok(clock_ms() - start < 4000, "is not read to the timeout");

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", refused_port());
	expect(get_url(h, url, 5000), "connect", 0, "could not connect: Connection refused", "refused");

	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", port);
	r = get_url(h, url, 5000);
	ok(strncmp(r->error, "TLS: ", 5) == 0, "plain text on a TLS port: error");
	expect(r, "tls", 0, NULL, "plain text on a TLS port");
	tq_http_free(h);
}

/*
 * A TLS server with a certificate that it has signed itself, in directory;
 * returns its process and fills in its port, or returns -1.
 */
static pid_t
start_tls_server(const char *directory, int *tls_port)
{
	char command[512];
	char line[200];
	int out[2];
	pid_t pid;
	FILE *f;

	snprintf(command, sizeof(command), "cd %s && openssl req -x509 -newkey ec -pkeyopt "
									   "ec_paramgen_curve:P-256 -nodes -keyout key "
									   "-out cert -days 2 "
									   "-subj /CN=localhost "
									   "-addext subjectAltName=IP:127.0.0.1 2>/dev/null",
			 directory);
	if (system(command) != 0 || pipe(out) != 0)
		return -1;
	pid = fork();
	if (pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], STDOUT_FILENO);
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		if (chdir(directory) == 0)
			execlp("openssl", "openssl", "s_server", "-accept", "127.0.0.1:0", "-key", "key",
				   "-cert", "cert", "-www", (char *) NULL);
		_exit(1);
	}
	close(out[1]);
	f = fdopen(out[0], "r");
	*tls_port = 0;
	while (*tls_port == 0 && fgets(line, sizeof(line), f) != NULL)
		sscanf(line, "ACCEPT 127.0.0.1:%d", tls_port);
	fclose(f);
	return pid;
}

/* In curl's words. */
#if LIBCURL_VERSION_NUM >= 0x081700
#define SELF_SIGNED "TLS: SSL certificate OpenSSL verify result: self-signed certificate (18)"
#else
#define SELF_SIGNED "TLS: SSL certificate problem: self-signed certificate"
#endif

static void
test_untrusted_certificate(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h;
	char directory[] = "/tmp/test_http.XXXXXX";
	char path[100];
	char url[200];
	int tls_port;
	pid_t pid;

	if (mkdtemp(directory) == NULL)
		exit(1);
	pid = start_tls_server(directory, &tls_port);
	snprintf(path, sizeof(path), "%s/cert", directory);
	if (pid < 0)
		skip("no openssl program");
	else
	{
		/* The environment would make it a trusted one. */
		setenv("SSL_CERT_FILE", path, 1);
		setenv("CURL_CA_BUNDLE", path, 1);
		h = new_engine(&limits, "127.0.0.0/8");
		snprintf(url, sizeof(url), "https://127.0.0.1:%d/", tls_port);
		expect(get_url(h, url, 5000), "tls", 0, SELF_SIGNED,
			   "a certificate that nobody vouches for");
		ok(access(key_log, F_OK) != 0, "no TLS keys are written down");
		tq_http_free(h);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	unlink(path);
	snprintf(path, sizeof(path), "%s/key", directory);
	unlink(path);
	rmdir(directory);
}

/* Connects that nobody accepts: TCP stands for the first ones, then no more. */
static void
test_connect_timeout(void)
{
	tq_http_limits limits = {1000, 8192, 200, true};
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	struct sockaddr_in addr = {.sin_family = AF_INET};
	int fds[8];
	char url[200];
	int silent = silent_listener(&addr);
	int i;

	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", ntohs(addr.sin_port));
	expect(get_url(h, url, 5000), "tls", 0, "TLS: handshake took too long",
		   "handshake without end");
	expect(get_url(h, url, 100), "timeout", 0, "no connection in time", "and less time in all");

	for (i = 0; i < 8; i++)
	{
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(fds[i], (struct sockaddr *) &addr, sizeof(addr));
	}
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(addr.sin_port));
	expect(get_url(h, url, 5000), "connect", 0, "could not connect: connect timeout", "silence");
	expect(get_url(h, url, 100), "timeout", 0, "no connection in time", "and less time in all");
	for (i = 0; i < 8; i++)
		close(fds[i]);
	close(silent);
	tq_http_free(h);
}

static void
test_deadlines(void)
{
	static const char *const paths[] = {"/mute", "/drip", "/hang"};
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	char url[200];
	size_t i;

	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
	{
		int64_t start = clock_ms();
		int64_t took;
		tq_response *r;

		snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", port, paths[i]);
		r = get_url(h, url, 300);
		took = clock_ms() - start;
		ok(took >= 290 && took < 5000, "%s ends in time (%d ms)", paths[i], (int) took);
		expect(r, "timeout", i == 2 ? 200 : 0, "no complete answer in time", paths[i]);
	}
	expect(get_url(h, url, 0), "timeout", 0, NULL, "no time at all");
	expect(get_url(h, url, INT64_MIN), "timeout", 0, NULL, "less than none");
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/ok", port);
	expect(get_url(h, url, INT64_MAX), "http", 200, "", "all the time there is");
	tq_http_free(h);
}

static void
test_limits(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	tq_response *r = get(h, "/body/1000");

	is_int(r->body_len, 1000, "a body at the limit");
	ok(!r->truncated, "is whole");
	expect(r, "http", 200, "", "a body at the limit");

	r = get(h, "/body/1001");
	is_int(r->body_len, 1000, "a longer one is cut");
	ok(r->truncated, "and marked");
	expect(r, "http", 200, "", "a longer one");

	r = get(h, "/endless");
	is_int(r->body_len, 1000, "an endless one is cut");
	ok(r->truncated, "and marked");
	expect(r, "http", 200, "", "an endless one");

	r = get(h, "/heads");
	ok(r->headers_len <= 8192, "headers are bounded");
	expect(r, "too_large", 200, "response headers are too large", "endless headers");
	expect(get(h, "/hints"), "too_large", 0, NULL, "endless interim answers");

	/* curl's own limit for a line is above the first and below the second. */
	expect(get(h, "/line"), "too_large", 200, NULL, "an endless header line");
	limits.max_headers = 1000000;
	tq_http_set_limits(h, &limits);
	expect(get(h, "/line"), "too_large", 200, NULL, "an endless line with a high limit");
	expect(get(h, "/heads"), "too_large", 200, NULL, "endless headers with a high limit");

	limits.max_response = 0;
	tq_http_set_limits(h, &limits);
	r = get(h, "/ok");
	ok(r->body_len == 0 && r->truncated, "a limit of 0 keeps nothing");
	expect(r, "http", 200, "", "a limit of 0");
	tq_http_free(h);
}

/* ---- requests ------------------------------------------------------------- */

/* Sends it to /echo and compares what has arrived; %d in want is the port. */
static void
expect_echo(tq_http *h, tq_request *request, const char *want, const char *what)
{
	char url[200];
	char wanted[2000];
	tq_response *r;

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/echo?q=1", port);
	snprintf(wanted, sizeof(wanted), want, port);
	request->url = url;
	request->timeout_ms = 5000;
	r = perform(h, request);
	is_str(r->body, wanted, "%s: on the wire", what);
	tq_response_free(r);
}

static void
test_requests(void)
{
	static const char *const headers[] = {
		"Content-Type: application/json; charset=utf-8", "User-Agent: taskq/1", "X-Empty:",
		"X-Blank: ",
		"x-lower:tight", "X-Two:  two  blanks\tand a tab", "X-Bytes: \xc3\xbc\xff", "Accept: a/b",
		"Cookie: c=d", "Authorization: Basic eA=="};
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	tq_request full = {.method = "POST", .body = "{\"a\": 1}", .body_len = 8};
	tq_request bare = {.method = "POST"};

	full.headers = headers;
	full.nheaders = sizeof(headers) / sizeof(headers[0]);
	expect_echo(h, &full, "POST /echo?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
						  "Content-Type: application/json; charset=utf-8\r\nUser-Agent: taskq/1\r\n"
						  "X-Empty:\r\nX-Blank:\r\nx-lower:tight\r\n"
						  "X-Two:  two  blanks\tand a tab\r\n"
						  "X-Bytes: \xc3\xbc\xff\r\nAccept: a/b\r\nCookie: c=d\r\n"
						  "Authorization: Basic eA==\r\nContent-Length: 8\r\n\r\n{\"a\": 1}",
				"headers and body");
	expect_echo(h, &bare,
				"POST /echo?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 0\r\n\r\n",
				"POST without a body");
	bare.method = "PUT";
	expect_echo(h, &bare,
				"PUT /echo?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 0\r\n\r\n",
				"PUT without a body");
	bare.method = "PATCH";
	expect_echo(h, &bare,
				"PATCH /echo?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 0\r\n\r\n",
				"PATCH without a body");
	bare.method = "GET";
	expect_echo(h, &bare, "GET /echo?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", "GET");
	bare.method = "DELETE";
	expect_echo(h, &bare, "DELETE /echo?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", "DELETE");
	bare.method = "m-search";
	expect_echo(h, &bare, "m-search /echo?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", "any token");
	bare.method = "GET";
	bare.body = "x";
	bare.body_len = 1;
	expect_echo(h, &bare, "GET /echo?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
						  "Content-Length: 1\r\n\r\nx",
				"GET with a body");
	bare.method = "DELETE";
	bare.body_len = 0;
	expect_echo(h, &bare, "DELETE /echo?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
						  "Content-Length: 0\r\n\r\n",
				"an empty body");
	tq_http_free(h);
}

static void
test_head(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	tq_request head = {.method = "HEAD", .timeout_ms = 3000};
	char url[200];
	tq_response *r;

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/head", port);
	head.url = url;
	r = perform(h, &head);
	is_str(r->headers, "Content-Length: 1000", "HEAD: headers");
	is_int(r->body_len, 0, "HEAD: no body is waited for");
	expect(r, "http", 200, "", "HEAD");
	r = get(h, "/ok");
	ok(r->body_len > 0, "a body after HEAD");
	expect(r, "http", 200, "", "GET after HEAD");
	head.body = "abc";
	head.body_len = 3;
	expect(perform(h, &head), "invalid", 0, "a HEAD request cannot have a body",
		   "HEAD with a body");
	expect(get(h, "/ok"), "http", 200, "", "GET after an invalid HEAD");
	tq_http_free(h);
}

/* Bodies over a megabyte are where curl would ask with Expect. */
static void
test_large_request(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	size_t len = 1500000;
	char *body = malloc(len);
	tq_request request = {.method = "POST", .body = body, .body_len = len, .timeout_ms = 10000};
	char url[200];
	char want[200];
	tq_response *r;

	memset(body, 'b', len);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/echo", port);
	snprintf(want, sizeof(want), "POST /echo HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
								 "Content-Length: 1500000\r\n\r\nbbbb",
			 port);
	request.url = url;
	if (!tq_http_submit(h, &request, NULL))
		exit(1);
	r = next_response(h);
	ok(r->body != NULL && strncmp(r->body, want, strlen(want)) == 0, "on the wire, without Expect");
	expect(r, "http", 200, "", "a large body");
	free(body);
	tq_http_free(h);
}

static void
test_invalid(void)
{
	static const char *const injected[] = {"X-Api: secret\r\nAuthorization: injected"};
	static const char *const no_colon[] = {"nonsense"};
	static const char *const host[] = {"Host: other"};
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	int before = atomic_load(&server_seen->connections);
	tq_request request = {.method = "GET", .timeout_ms = 5000};
	char url[200];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/ok", port);
	expect(get_url(h, "nonsense", 5000), "invalid", 0, NULL, "no URL");
	expect(get_url(h, "http://u:secret@127.0.0.1/", 5000), "invalid", 0,
		   "URL has user information", "user information");
	expect(get_url(h, "file:///etc/passwd", 5000), "invalid", 0, NULL, "another scheme");

	request.url = url;
	request.nheaders = 1;
	request.headers = injected;
	expect(perform(h, &request), "invalid", 0, "header value has a control character", "injection");
	request.headers = no_colon;
	expect(perform(h, &request), "invalid", 0, "header line has no colon", "no colon");
	request.headers = host;
	expect(perform(h, &request), "invalid", 0, "header may not be set", "Host");
	request.nheaders = 0;
	request.method = "GET / HTTP/1.1\r\nX: y\r\n\r\nGET";
	expect(perform(h, &request), "invalid", 0, "method is not a token", "method");
	is_int(atomic_load(&server_seen->connections), before, "nothing of that was sent");
	tq_http_free(h);
}

/* ---- connections ---------------------------------------------------------- */

static void
test_keep_alive(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	int before = atomic_load(&server_seen->connections);
	int i;

	for (i = 0; i < 20; i++)
		tq_response_free(get(h, "/ok"));
	is_int(atomic_load(&server_seen->connections) - before, 1, "20 requests on one connection");

	before = atomic_load(&server_seen->connections);
	for (i = 0; i < 3; i++)
	{
		char url[100];
		tq_request request = {.method = "GET", .url = url, .timeout_ms = 5000};
		int n;

		snprintf(url, sizeof(url), "http://127.0.0.1:%d/ok", port);
		for (n = 0; n < 50; n++)
			tq_http_submit(h, &request, NULL);
		is_int(tq_http_inflight(h), 50, "50 in flight");
		for (n = 0; n < 50; n++)
			expect(next_response(h), "http", 200, "", "one of 50");
		is_int(tq_http_inflight(h), 0, "none in flight");
	}

	/* An answer may be there before the next request has asked for a connection. */
	ok(atomic_load(&server_seen->connections) - before <= 49,
	   "150 requests on 50 connections at most");
	tq_http_free(h);
}

/* ---- a connection that ends under a request --------------------------------- */

/* Checks how often it was sent, beside class and status, and frees the response. */
static void
expect_sent(tq_response *r, bool again, const char *cls, int status, const char *what)
{
	ok(r->resent == again, "%s: %s", what, again ? "sent again" : "sent once");
	expect(r, cls, status, NULL, what);
}

static void
test_resend(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	int connections = atomic_load(&server_seen->connections);
	int requests = atomic_load(&server_seen->requests);

	expect_sent(get(h, "/once"), false, "http", 200, "first request");
	expect_sent(get(h, "/once"), true, "http", 200, "closed after it was read");
	is_int(atomic_load(&server_seen->requests) - requests, 3, "so the receiver has seen it twice");
	is_int(atomic_load(&server_seen->connections) - connections, 2, "on two connections");

	requests = atomic_load(&server_seen->requests);
	expect_sent(get(h, "/close"), true, "reset", 0, "closed both times");
	is_int(atomic_load(&server_seen->requests) - requests, 2, "once more is enough");
	expect_sent(get(h, "/close"), false, "reset", 0, "closed on a new connection");
	is_int(atomic_load(&server_seen->requests) - requests, 3, "that is no reason");
	tq_response_free(get(h, "/ok"));
	expect_sent(get(h, "/half"), false, "reset", 200, "closed within an answer");
	is_int(atomic_load(&server_seen->requests) - requests, 5, "nor is that");
	tq_http_free(h);

	limits.resend = false;
	h = new_engine(&limits, "127.0.0.0/8");
	requests = atomic_load(&server_seen->requests);
	expect_sent(get(h, "/once"), false, "http", 200, "first request");
	expect(get(h, "/once"), "reset", 0, "connection was closed before an answer", "not allowed");
	is_int(atomic_load(&server_seen->requests) - requests, 2, "it is not sent again");
	tq_http_free(h);
}

/* What the peer does with a connection between two requests, soon after it was opened. */
static void
test_between(void)
{
	static const char *const paths[] = {"/bye", "/more"};
	tq_http_limits limits = BASIC_LIMITS;
	size_t i;

	limits.resend = false;
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
	{
		tq_http *h = new_engine(&limits, "127.0.0.0/8");
		int before = atomic_load(&server_seen->connections);

		expect(get(h, "/ok"), "http", 200, "", "first request");
		expect(get(h, paths[i]), "http", 200, "", paths[i]);
		usleep(20000);
		expect(get(h, "/ok"), "http", 200, "", "the request after it");
		is_int(atomic_load(&server_seen->connections) - before, 2, "is on a new connection");
		tq_http_free(h);
	}
}

/*
 * A connection that its peer ends while it is idle wakes the loop once, not for ever; not even once
 * if libcurl has found the answer before it asked for events of the socket, as 8.23 may.
 */
static void
test_idle_end(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	struct pollfd fd = {.fd = tq_http_fd(h), .events = POLLIN};
	int before = atomic_load(&server_seen->connections);

	expect(get(h, "/ok"), "http", 200, "", "a connection that is kept");
	expect(get(h, "/ok"), "http", 200, "", "and used again");
	is_int(atomic_load(&server_seen->connections) - before, 1, "one connection");
	is_int(poll(&fd, 1, 0), 0, "nothing happens on it");
	expect(get(h, "/bye"), "http", 200, "", "a connection that is ended");
	poll(&fd, 1, 200);
	tq_http_step(h);
	is_int(poll(&fd, 1, 0), 0, "the loop is not woken for ever");
	expect(get(h, "/ok"), "http", 200, "", "another connection");
	is_int(atomic_load(&server_seen->connections) - before, 2, "is made");
	tq_http_free(h);
}

/* The second try is on a new connection, although others are open that have not been tried. */
static void
test_resend_fresh(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	char url[100];
	tq_request request = {.method = "GET", .url = url, .timeout_ms = 5000};
	int left = atomic_load(&server_seen->left);
	int i;

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/leave", port);
	for (i = 0; i < 5; i++)
		tq_http_submit(h, &request, NULL);
	for (i = 0; i < 5; i++)
		expect_sent(next_response(h), false, "http", 200, "one of five");
	expect_sent(get(h, "/ok"), true, "http", 200, "on one that ends");
	is_int(atomic_load(&server_seen->left) - left, 1, "one of them was tried");
	expect_sent(get(h, "/ok"), false, "http", 200, "on the one that was used last");
	is_int(atomic_load(&server_seen->left) - left, 1, "none of the others was tried");
	tq_http_free(h);
}

/* The body is sent from its beginning, also if the end came while it was being sent. */
static void
test_resend_body(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h;
	size_t len = 1900000;
	char *body = malloc(len);
	tq_request request = {.method = "POST", .body = body, .body_len = len, .timeout_ms = 10000};
	char url[200];
	char want[200];
	tq_response *r;

	limits.max_response = 2000000;
	h = new_engine(&limits, "127.0.0.0/8");
	memset(body, 'b', len);
	tq_response_free(get(h, "/leave"));
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/echo", port);
	snprintf(want, sizeof(want), "POST /echo HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
								 "Content-Length: 1900000\r\n\r\nbbbb",
			 port);
	request.url = url;
	r = perform(h, &request);
	ok(r->body != NULL && strncmp(r->body, want, strlen(want)) == 0, "the whole request again");
	is_int(r->body_len, (int64_t) (strlen(want) - 4 + len), "with its whole body");
	expect_sent(r, true, "http", 200, "a large body");

	/* curl itself does not begin again when it has sent a part. */
	sends_left = 1;
	expect_sent(perform(h, &request), true, "http", 200, "broken off within the body");
	is_int(sends_left, -1, "as it was");
	sends_left = 0;
	expect_sent(perform(h, &request), true, "http", 200, "broken off at its beginning");
	free(body);
	tq_http_free(h);
}

/* What holds for a request holds for both times together. */
static void
test_resend_limits(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	int left = atomic_load(&server_seen->left);
	int requests = atomic_load(&server_seen->requests);
	tq_request request = {.method = "GET", .timeout_ms = 5000};
	char url[200];
	int64_t start;
	int tag;

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/mute", port);
	request.url = url;
	tq_response_free(get(h, "/leave"));
	start = clock_ms();
	expect_sent(get_url(h, url, 500), true, "timeout", 0, "the timeout");
	ok(clock_ms() - start >= 490 && clock_ms() - start < 980, "is one for both");

	tq_response_free(get(h, "/leave"));
	tq_http_submit(h, &request, &tag);
	while (atomic_load(&server_seen->requests) - requests < 4)
		tq_http_step(h);
	ok(tq_http_cancel(h, &tag), "the second time can be given up");
	expect_sent(next_response(h), true, "cancelled", 0, "given up");

	/* The rules change when the first time is under way. */
	tq_response_free(get(h, "/leave"));
	left = atomic_load(&server_seen->left);
	requests = atomic_load(&server_seen->connections);
	tq_http_submit(h, &request, &tag);
	tq_http_step(h);
	while (atomic_load(&server_seen->left) == left)
		;
	tq_http_set_egress(h, NULL);
	expect_sent(next_response(h), false, "egress_denied", 0, "the address is not allowed any more");
	is_int(atomic_load(&server_seen->connections), requests, "no connection");
	tq_http_free(h);
}

/* The number of connections that a request to path needs after so many idle seconds. */
static int
connections_after(tq_http *h, int seconds, const char *path)
{
	int before = atomic_load(&server_seen->connections);

	seconds_skipped += seconds;
	tq_response_free(get(h, path));
	return atomic_load(&server_seen->connections) - before;
}

static void
test_idle_connections(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");

	is_int(connections_after(h, 0, "/ok"), 1, "the first connection");
	is_int(connections_after(h, 13, "/ok"), 0, "is used again");
	is_int(connections_after(h, 16, "/ok"), 1, "but not when it was idle for long");
	is_int(connections_after(h, 0, "/keep"), 0, "the receiver says how long it keeps it");
	is_int(connections_after(h, 1, "/ok"), 0, "it is used again");
	is_int(connections_after(h, 3, "/ok"), 1, "but not when the receiver may close it");
	is_int(connections_after(h, 1, "/ok"), 0, "the new one is");
	ok(tq_http_timeout(h) > 50000 && tq_http_timeout(h) <= 60000, "idle ones are not forgotten");
	is_int(count_sockets(), 1, "one is open");
	seconds_skipped += 61;
	tq_http_step(h);
	is_int(count_sockets(), 0, "after a minute it is closed");
	is_int(tq_http_timeout(h), -1, "then there is nothing to do");
	tq_http_free(h);
}

static void
test_cancel(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	char url[100];
	tq_request request = {.method = "GET", .url = url, .timeout_ms = 20000};
	int requests = atomic_load(&server_seen->requests);
	int tags[3];
	int64_t start;
	tq_response *r;
	int i;

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/mute", port);
	for (i = 0; i < 3; i++)
		tq_http_submit(h, &request, &tags[i]);
	while (atomic_load(&server_seen->requests) - requests < 3)
	{
		struct pollfd fd = {tq_http_fd(h), POLLIN, 0};

		poll(&fd, 1, 1);
		tq_http_step(h);
	}
	start = clock_ms();
	ok(tq_http_cancel(h, &tags[1]), "cancel one of three");
	ok(clock_ms() - start < 1000, "at once");
	ok(!tq_http_cancel(h, &tags[1]), "not twice");
	is_int(tq_http_inflight(h), 2, "two are left");
	is_int(tq_http_timeout(h), 0, "the engine has something to say");
	r = next_response(h);
	ok(r->tag == &tags[1], "the right one");
	expect(r, "cancelled", 0, "given up", "cancelled");
	start = clock_ms();
	tq_http_free(h);
	ok(clock_ms() - start < 1000, "freed at once with two in flight");
}

/* ---- addresses ------------------------------------------------------------ */

static void
test_egress_denied(void)
{
	static const char *const hosts[] = {
		"127.0.0.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "127.1", "0", "0.0.0.0",
		"[::ffff:127.0.0.1]", "[::1]", "[::]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]",
		"[2002:7f00:1::1]", "localhost", "LOCALHOST", "%31%32%37.0.0.1",
		"169.254.169.254", "10.0.0.5"};
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "");
	int before = atomic_load(&server_seen->connections);
	char url[200];
	size_t i;

	for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
	{
		tq_response *r;

		snprintf(url, sizeof(url), "http://%s:%d/ok", hosts[i], port);
		r = get_url(h, url, 5000);
		ok(strncmp(r->error, "address is not allowed: ", 24) == 0, "%s: error", url);
		ok(strstr(r->error, "127.") == NULL, "%s: no address in it", url);
		expect(r, "egress_denied", 0, NULL, url);
	}
	is_int(atomic_load(&server_seen->connections), before, "not one connection");
	tq_http_free(h);

	/* A pooled connection does not outlive the rule that let it be made. */
	h = new_engine(&limits, "127.0.0.0/8");
	expect(get(h, "/ok"), "http", 200, "", "while allowed");
	if (!tq_http_set_egress(h, NULL))
		exit(1);
	before = atomic_load(&server_seen->requests);
	expect(get(h, "/ok"), "egress_denied", 0, "address is not allowed: loopback", "no longer");
	is_int(atomic_load(&server_seen->requests), before, "nothing was sent");
	tq_http_free(h);
}

/* Hosts and ports are judged before a name is looked up. */
static void
test_url_denied(void)
{
	static const struct
	{
		const char *hosts;
		const char *ports;
		const char *url;
		const char *error;
	} cases[] = {
		{"hooks.example.com", "", "http://no-host.invalid/", "URL is not allowed: list of hosts"},
		{"127.0.0.1", "", "http://localhost:%d/ok", "URL is not allowed: list of hosts"},
		{"localhost", "", "http://127.0.0.1:%d/ok", "URL is not allowed: list of hosts"},
		{"", "80, 443", "http://127.0.0.1:%d/ok", PORT_DENIED},
		{"127.0.0.1", "80, 443", "http://127.1:%d/ok", PORT_DENIED},
		{"127.0.0.1", "1-65535", "http://0x7f.1:%d/ok", NULL},
	};
	tq_http_limits limits = BASIC_LIMITS;
	char err[100];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		tq_egress egress = {0};
		tq_http *h = tq_http_new(&limits);
		char url[200];
		char error[100];
		tq_response *r;

		if (!tq_egress_allow(&egress, "127.0.0.0/8", err, sizeof(err)) ||
			!tq_egress_hosts(&egress, cases[i].hosts, err, sizeof(err)) ||
			!tq_egress_ports(&egress, cases[i].ports, err, sizeof(err)) ||
			!tq_http_set_egress(h, &egress))
			exit(1);
		tq_egress_free(&egress);
		snprintf(url, sizeof(url), cases[i].url, port);
		r = get_url(h, url, 5000);
		if (cases[i].error != NULL)
		{
			snprintf(error, sizeof(error), cases[i].error, port);
			expect(r, "egress_denied", 0, error, url);
		}
		else
			expect(r, "http", 200, "", url);
		tq_http_free(h);
	}
}

/* The rules change between resolution and connect, or while the connection waits in the pool. */
static void
test_egress_late(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	int before = atomic_load(&server_seen->connections);
	char url[200];
	tq_request request = {.method = "GET", .url = url, .timeout_ms = 5000};

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/ok", port);
	tq_http_submit(h, &request, NULL);
	tq_http_set_egress(h, NULL);
	expect(next_response(h), "egress_denied", 0, "address is not allowed: loopback",
		   "at the socket");
	is_int(atomic_load(&server_seen->connections), before, "no connection");
	tq_http_free(h);

	h = new_engine(&limits, "127.0.0.0/8");
	expect(get(h, "/ok"), "http", 200, "", "a connection is pooled");
	before = atomic_load(&server_seen->requests);
	tq_http_submit(h, &request, NULL);
	tq_http_set_egress(h, NULL);
	expect(next_response(h), "egress_denied", 0, "address is not allowed: loopback",
		   "at its reuse");
	is_int(atomic_load(&server_seen->requests), before, "no request");
	tq_http_free(h);
}

static void
test_next_address(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	char servers[64];
	char url[200];
	int before = atomic_load(&server_seen->connections);

	snprintf(servers, sizeof(servers), "127.0.0.1:%d", name_server_start());
	tq_http_set_servers(h, servers);
	snprintf(url, sizeof(url), "http://two.test:%d/ok", port);
	expect(get_url(h, url, 5000), "http", 200, "", "the second address answers");
	expect(get_url(h, url, 5000), "http", 200, "", "and again");
	is_int(atomic_load(&server_seen->connections) - before, 1, "on the same connection");
	snprintf(url, sizeof(url), "http://two.test:%d/ok", refused_port());
	expect(get_url(h, url, 5000), "connect", 0, "could not connect: Connection refused",
		   "no address is left");
	tq_http_free(h);

	/* A hosts file's names need no server. */
	h = new_engine(&limits, "127.0.0.0/8 ::1");
	snprintf(url, sizeof(url), "http://localhost:%d/ok", port);
	expect(get_url(h, url, 5000), "http", 200, "", "localhost");
	tq_http_free(h);
	name_server_stop();
}

/* A name server that takes every question and says nothing. */
static int
mute_name_server(char *servers, size_t len)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t addr_len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *) &addr, sizeof(addr)) != 0 ||
		getsockname(fd, (struct sockaddr *) &addr, &addr_len) != 0)
		exit(1);
	snprintf(servers, len, "127.0.0.1:%d", ntohs(addr.sin_port));
	return fd;
}

static void
test_mute_resolver(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	tq_request request = {.method = "GET", .url = "http://mute.test/?secret", .timeout_ms = 300};
	char servers[64];
	int fd = mute_name_server(servers, sizeof(servers));
	int64_t start = clock_ms();
	int tags[2];
	tq_response *r;

	ok(tq_http_set_servers(h, servers), "another name server");
	tq_http_submit(h, &request, &tags[0]);
	request.timeout_ms = 20000;
	tq_http_submit(h, &request, &tags[1]);
	ok(clock_ms() - start < 1000, "submit does not wait for names");

	/* Others go on meanwhile. */
	expect(get(h, "/ok"), "http", 200, "", "beside a look-up");
	r = next_response(h);
	ok(r->tag == &tags[0], "the one with little time ends");
	ok(clock_ms() - start >= 290 && clock_ms() - start < 5000, "at its deadline");
	expect(r, "timeout", 0, "host was not resolved in time", "mute name server");

	start = clock_ms();
	ok(tq_http_cancel(h, &tags[1]), "a look-up can be given up");
	ok(clock_ms() - start < 1000, "at once");
	expect(next_response(h), "cancelled", 0, "given up", "look-up given up");

	tq_http_submit(h, &request, &tags[1]);
	start = clock_ms();
	tq_http_free(h);
	ok(clock_ms() - start < 1000, "freed at once while looking up");
	close(fd);
}

/* ---- shortages of the machine ----------------------------------------------- */

/* Checks that it was not begun for that reason, and frees the response. */
static void
expect_short(tq_response *r, int shortage, const char *what)
{
	is_int(r->shortage, shortage, "%s: a shortage", what);
	expect(r, "internal", 0, NULL, what);
}

static void
test_few_descriptors(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	int before = atomic_load(&server_seen->connections);
	char url[200];
	tq_response *r;

	leave_descriptors(0);
	r = get(h, "/ok");
	is_str(r->error, "the limit of open files of the process is reached", "no descriptor: error");
	expect_short(r, EMFILE, "no descriptor");
	snprintf(url, sizeof(url), "http://localhost:%d/ok", port);
	expect_short(get_url(h, url, 5000), EMFILE, "none for a name");
	leave_descriptors(100);
	leave_descriptors(1);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", port);
	expect_short(get_url(h, url, 5000), EMFILE, "the last descriptor");
	is_int(atomic_load(&server_seen->connections), before, "no connection");
	expect(get(h, "/ok"), "http", 200, "", "the last one, without TLS");
	tq_http_close_idle(h);

	leave_descriptors(2);
	r = get_url(h, url, 5000);
	ok(strstr(r->error, "authorities") == NULL, "the file of authorities can be read");
	expect(r, "tls", 0, NULL, "two descriptors");
	expect(get(h, "/ok"), "http", 200, "", "two again");
	leave_descriptors(100);
	tq_http_free(h);
}

static void
test_shortages(void)
{
	static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	size_t i;

	interfaces_error = ENOBUFS;
	expect_short(get(h, "/ok"), ENOBUFS, "addresses of this machine");
	interfaces_error = 0;
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
	{
		socket_error = errors[i];
		expect_short(get(h, "/ok"), errors[i], strerror(errors[i]));
	}
	socket_error = EAFNOSUPPORT;
	expect(get(h, "/ok"), "connect", 0, NULL, "no shortage");
	socket_error = 0;

	connect_error = EADDRNOTAVAIL;
	expect_short(get(h, "/ok"), EADDRNOTAVAIL, "no local port");
	udp_error = EADDRNOTAVAIL;
	expect(get(h, "/ok"), "connect", 0, "could not connect: Cannot assign requested address",
		   "no local address");
	connect_error = udp_error = 0;
	expect(get(h, "/ok"), "http", 200, "", "afterwards");
	tq_http_free(h);
}

/* One socket that cannot be waited for is no reason to give up the others. */
static void
test_unwatched(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	int before = atomic_load(&server_seen->requests);
	tq_request request = {.method = "GET", .timeout_ms = 5000};
	char url[200];
	int tag;

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/mute", port);
	request.url = url;
	tq_http_submit(h, &request, &tag);
	while (atomic_load(&server_seen->requests) == before)
		tq_http_step(h);
	epoll_error = ENOSPC;
	expect_short(get(h, "/ok"), ENOSPC, "a socket that is not watched");
	epoll_error = 0;
	expect(get(h, "/ok"), "http", 200, "", "others are");
	is_int(tq_http_inflight(h), 1, "and what was under way still is");
	tq_http_free(h);
}

/* A new connection takes the place of an idle one. */
static void
test_max_connections(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	int before = atomic_load(&server_seen->connections);
	char url[200];

	snprintf(url, sizeof(url), "http://localhost:%d/ok", port);
	tq_http_set_max_connections(h, 1);
	expect(get(h, "/ok"), "http", 200, "", "one host");
	expect(get_url(h, url, 5000), "http", 200, "", "another host");
	expect(get(h, "/ok"), "http", 200, "", "the first again");
	is_int(atomic_load(&server_seen->connections) - before, 3, "on a new connection each");
	tq_http_set_max_connections(h, 2);
	expect(get_url(h, url, 5000), "http", 200, "", "the other again");
	before = atomic_load(&server_seen->connections);
	tq_response_free(get(h, "/ok"));
	tq_response_free(get_url(h, url, 5000));
	is_int(atomic_load(&server_seen->connections), before, "two are kept");
	tq_http_close_idle(h);
	before = atomic_load(&server_seen->connections);
	expect(get(h, "/ok"), "http", 200, "", "after idle ones were closed");
	is_int(atomic_load(&server_seen->connections) - before, 1, "on a new connection");
	tq_http_free(h);
}

#define MANY_HOSTS 6000
#define HOSTS_PART 500

static void
submit_to_host(tq_http *h, int number)
{
	char url[100];
	tq_request request = {.method = "POST", .url = url, .timeout_ms = 10000};

	snprintf(url, sizeof(url), "http://127.1.%d.%d:%d/ok", number / 250, number % 250 + 1,
			 server_port_of_all);
	if (!tq_http_submit(h, &request, NULL))
		exit(1);
}

/* The CPU time of requests to so many hosts that were never sent to before, in microseconds. */
static int64_t
cost_of_hosts(tq_http *h, int first, int n)
{
	int64_t before = cpu_us();
	int sent = 0;
	int ok = 0;
	int i;

	for (i = 0; i < n; i++)
	{
		tq_response *r;

		while (sent < n && sent < i + 50)
			submit_to_host(h, first + sent++);
		r = next_response(h);
		ok += r->status == 200;
		tq_response_free(r);
	}
	is_int(ok, n, "%d more hosts", n);
	return cpu_us() - before;
}

/* What a request costs does not depend on how many other hosts there were. */
static void
test_many_hosts(void)
{
	tq_http_limits limits = BASIC_LIMITS;
	tq_http *h = new_engine(&limits, "127.0.0.0/8");
	int64_t first;
	int64_t last;

	tq_http_set_max_connections(h, 50);
	first = cost_of_hosts(h, 0, HOSTS_PART);
	(void) cost_of_hosts(h, HOSTS_PART, MANY_HOSTS - 2 * HOSTS_PART);
	last = cost_of_hosts(h, MANY_HOSTS - HOSTS_PART, HOSTS_PART);
	ok(last < first * 2, "the last of %d hosts cost as much as the first", MANY_HOSTS);
	note("%d us and %d us a host", (int) (last / HOSTS_PART), (int) (first / HOSTS_PART));
	tq_http_free(h);
}

/* What the environment says must not matter. */
static void
poison_environment(void)
{
	char proxy[64];

	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", refused_port());
	setenv("http_proxy", proxy, 1);
	setenv("HTTPS_PROXY", proxy, 1);
	setenv("ALL_PROXY", proxy, 1);
	snprintf(key_log, sizeof(key_log), "/tmp/test_http.%d.keys", (int) getpid());
	setenv("SSLKEYLOGFILE", key_log, 1);
	setenv("SSL_CERT_FILE", "/nonexistent/ca", 1);
	setenv("CURL_CA_BUNDLE", "/nonexistent/ca", 1);
}

int
main(void)
{
	port = server_start();
	poison_environment();
	test_plain_answers();
	test_faults();
	test_untrusted_certificate();
	test_connect_timeout();
	test_deadlines();
	test_limits();
	test_requests();
	test_head();
	test_large_request();
	test_invalid();
	test_keep_alive();
	test_resend();
	test_between();
	test_idle_end();
	test_resend_fresh();
	test_resend_body();
	test_resend_limits();
	test_idle_connections();
	test_cancel();
	test_egress_denied();
	test_url_denied();
	test_egress_late();
	test_next_address();
	test_mute_resolver();
	test_few_descriptors();
	test_shortages();
	test_unwatched();
	test_max_connections();
	test_many_hosts();
	is_int(most_threads, 1, "never a second thread");
	server_stop();
	return done();
}

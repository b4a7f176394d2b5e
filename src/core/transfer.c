/*
 * transfer.c
 *		One exchange on one curl handle: options in, recordings out.
 *
 * Every option is set that matters for where a request goes or what it says, and
 * that libcurl would otherwise take from its defaults, the environment or a file.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strerrordesc_np(): messages in no locale's language */
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/links.h"
#include "core/shortage.h"
#include "core/transfer.h"

/* ---- callbacks: they record, nothing else --------------------------------- */

/*
 * curl begins a request again by itself when a connection that was open before has ended
 * without an answer, and when a peer has refused it unread (REFUSED_STREAM, GOAWAY,
 * HTTP_1_1_REQUIRED), which can happen on a new connection as well.
 */
static bool
may_begin_again(const tq_exchange *x)
{
	return !x->resent && (x->limits.resend || !x->reused);
}

static void
begin_again(tq_exchange *x)
{
	x->resent = x->response->resent = true;
	x->started = x->restarted = x->connected = false;
}

/*
 * The last descriptor is not used for TLS: curl opens the file of authorities for a connection
 * that stands, and what it cannot read would count as a fault of the peer's certificate.
 */
static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	tq_exchange *x = arg;
	int fd;

	(void) purpose;
	x->restarted = x->started;
	if (x->restarted && !may_begin_again(x))
		return CURL_SOCKET_BAD;
	x->denied = tq_egress_denied(x->egress, &addr->addr);
	if (x->denied != NULL)
		return CURL_SOCKET_BAD;
	fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
	x->shortage = fd < 0 ? tq_shortage_of(errno) : x->tls ? tq_shortage_of_descriptors()
														  : 0;
	if (fd >= 0 && x->shortage != 0)
	{
		close(fd);
		fd = CURL_SOCKET_BAD;
	}
	if (fd >= 0 && x->restarted)
		begin_again(x);
	x->opened = fd >= 0;
	if (x->opened)
	{
		x->link->sockets++;
		x->link->fd = fd;
		x->link->is_new = true;
		x->link->http2 = x->http2;
		x->link->received = 0;
		x->raw_from = 0;
	}
	return fd;
}

/* The exchange that opened it may have ended long ago. */
static int
close_socket(void *arg, curl_socket_t fd)
{
	tq_link *link = arg;

	link->sockets--;
	return close(fd);
}

/*
 * Called when there is a connection, also for a reused one, which open_socket()
 * does not see.  When curl would begin again on another one that was open before, it
 * is not let: that may have ended, too.
 */
static int
before_request(void *arg, char *primary_ip, char *local_ip, int primary_port, int local_port)
{
	tq_exchange *x = arg;
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	(void) local_ip;
	(void) primary_port;
	(void) local_port;
	if (x->started)
	{
		x->restarted = true;
		return CURL_PREREQFUNC_ABORT;
	}
	x->started = true;
	x->reused = !x->opened;
	x->opened = false;

	if (inet_pton(AF_INET, primary_ip, &v4.sin_addr) == 1)
		x->denied = tq_egress_denied(x->egress, (const struct sockaddr *) &v4);
	else if (inet_pton(AF_INET6, primary_ip, &v6.sin6_addr) == 1)
		x->denied = tq_egress_denied(x->egress, (const struct sockaddr *) &v6);
	else
		x->denied = "unknown address";
	return x->denied == NULL ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* A buffer that overflowed below its limit did so for lack of memory. */
static bool
ran_out_of_memory(const tq_buffer *b)
{
	return b->overflowed && b->len < b->limit;
}

/* ---- the head of an answer: what libcurl lets pass ------------------------- */

static const char no_http[] = "peer does not speak HTTP";

/*
 * With HTTP/2, libcurl writes the status line by itself.  Only some versions of libcurl let one
 * of another version of HTTP pass.
 */
static bool
status_line_wrong(const tq_exchange *x, const char *line, size_t len)
{
	return !x->link->http2 && (len < 7 || memcmp(line, "HTTP/1.", 7) != 0);
}

/*
 * A body where none may be.  libcurl reads it with the head, or not at all, and does not tell.
 * What came over TLS cannot be counted.
 */
static bool
has_forbidden_body(const tq_exchange *x)
{
	int64_t received;

	if (x->tls || x->link->received < 0)
		return false;
	received = tq_link_received(x->link, true);
	return received > x->link->received + (int64_t) x->head_bytes;
}

static bool
announces_body(const tq_exchange *x)
{
	char *length = tq_exchange_find_header(x, "Content-Length");
	char *coding = tq_exchange_find_header(x, "Transfer-Encoding");
	bool announced = coding != NULL || (length != NULL && strcmp(length, "0") != 0);

	free(length);
	free(coding);
	return announced;
}

static const char *
head_wrong(const tq_exchange *x)
{
	if (x->status == 101)
		return "receiver switches to a protocol that was not asked for";
	if (x->status == 204 && !x->link->http2 && (announces_body(x) || has_forbidden_body(x)))
		return "answer with status 204 has a body";
	return NULL;
}

/* libcurl tells of such an answer, too, newer versions of more of them; never in what way. */
static const char malformed[] = "answer is malformed";

static const char *
trailer_wrong(const char *line, size_t len)
{
	if (len == 0 || line[0] == ' ' || line[0] == '\t' || memchr(line, ':', len) != NULL)
		return NULL;
	return malformed;
}

/* Whether a line contradicts one before: of two lengths, libcurl 7.88 (Debian 12) takes one. */
static bool
has_other_length(const tq_exchange *x, const char *line, size_t len)
{
	static const char name[] = "Content-Length:";
	size_t n = strlen(name);
	char *first;
	bool differs;

	if (len < n || strncasecmp(line, name, n) != 0)
		return false;
	first = tq_exchange_find_header(x, "Content-Length");
	differs = first != NULL && atoll(first) != atoll(line + n);
	free(first);
	return differs;
}

/* Adds a line to the head; a line that continues the one before it becomes a part of that. */
static bool
keep_line(tq_exchange *x, const char *line, size_t len)
{
	const char *between = "\r\n";

	if (line[0] == ' ' || line[0] == '\t')
	{
		for (; len > 0 && (*line == ' ' || *line == '\t'); line++)
			len--;
		if (x->head.len == 0)
			return true;
		between = " ";
	}
	return (x->head.len == 0 || tq_buffer_append(&x->head, between, strlen(between))) &&
		   tq_buffer_append(&x->head, line, len);
}

/* A line without its end; false: the answer is given up. */
static bool
take_line(tq_exchange *x, const char *line, size_t len)
{
	if (x->head_done)
		x->wrong = trailer_wrong(line, len);
	else if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		const char *blank = memchr(line, ' ', len);

		x->wrong = status_line_wrong(x, line, len) ? no_http : NULL;
		x->status = blank != NULL && x->wrong == NULL ? atoi(blank) : 0;
		tq_buffer_reset(&x->head);
	}
	else if (len == 0)
	{
		x->head_done = x->status >= 200;
		x->wrong = head_wrong(x);
	}
	else if (has_other_length(x, line, len))
		x->wrong = malformed;
	else if (!keep_line(x, line, len))
	{
		x->out_of_memory = ran_out_of_memory(&x->head);
		x->too_large = !x->out_of_memory;
		return false;
	}
	return x->wrong == NULL;
}

/* Called with one line at a time: of 1xx answers, of the final answer, and of trailers. */
static size_t
take_header(char *line, size_t size, size_t n, void *arg)
{
	tq_exchange *x = arg;
	size_t given = size * n;
	size_t len = given;

	x->head_bytes += given;
	if (x->head_bytes > x->limits.max_headers)
	{
		x->too_large = true;
		return CURL_WRITEFUNC_ERROR;
	}
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	return take_line(x, line, len) ? given : CURL_WRITEFUNC_ERROR;
}

static size_t
take_content(char *data, size_t size, size_t n, void *arg)
{
	tq_exchange *x = arg;

	if (tq_buffer_append(&x->content, data, size * n))
		return size * n;
	x->out_of_memory = ran_out_of_memory(&x->content);
	return CURL_WRITEFUNC_ERROR;
}

/* ---- options -------------------------------------------------------------- */

#define MAX_HTTP2_BODY 16384

typedef struct long_option
{
	CURLoption option;
	long value;
} long_option;

static const long_option fixed_options[] = {
	{CURLOPT_NOSIGNAL, 1},
	{CURLOPT_NETRC, CURL_NETRC_IGNORED},
	{CURLOPT_FOLLOWLOCATION, 0},
	{CURLOPT_HTTP09_ALLOWED, 0},
	{CURLOPT_HTTP_CONTENT_DECODING, 0},
	{CURLOPT_SSL_VERIFYPEER, 1},
	{CURLOPT_SSL_VERIFYHOST, 2},
	{CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
	{CURLOPT_TCP_NODELAY, 1},
	{CURLOPT_DNS_CACHE_TIMEOUT, 0}, /* resolve.c resolves; else curl looks at all of it each time */
};

static CURLcode
set_fixed_options(CURL *easy)
{
	CURLcode code = CURLE_OK;
	size_t i;

	for (i = 0; i < sizeof(fixed_options) / sizeof(fixed_options[0]); i++)
		code |= curl_easy_setopt(easy, fixed_options[i].option, fixed_options[i].value);
	code |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
	code |= curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	code |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	return code;
}

/*
 * HTTP/2 is used for bodies that fit into the window with which a stream begins, and
 * only if TLS has agreed on it.  When a peer answers without reading a longer one,
 * libcurl (7.88, Debian 12) waits for the window and not for the answer, or the
 * next exchange on that connection fails.
 */
static CURLcode
set_version(CURL *easy, const tq_exchange *x)
{
	long version = x->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;

	return curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version);
}

/*
 * Trusts the configured file; without one the bundle that curl was built for, which
 * is named so that no environment variable can name another.  No directory is set
 * beside it, because with one curl reads the whole bundle again for each connection.
 */
static CURLcode
set_trust(CURL *easy, const char *ca_file)
{
	char *bundle = NULL;
	char *directory = NULL;

	if (ca_file != NULL)
		return curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file) |
			   curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_getinfo(easy, CURLINFO_CAINFO, &bundle);
	curl_easy_getinfo(easy, CURLINFO_CAPATH, &directory);
	if (bundle == NULL && directory == NULL)
		return CURLE_OK;
	return curl_easy_setopt(easy, CURLOPT_CAINFO, bundle) |
		   curl_easy_setopt(easy, CURLOPT_CAPATH, bundle != NULL ? NULL : directory);
}

static CURLcode
set_callbacks(CURL *easy, tq_exchange *x)
{
	CURLcode code = CURLE_OK;

	code |= curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
	code |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->curl_error);
	code |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	code |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, x);
	code |= curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	code |= curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request);
	code |= curl_easy_setopt(easy, CURLOPT_PREREQDATA, x);
	code |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	code |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
	code |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_content);
	code |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
	return code;
}

/*
 * A method that usually has a body says "Content-Length: 0" when there is none.  What the handle
 * has from the request before is taken back.
 */
static CURLcode
set_body(CURL *easy, const tq_exchange *x)
{
	CURLcode code = CURLE_OK;
	bool wants_length = strcmp(x->method, "POST") == 0 ||
						strcmp(x->method, "PUT") == 0 || strcmp(x->method, "PATCH") == 0;

	code |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) x->body_len);
	code |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, x->body != NULL ? x->body : "");
	if (x->body == NULL && !wants_length)
		code |= curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	else
		code |= curl_easy_setopt(easy, CURLOPT_POST, 1L);
	if (strcmp(x->method, "HEAD") == 0)
		code |= curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	return code;
}

/* curl copies the name. */
static CURLcode
set_method(tq_exchange *x)
{
	CURLcode code;

	if (strcmp(x->custom, x->method) == 0)
		return CURLE_OK;
	code = curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, x->method);
	snprintf(x->custom, sizeof(x->custom), "%s", code == CURLE_OK ? x->method : "");
	return code;
}

bool
tq_transfer_setup(tq_exchange *x, const char *ca_file)
{
	CURLcode code = CURLE_OK;

	x->custom[0] = '\0';
	code |= set_fixed_options(x->easy);
	code |= set_trust(x->easy, ca_file);
	code |= set_callbacks(x->easy, x);
	return code == CURLE_OK;
}

bool
tq_transfer_load(tq_exchange *x, bool http2)
{
	CURLcode code = CURLE_OK;

	x->http2 = http2 && x->tls && x->body_len <= MAX_HTTP2_BODY;
	code |= set_version(x->easy, x);
	code |= curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, 0L);
	code |= curl_easy_setopt(x->easy, CURLOPT_CURLU, x->url->handle);
	code |= set_body(x->easy, x);
	code |= set_method(x);
	code |= curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->lines);
	code |= curl_easy_setopt(x->easy, CURLOPT_CONNECTTIMEOUT_MS,
							 (long) x->limits.connect_timeout_ms);
	x->loaded = code == CURLE_OK;
	return x->loaded;
}

bool
tq_transfer_aim(tq_exchange *x, int64_t left_ms)
{
	CURLcode code = CURLE_OK;

	code |= curl_easy_setopt(x->easy, CURLOPT_SHARE, x->link->share);
	code |= curl_easy_setopt(x->easy, CURLOPT_CLOSESOCKETDATA, x->link);
	code |= curl_easy_setopt(x->easy, CURLOPT_CONNECT_TO, &x->link->connect_to);
	code |= curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, (long) left_ms);
	return code == CURLE_OK;
}

/* ---- a second time --------------------------------------------------------- */

/* Whether the connection that was kept open for the request ended before the answer began. */
static bool
ended_unanswered(const tq_exchange *x, CURLcode code)
{
	if (x->denied != NULL || x->too_large || x->wrong != NULL || x->head_bytes > 0)
		return false;
	if (x->restarted)
		return true;
	if (!x->started || !x->reused)
		return false;
	return code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING ||
		   code == CURLE_PARTIAL_FILE || code == CURLE_HTTP2;
}

bool
tq_transfer_again(tq_exchange *x, CURLcode code)
{
	CURLcode options = CURLE_OK;

	if (!ended_unanswered(x, code) || !may_begin_again(x))
		return false;
	begin_again(x);
	options |= curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, 1L);
	options |= curl_easy_setopt(x->easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	return options == CURLE_OK;
}

/* ---- the answer ----------------------------------------------------------- */

/* What curl says about connect time and local port depends on its version. */
bool
tq_transfer_unreached(const tq_exchange *x, CURLcode code)
{
	if (x->denied != NULL || x->started || x->connected)
		return false;
	return code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT;
}

/* The address at which the transfer was aimed. */
static const struct sockaddr *
address_of(const tq_exchange *x)
{
	return (const struct sockaddr *) &x->addresses.addr[x->next_address - 1];
}

int
tq_transfer_shortage(const tq_exchange *x, CURLcode code)
{
	long number = 0;

	if (x->started || x->denied != NULL)
		return 0;
	if (x->shortage != 0)
		return x->shortage;
	if (code == CURLE_OUT_OF_MEMORY)
		return ENOMEM;
	if (code != CURLE_COULDNT_CONNECT)
		return 0;
	curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &number);
	if (number == EADDRNOTAVAIL &&
		!tq_shortage_of_ports(address_of(x), sizeof(struct sockaddr_storage)))
		return 0;
	return tq_shortage_of((int) number);
}

/* curl's messages on certificates are useful, but partly the peer's text: made printable. */
static void
explain_tls(tq_exchange *x, CURLcode code)
{
	const char *text = x->curl_error[0] ? x->curl_error : curl_easy_strerror(code);
	char *p;

	if (code == CURLE_OPERATION_TIMEDOUT)
		text = "handshake took too long";
	if (code == CURLE_SSL_CACERT_BADFILE)
		text = "the file of certificate authorities cannot be read"; /* not where it is */
	snprintf(x->response->error, sizeof(x->response->error), "TLS: %.200s", text);
	for (p = x->response->error; *p != '\0'; p++)
		if ((unsigned char) *p < 0x20 || (unsigned char) *p >= 0x7f)
			*p = '?';
}

static void
explain_connect(tq_exchange *x, CURLcode code)
{
	long number = 0;
	const char *text = NULL;

	curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &number);
	if (code == CURLE_OPERATION_TIMEDOUT)
		text = "connect timeout";
	else if (number != 0)
		text = strerrordesc_np((int) number);
	snprintf(x->response->error, sizeof(x->response->error), "could not connect: %s",
			 text != NULL ? text : "no route or refused");
}

/* Static texts by class, for what needs no detail. */
static void
explain(tq_exchange *x, CURLcode code, const char *text)
{
	if (text != NULL)
		snprintf(x->response->error, sizeof(x->response->error), "%s", text);
	else if (code != CURLE_OK)
		snprintf(x->response->error, sizeof(x->response->error), "%s", curl_easy_strerror(code));
}

/*
 * Over HTTP/2 a peer may answer before it has received the whole body, and end the
 * stream.  Such an answer is valid: RFC 9113, section 8.1.  libcurl (7.88, Debian 12)
 * hands over the whole answer, and then fails because it could not send the rest; it
 * gives no text for that, but one for a stream that was not closed cleanly.  It does
 * not say whether the answer is complete.
 */
static bool
answered_before_body(const tq_exchange *x, CURLcode code)
{
	return code == CURLE_HTTP2_STREAM && x->head_done && x->curl_error[0] == '\0';
}

/* The length of the body that the answer's head announces; -1: none. */
static curl_off_t
promised_length(const tq_exchange *x)
{
	curl_off_t length = -1;

	if (x->status == 204)
		return 0;
	curl_easy_getinfo(x->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	return length;
}

int64_t
tq_transfer_received(const tq_exchange *x)
{
	if (x->tls || x->link->http2)
		return -1;
	/* Asking costs a call of the system.  The parts of a chunked body have heads of their own. */
	if (x->link->received < 0 || promised_length(x) != (curl_off_t) x->content.len)
		return tq_link_received(x->link, true);
	return x->link->received + (int64_t) x->head_bytes + (int64_t) x->content.len;
}

static tq_class
classify(const tq_exchange *x, CURLcode code, bool time_is_up)
{
	if (x->denied != NULL)
		return TQ_CLASS_EGRESS_DENIED;
	if (x->out_of_memory)
		return TQ_CLASS_INTERNAL;
	if (x->restarted)
		return TQ_CLASS_RESET;
	if (x->too_large)
		return TQ_CLASS_TOO_LARGE;
	if (x->wrong != NULL)
		return TQ_CLASS_PROTOCOL;
	if (answered_before_body(x, code) && promised_length(x) > (curl_off_t) x->content.len)
		return TQ_CLASS_RESET;

	/* We cut the body off, so the status is valid. */
	if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && x->content.overflowed) ||
		answered_before_body(x, code))
		return x->status >= 100 && x->status <= 999 ? TQ_CLASS_HTTP : TQ_CLASS_PROTOCOL;

	/* curl has a limit of its own for one header line, and this code for it. */
	if (code == CURLE_OUT_OF_MEMORY && x->started)
		return TQ_CLASS_TOO_LARGE;
	if (tq_transfer_unreached(x, code))
		return time_is_up ? TQ_CLASS_TIMEOUT : TQ_CLASS_CONNECT;
	if (code == CURLE_OPERATION_TIMEDOUT && !x->started && !time_is_up)
		return TQ_CLASS_TLS;
	return tq_class_of_curl(code);
}

/* -1: it was not reached.  curl counts from the start of the transfer. */
static int64_t
moment(const tq_exchange *x, CURLINFO info)
{
	curl_off_t us = 0;

	curl_easy_getinfo(x->easy, info, &us);
	return us > 0 ? us : -1;
}

static void
take_times(tq_exchange *x)
{
	tq_times *times = &x->response->times;
	int64_t tls = moment(x, CURLINFO_APPCONNECT_TIME_T);
	int64_t first_byte = moment(x, CURLINFO_STARTTRANSFER_TIME_T);

	times->connect_us = moment(x, CURLINFO_CONNECT_TIME_T);
	if (tls >= 0)
		times->tls_us = tls - (times->connect_us > 0 ? times->connect_us : 0);
	if (first_byte >= 0 && x->status != 0)
		times->first_byte_us = first_byte - moment(x, CURLINFO_PRETRANSFER_TIME_T);
}

int
tq_transfer_status(const tq_exchange *x)
{
	return x->status >= 200 && x->status <= 999 ? x->status : 0;
}

void
tq_transfer_conclude(tq_exchange *x, CURLcode code, bool time_is_up)
{
	tq_response *r = x->response;

	take_times(x);
	/* Some versions of libcurl do not hand it over. */
	if (code == CURLE_BAD_FUNCTION_ARGUMENT && x->head_done && x->wrong == NULL)
		x->wrong = malformed;
	r->cls = classify(x, code, time_is_up);
	r->status = r->cls == TQ_CLASS_HTTP ? x->status : tq_transfer_status(x);
	r->truncated = r->cls == TQ_CLASS_HTTP &&
				   (x->content.overflowed ||
					(answered_before_body(x, code) && promised_length(x) < 0));
	switch (r->cls)
	{
		case TQ_CLASS_HTTP:
			break;
		case TQ_CLASS_TLS:
			explain_tls(x, code);
			break;
		case TQ_CLASS_CONNECT:
			explain_connect(x, code);
			break;
		case TQ_CLASS_EGRESS_DENIED:
			snprintf(r->error, sizeof(r->error), "address is not allowed: %s", x->denied);
			break;
		case TQ_CLASS_TIMEOUT:
			explain(x, code, x->started ? "no complete answer in time" : "no connection in time");
			break;
		case TQ_CLASS_TOO_LARGE:
			explain(x, code, "response headers are too large");
			break;
		case TQ_CLASS_PROTOCOL:
			explain(x, code, x->wrong != NULL ? x->wrong : x->status != 0 ? malformed
																		  : no_http);
			break;
		case TQ_CLASS_RESET:
			explain(x, code, x->restarted ? "connection was closed before an answer" : NULL);
			break;
		default:
			explain(x, code, x->out_of_memory ? tq_out_of_memory : NULL);
			break;
	}
}

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
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/transfer.h"

/* ---- callbacks: they record, nothing else --------------------------------- */

static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	tq_exchange *x = arg;

	(void) purpose;
	x->denied = tq_egress_denied(x->egress, &addr->addr);
	if (x->denied != NULL)
		return CURL_SOCKET_BAD;
	return socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
}

/*
 * Called when there is a connection, also for a reused one, which open_socket()
 * does not see.  A second call means that a reused connection broke after the
 * request was written, and that curl would write it again: an attempt is sent once.
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

/* Called with one line at a time: of 1xx answers, of the final answer, and of trailers. */
static size_t
take_header(char *line, size_t size, size_t n, void *arg)
{
	tq_exchange *x = arg;
	size_t len = size * n;
	size_t given = len;

	x->head_bytes += len;
	if (x->head_bytes > x->limits.max_headers)
	{
		x->too_large = true;
		return CURL_WRITEFUNC_ERROR;
	}
	if (x->head_done)
		return given;

	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		const char *blank = memchr(line, ' ', len);

		x->status = blank != NULL ? atoi(blank) : 0;
		tq_buffer_reset(&x->head);
	}
	else if (len == 0)
		x->head_done = x->status >= 200 || x->status == 101;
	else if ((x->head.len > 0 && !tq_buffer_append(&x->head, "\r\n", 2)) ||
			 !tq_buffer_append(&x->head, line, len))
	{
		x->out_of_memory = ran_out_of_memory(&x->head);
		x->too_large = !x->out_of_memory;
		return CURL_WRITEFUNC_ERROR;
	}
	return given;
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
set_version(CURL *easy, const tq_exchange *x, bool http2)
{
	long version = CURL_HTTP_VERSION_1_1;

	if (http2 && x->body_len <= MAX_HTTP2_BODY)
		version = CURL_HTTP_VERSION_2TLS;
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
	code |= curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request);
	code |= curl_easy_setopt(easy, CURLOPT_PREREQDATA, x);
	code |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	code |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
	code |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_content);
	code |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
	return code;
}

/* A method that usually has a body says "Content-Length: 0" when there is none. */
static CURLcode
set_body(CURL *easy, const tq_exchange *x)
{
	CURLcode code = CURLE_OK;
	bool wants_length = strcmp(x->method, "POST") == 0 ||
						strcmp(x->method, "PUT") == 0 || strcmp(x->method, "PATCH") == 0;

	if (strcmp(x->method, "HEAD") == 0)
		code |= curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	if (x->has_body || wants_length)
	{
		code |= curl_easy_setopt(easy, CURLOPT_POST, 1L);
		code |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) x->body_len);
		code |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, x->has_body ? x->body : "");
	}
	return code;
}

bool
tq_transfer_setup(tq_exchange *x, CURL *easy, const char *ca_file, bool http2)
{
	CURLcode code = CURLE_OK;

	code |= set_fixed_options(easy);
	code |= set_version(easy, x, http2);
	code |= set_trust(easy, ca_file);
	code |= set_callbacks(easy, x);
	code |= curl_easy_setopt(easy, CURLOPT_CURLU, x->url.handle);
	code |= set_body(easy, x);
	code |= curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, x->method);
	code |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers);
	code |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) x->limits.connect_timeout_ms);
	return code == CURLE_OK;
}

bool
tq_transfer_aim(tq_exchange *x, const struct sockaddr *addr, int64_t left_ms)
{
	char ip[INET6_ADDRSTRLEN];
	char target[INET6_ADDRSTRLEN + 16];
	const char *form;
	CURLcode code;

	if (addr->sa_family == AF_INET)
	{
		inet_ntop(AF_INET, &((const struct sockaddr_in *) addr)->sin_addr, ip, sizeof(ip));
		form = "::%s:%s";
	}
	else
	{
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *) addr)->sin6_addr, ip, sizeof(ip));
		form = "::[%s]:%s";
	}
	snprintf(target, sizeof(target), form, ip, x->url.port);

	curl_slist_free_all(x->connect_to);
	x->connect_to = curl_slist_append(NULL, target);
	if (x->connect_to == NULL)
		return false;
	code = curl_easy_setopt(x->easy, CURLOPT_CONNECT_TO, x->connect_to);
	code |= curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, (long) left_ms);
	return code == CURLE_OK;
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

void
tq_transfer_conclude(tq_exchange *x, CURLcode code, bool time_is_up)
{
	tq_response *r = x->response;

	take_times(x);
	r->cls = classify(x, code, time_is_up);
	r->status = (x->status >= 200 && x->status <= 999) || r->cls == TQ_CLASS_HTTP ? x->status : 0;
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
			explain(x, code, "peer does not speak HTTP");
			break;
		case TQ_CLASS_RESET:
			explain(x, code, x->restarted ? "connection was closed before an answer" : NULL);
			break;
		default:
			explain(x, code, x->out_of_memory ? tq_out_of_memory : NULL);
			break;
	}
}

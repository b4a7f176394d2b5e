/*
 * receiver.c
 *		The other end of a delivery: a web server for the requests that taskq sends.
 *
 * It has no limit of connections of one address, as the gateway has: they are all of one sender.
 */
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/input.h"
#include "cli/receiver.h"
#include "cli/report.h"
#include "core/signature.h"

#define LOOPBACK_BODY (16 << 20)
#define BACKLOG       511
#define MAX_SECRETS   8
#define TOLERANCE_S   300  /* as verify_signature() has it */
#define MAX_SIGNED    1024 /* of id and timestamp */

typedef struct Secret
{
	unsigned char bytes[TQ_SECRET_MAX];
	size_t len;
} Secret;

struct cli_secrets
{
	Secret secrets[MAX_SECRETS];
	int n;
};

struct cli_receiver
{
	http_server *http;
	http_handlers http_handlers;
	cli_receiver_handlers handlers;
	const cli_secrets *secrets;
	size_t max_body;
	bool stopping;
};

/* ---- signatures ------------------------------------------------------------------ */

cli_secrets *
cli_secrets_read(const char *path)
{
	cli_secrets *s = calloc(1, sizeof(*s));
	char *text = cli_read_file(path, NULL);
	char *place = NULL;
	char *line;

	if (s == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	for (line = strtok_r(text, "\r\n", &place); line != NULL; line = strtok_r(NULL, "\r\n", &place))
	{
		Secret *secret = &s->secrets[s->n];
		const char *fault = s->n < MAX_SECRETS ? tq_secret_read(line, secret->bytes, &secret->len)
											   : "there are too many";

		if (fault != NULL)
			cli_fail(EXIT_REFUSED, "It has one secret a line, as taskq endpoint create showed it.",
					 "%s, secret %d: %s", path, s->n + 1, fault);
		s->n++;
	}
	if (s->n == 0)
		cli_fail(EXIT_REFUSED, NULL, "%s: there is no secret in it", path);
	return s;
}

/* Whether a secret makes one of the signatures of the text. */
static bool
is_signed(const Secret *secret, const tq_buffer *text, const char *signatures)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = sizeof(mac);
	char signature[TQ_SIGNATURE_LENGTH + 1];

	if (HMAC(EVP_sha256(), secret->bytes, (int) secret->len, (const unsigned char *) text->data,
			 text->len, mac, &len) == NULL)
		return false;
	tq_signature_write(mac, signature);
	return tq_signature_is_among(signatures, signature);
}

/* A signature of another day is that of a request which somebody has recorded. */
static bool
is_recent(const char *timestamp)
{
	char *end;
	long long seconds = strtoll(timestamp, &end, 10);
	long long now = (long long) time(NULL);

	return end != timestamp && *end == '\0' && seconds >= now - TOLERANCE_S &&
		   seconds <= now + TOLERANCE_S;
}

static bool
has_signature(const cli_secrets *s, const http_request *r)
{
	const char *id = http_header(r, "webhook-id");
	const char *timestamp = http_header(r, "webhook-timestamp");
	const char *signatures = http_header(r, "webhook-signature");
	tq_buffer text;
	bool found = false;
	int i;

	if (id == NULL || timestamp == NULL || signatures == NULL || !is_recent(timestamp))
		return false;
	tq_buffer_init(&text, r->body.len + MAX_SIGNED);
	if (tq_buffer_append(&text, id, strlen(id)) && tq_buffer_append(&text, ".", 1) &&
		tq_buffer_append(&text, timestamp, strlen(timestamp)) && tq_buffer_append(&text, ".", 1) &&
		(r->body.len == 0 || tq_buffer_append(&text, r->body.data, r->body.len)))
		for (i = 0; i < s->n; i++)
			found = is_signed(&s->secrets[i], &text, signatures) || found;
	tq_buffer_free(&text);
	return found;
}

/* ---- requests -------------------------------------------------------------------- */

void
cli_receiver_refuse(http_request *r, int status, const char *reason)
{
	char body[400];
	int len = snprintf(body, sizeof(body), "{\"status\":\"error\",\"reason\":\"%s\"}\n", reason);

	http_answer(r, status, HTTP_TYPE_JSON, body, (size_t) len);
}

static void
refuse_stopping(http_request *r)
{
	http_add(r, "Retry-After", "1");
	http_add(r, "Connection", "close");
	cli_receiver_refuse(r, 503, "the receiver stops");
}

static size_t
begin_request(void *arg, http_request *r)
{
	const cli_receiver *receiver = arg;

	if (receiver->stopping)
		refuse_stopping(r);
	return receiver->max_body;
}

/* Any page can have a browser send requests to this machine; taskq sends neither header. */
static bool
may_be_of_a_page(const http_request *r)
{
	return http_header(r, "Origin") != NULL || http_header(r, "Sec-Fetch-Site") != NULL ||
		   (http_is_direct(r) && !http_is_for_this_machine(r));
}

static void
handle_request(void *arg, http_request *r)
{
	const cli_receiver *receiver = arg;

	if (receiver->stopping)
		refuse_stopping(r);
	else if (receiver->secrets != NULL && !has_signature(receiver->secrets, r))
		cli_receiver_refuse(r, 401, "the signature is missing, too old or wrong");
	else if (receiver->secrets == NULL && may_be_of_a_page(r))
		cli_receiver_refuse(r, 403, "requests of web pages are not taken");
	else
		receiver->handlers.take(receiver->handlers.arg, r);
}

static void
tell_gone(void *arg, http_request *r)
{
	const cli_receiver *receiver = arg;

	receiver->handlers.gone(receiver->handlers.arg, r);
}

static void
end_request(void *arg, http_request *r)
{
	(void) arg;
	(void) r;
}

/* ---- the whole ------------------------------------------------------------------- */

cli_receiver *
cli_receiver_new(const int *sockets, int nsockets, size_t max_body, const cli_secrets *secrets,
				 const cli_receiver_handlers *handlers)
{
	const http_options o = {.sockets = sockets, .nsockets = nsockets};
	cli_receiver *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->handlers = *handlers;
	r->http_handlers = (http_handlers){begin_request, handle_request, tell_gone, end_request, r};
	r->secrets = secrets;
	r->max_body = max_body;
	r->http = http_new(&o, &r->http_handlers);
	if (r->http != NULL)
		return r;
	free(r);
	return NULL;
}

cli_receiver *
cli_receiver_on_loopback(const cli_receiver_handlers *handlers, int *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
								  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cli_receiver *r;

	if (fd < 0)
		return NULL;
	if (bind(fd, (struct sockaddr *) &address, size) != 0 || listen(fd, BACKLOG) != 0 ||
		getsockname(fd, (struct sockaddr *) &address, &size) != 0 ||
		(r = cli_receiver_new(&fd, 1, LOOPBACK_BODY, NULL, handlers)) == NULL)
	{
		close(fd);
		return NULL;
	}
	*port = ntohs(address.sin_port);
	return r;
}

int
cli_receiver_poll(const cli_receiver *r, struct pollfd *fds)
{
	return http_poll(r->http, fds);
}

int
cli_receiver_timeout(const cli_receiver *r)
{
	return http_timeout(r->http);
}

void
cli_receiver_step(cli_receiver *r)
{
	http_step(r->http);
}

void
cli_receiver_stop(cli_receiver *r)
{
	r->stopping = true;
}

int
cli_receiver_count(const cli_receiver *r)
{
	return http_count(r->http);
}

void
cli_receiver_free(cli_receiver *r)
{
	if (r == NULL)
		return;
	http_free(r->http);
	free(r);
}

/*
 * receiver.c
 *		A web server on loopback inside the program, for demo and bench.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/receiver.h"
#include "core/buffer.h"

#define MAX_REQUEST (16 << 20)
#define MAX_PATH    256
#define CHUNK       65536
#define ANSWER      "HTTP/1.1 204 No Content\r\n\r\n"
#define END_OF_HEAD "\r\n\r\n"

typedef struct Peer
{
	int fd; /* -1: this place is free */
	tq_buffer input;
} Peer;

struct cli_receiver
{
	int fd;
	int port;
	Peer peers[RECEIVER_MAX];
	cli_receiver_taker *take;
	void *arg;
};

/* ---- requests ------------------------------------------------------------------ */

/* The length of the body, by the head of the request. */
static size_t
body_length(const char *head)
{
	const char *field = strcasestr(head, "\r\ncontent-length:");

	return field != NULL ? strtoull(field + strlen("\r\ncontent-length:"), NULL, 10) : 0;
}

static void
hand_over(const cli_receiver *r, const char *head, const char *body, size_t len)
{
	char path[MAX_PATH] = "";

	(void) sscanf(head, "%*s %255s", path);
	r->take(r->arg, path, body, len);
}

/* The bytes of the first request in the input; 0: it is not complete yet. */
static size_t
take_first_request(const cli_receiver *r, char *input, size_t len)
{
	char *end = memmem(input, len, END_OF_HEAD, strlen(END_OF_HEAD));
	size_t head;
	size_t body;

	if (end == NULL)
		return 0;
	head = (size_t) (end - input) + strlen(END_OF_HEAD);
	*end = '\0';
	body = body_length(input);
	if (body > len - head)
	{
		*end = '\r';
		return 0;
	}
	hand_over(r, input, input + head, body);
	return head + body;
}

/* ---- connections ----------------------------------------------------------------- */

static void
close_peer(Peer *peer)
{
	close(peer->fd);
	peer->fd = -1;
	tq_buffer_free(&peer->input);
}

/* An answer is so short that the socket takes it. */
static void
answer(Peer *peer)
{
	if (send(peer->fd, ANSWER, strlen(ANSWER), MSG_NOSIGNAL) != (ssize_t) strlen(ANSWER))
		close_peer(peer);
}

static void
answer_requests(const cli_receiver *r, Peer *peer)
{
	size_t begin = 0;
	size_t n;

	while (peer->fd >= 0 && begin < peer->input.len &&
		   (n = take_first_request(r, peer->input.data + begin, peer->input.len - begin)) > 0)
	{
		begin += n;
		answer(peer);
	}
	if (peer->fd < 0 || begin == 0)
		return;
	peer->input.len -= begin;
	memmove(peer->input.data, peer->input.data + begin, peer->input.len);
	peer->input.data[peer->input.len] = '\0';
}

static void
read_peer(const cli_receiver *r, Peer *peer)
{
	char bytes[CHUNK];
	ssize_t n = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || !tq_buffer_append(&peer->input, bytes, (size_t) n))
		close_peer(peer);
	else
		answer_requests(r, peer);
}

static void
accept_peers(cli_receiver *r)
{
	int i;

	for (i = 0; i < RECEIVER_MAX; i++)
	{
		Peer *peer = &r->peers[i];

		if (peer->fd >= 0)
			continue;
		/* cppcheck-suppress nullPointer */
		peer->fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (peer->fd < 0)
			return;
		tq_buffer_init(&peer->input, MAX_REQUEST);
	}
}

void
cli_receiver_step(cli_receiver *r)
{
	int i;

	accept_peers(r);
	for (i = 0; i < RECEIVER_MAX; i++)
		if (r->peers[i].fd >= 0)
			read_peer(r, &r->peers[i]);
}

int
cli_receiver_poll(const cli_receiver *r, struct pollfd *fds)
{
	int n = 0;
	int i;

	fds[n++] = (struct pollfd){r->fd, POLLIN, 0};
	for (i = 0; i < RECEIVER_MAX; i++)
		if (r->peers[i].fd >= 0)
			fds[n++] = (struct pollfd){r->peers[i].fd, POLLIN, 0};
	return n;
}

/* ---- the whole ------------------------------------------------------------------------ */

static bool
start_listening(cli_receiver *r)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
								  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);

	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r->fd < 0 || bind(r->fd, (struct sockaddr *) &address, size) != 0 ||
		listen(r->fd, RECEIVER_MAX) != 0 ||
		getsockname(r->fd, (struct sockaddr *) &address, &size) != 0)
		return false;
	r->port = ntohs(address.sin_port);
	return true;
}

cli_receiver *
cli_receiver_new(cli_receiver_taker *take, void *arg)
{
	cli_receiver *r = calloc(1, sizeof(*r));
	int i;

	if (r == NULL)
		return NULL;
	r->take = take;
	r->arg = arg;
	for (i = 0; i < RECEIVER_MAX; i++)
		r->peers[i].fd = -1;
	if (start_listening(r))
		return r;
	cli_receiver_free(r);
	return NULL;
}

int
cli_receiver_port(const cli_receiver *r)
{
	return r->port;
}

void
cli_receiver_free(cli_receiver *r)
{
	int i;

	if (r == NULL)
		return;
	for (i = 0; i < RECEIVER_MAX; i++)
		if (r->peers[i].fd >= 0)
			close_peer(&r->peers[i]);
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

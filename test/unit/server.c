/*
 * server.c
 *		A web server in a child process that misbehaves as the path asks it to.
 *
 * One poll loop; a connection's answer is a text that is written as far as
 * the socket takes it, repeated for ever or dripped byte by byte.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server.h"

#define MAX_CONNECTIONS 200
#define MAX_INPUT       (2 * 1024 * 1024)
#define DRIP_MS         20
#define MORE_US         2000
#define LEAVE_US        20000 /* from the count until the connection is closed */

typedef enum ending
{
	KEEP,  /* the connection, for the next request */
	LEAVE, /* likewise, but close it when that begins */
	MORE,  /* likewise, but send the answer's last part a moment later */
	CLOSE,
	RESET,
	STALL, /* says nothing more */
	REPEAT /* the answer's last part, without end */
} ending;

typedef struct script
{
	const char *path;
	const char *answer;
	ending end;
	bool drip;          /* a byte every DRIP_MS, none at once */
	const char *repeat; /* for REPEAT and MORE */
} script;

#define OK_HEAD "HTTP/1.1 200 OK\r\n"

static const script scripts[] = {
	{"/ok", OK_HEAD "Content-Length: 2\r\nX-Test: yes\r\n\r\nok", KEEP, false, NULL},
	{"/leave", OK_HEAD "Content-Length: 0\r\n\r\n", LEAVE, false, NULL},
	{"/keep", OK_HEAD "Keep-Alive: max=9, timeout=3\r\nContent-Length: 0\r\n\r\n", KEEP, false,
	 NULL},
	{"/204", "HTTP/1.1 204 No Content\r\n\r\n", KEEP, false, NULL},
	{"/500", "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", KEEP, false, NULL},
	{"/503", "HTTP/1.1 503 Busy\r\nretry-after: \t7 \r\nContent-Length: 0\r\n\r\n", KEEP, false,
	 NULL},
	{"/302", "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", KEEP, false, NULL},
	{"/head", OK_HEAD "Content-Length: 1000\r\n\r\n", KEEP, false, NULL},
	{"/early",
	 "HTTP/1.1 103 Early Hints\r\nX-Early: yes\r\n\r\n" OK_HEAD
	 "X-Late: yes\r\nContent-Length: 0\r\n\r\n",
	 KEEP, false, NULL},
	{"/trailer", OK_HEAD "Transfer-Encoding: chunked\r\nX-Head: yes\r\n\r\n2\r\nok\r\n0\r\n"
						 "HTTP/1.1: trailer\r\nX-Trailer: yes\r\n\r\n",
	 KEEP, false, NULL},
	{"/gzip", OK_HEAD "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08!", KEEP,
	 false,
	 NULL},
	{"/101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", STALL, false, NULL},
	{"/http2", "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n", KEEP, false, NULL},
	{"/204-length", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody", KEEP, false, NULL},
	{"/204-zero", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", KEEP, false, NULL},
	{"/204-body", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\nbody", CLOSE, false, NULL},
	{"/204-more", "HTTP/1.1 204 No Content\r\n\r\nbody", KEEP, false, NULL},
	{"/bad-trailer",
	 OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer yes\r\n\r\n", KEEP,
	 false, NULL},
	{"/lengths", OK_HEAD "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", KEEP, false, NULL},
	{"/same-lengths", OK_HEAD "Content-Length: 2\r\ncontent-length:2 \r\n\r\nab", KEEP, false,
	 NULL},
	{"/bad-header", OK_HEAD "X-Header yes\r\nContent-Length: 0\r\n\r\n", KEEP, false, NULL},
	{"/folded",
	 "HTTP/1.1 503 Busy\r\nX-Folded: one\r\n two\r\n\t three\r\nRetry-After:\r\n 7\r\n"
	 "Content-Length: 0\r\n\r\n",
	 KEEP, false, NULL},
	{"/extension", OK_HEAD "Transfer-Encoding: chunked\r\n\r\n1;name=", REPEAT, false,
	 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
	{"/099", "HTTP/1.1 099 What\r\nContent-Length: 0\r\n\r\n", CLOSE, false, NULL},
	{"/lf", "HTTP/1.1 200 OK\nX-A: 1\nX-B: 2\nContent-Length: 0\n\n", KEEP, false, NULL},
	{"/slow", "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 0\r\n\r\n", CLOSE, true, NULL},
	{"/mute", "", STALL, false, NULL},
	{"/half", OK_HEAD "Content-Length: 100\r\n\r\n0123456789", CLOSE, false, NULL},
	{"/hang", OK_HEAD "Content-Length: 100\r\n\r\n0123456789", STALL, false, NULL},
	{"/drip", OK_HEAD "X-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
					  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
	 STALL, true, NULL},
	{"/bye", OK_HEAD "Content-Length: 0\r\n\r\n", CLOSE, false, NULL},
	{"/more", OK_HEAD "Content-Length: 0\r\n\r\n", MORE, false,
	 "HTTP/1.1 500 Not asked for\r\nContent-Length: 0\r\n\r\n"},
	{"/reset", "", RESET, false, NULL},
	{"/close", "", CLOSE, false, NULL},
	{"/heads", OK_HEAD, REPEAT, false, "X-Header: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"},
	{"/line", OK_HEAD "X-Header: ", REPEAT, false, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
	{"/hints", "", REPEAT, false, "HTTP/1.1 103 Early Hints\r\nX-Early: yes\r\n\r\n"},
	{"/endless", OK_HEAD "Transfer-Encoding: chunked\r\n\r\n", REPEAT, false, "4\r\nabcd\r\n"},
	{"/09", "hello, I am not HTTP\n", CLOSE, false, NULL},
	{"/smtp", "220 mail.example ESMTP\r\n", STALL, false, NULL},
};

typedef struct connection
{
	int fd;      /* -1: free */
	char *input; /* owned, MAX_INPUT bytes */
	size_t input_len;
	const script *script; /* NULL: reading a request */
	char *answer;         /* owned */
	size_t answer_len;
	size_t sent;
	int answered; /* requests */
	bool leaving;
} connection;

server_stats *server_seen;
int server_port_of_all;

static connection connections[MAX_CONNECTIONS];
static pid_t child;
static pid_t name_child;

static void
drop(connection *c)
{
	close(c->fd);
	free(c->answer);
	free(c->input);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

static void
answer_with(connection *c, const script *s, const char *text, size_t len)
{
	c->script = s;
	c->answer = malloc(len + 1);
	memcpy(c->answer, text, len);
	c->answer_len = len;
	c->sent = 0;
}

/* Answers the request's own bytes. */
static void
answer_echo(connection *c, size_t len)
{
	static const script echo = {"/echo", "", KEEP, false, NULL};
	static char text[MAX_INPUT + 100];
	int head = sprintf(text, OK_HEAD "Content-Length: %zu\r\n\r\n", len);

	memcpy(text + head, c->input, len);
	answer_with(c, &echo, text, (size_t) head + len);
}

static void
answer_body(connection *c, size_t len)
{
	static const script body = {"/body", "", KEEP, false, NULL};
	static char text[MAX_INPUT + 100];
	int head = sprintf(text, OK_HEAD "Content-Length: %zu\r\n\r\n", len);

	memset(text + head, 'x', len);
	answer_with(c, &body, text, (size_t) head + len);
}

static void
choose_answer(connection *c, size_t len)
{
	static const script close_now = {"/once", "", CLOSE, false, NULL};
	const char *path = strchr(c->input, ' ') + 1;
	size_t path_len = strcspn(path, " ?");
	size_t i;

	if (strncmp(path, "/echo", path_len) == 0)
		answer_echo(c, len);
	else if (strncmp(path, "/body/", 6) == 0)
		answer_body(c, (size_t) atoi(path + 6));
	else if (strncmp(path, "/once", path_len) == 0 && c->answered > 0)
		answer_with(c, &close_now, "", 0);
	else
	{
		const script *s = &scripts[0];

		for (i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
			if (strlen(scripts[i].path) == path_len && strncmp(path, scripts[i].path,
															   path_len) == 0)
				s = &scripts[i];
		answer_with(c, s, s->answer, strlen(s->answer));
	}
}

static void
take_input(connection *c)
{
	ssize_t n;
	const char *end;
	const char *length;
	size_t len;

	if (c->leaving)
	{
		if (recv(c->fd, c->input, 1, MSG_PEEK) > 0)
		{
			atomic_fetch_add(&server_seen->left, 1);
			usleep(LEAVE_US);
		}
		drop(c);
		return;
	}
	n = read(c->fd, c->input + c->input_len, MAX_INPUT - 1 - c->input_len);
	if (n <= 0)
	{
		drop(c);
		return;
	}
	c->input_len += (size_t) n;
	c->input[c->input_len] = '\0';
	if (c->input[0] == 0x16 && c->script == NULL) /* a TLS client: plain text for it */
	{
		static const script plain = {"/400", "", CLOSE, false, NULL};

		answer_with(c, &plain, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
		return;
	}
	end = strstr(c->input, "\r\n\r\n");
	if (end == NULL || c->script != NULL)
		return;
	length = strcasestr(c->input, "\r\nContent-Length:");
	len = (size_t) (end - c->input) + 4;
	if (length != NULL && length < end)
		len += (size_t) atoi(length + 17);
	if (c->input_len < len)
		return;
	atomic_fetch_add(&server_seen->requests, 1);
	choose_answer(c, len);
}

static void
end_answer(connection *c)
{
	struct linger hard = {1, 0};
	int at_once = 1;

	switch (c->script->end)
	{
		case MORE:
			setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once));
			usleep(MORE_US);
			(void) send(c->fd, c->script->repeat, strlen(c->script->repeat), MSG_NOSIGNAL);
			/* fall through */
		case LEAVE:
		case KEEP:
			c->leaving = c->script->end == LEAVE;
			free(c->answer);
			c->answer = NULL;
			c->script = NULL;
			c->input_len = 0;
			c->answered++;
			break;
		case RESET:
			setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
			drop(c);
			break;
		case CLOSE:
			drop(c);
			break;
		case REPEAT:
			free(c->answer);
			answer_with(c, c->script, c->script->repeat, strlen(c->script->repeat));
			break;
		case STALL:
			break;
	}
}

static void
give_output(connection *c)
{
	size_t left = c->answer_len - c->sent;
	ssize_t n;

	if (left > 0)
	{
		n = send(c->fd, c->answer + c->sent, c->script->drip ? 1 : left, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
		{
			drop(c);
			return;
		}
		if (n > 0)
			c->sent += (size_t) n;
	}
	if (c->sent == c->answer_len)
		end_answer(c);
}

static void
take_connection(int listener)
{
	int fd = accept(listener, NULL, NULL);
	int i;

	if (fd < 0)
		return;
	atomic_fetch_add(&server_seen->connections, 1);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (i = 0; i < MAX_CONNECTIONS; i++)
	{
		if (connections[i].fd >= 0)
			continue;
		connections[i].fd = fd;
		connections[i].input = malloc(MAX_INPUT);
		return;
	}
	close(fd);
}

static short
wanted_events(const connection *c)
{
	bool stalled = c->script != NULL && c->script->end == STALL && c->sent == c->answer_len;

	if (c->script == NULL || c->script->drip || stalled)
		return POLLIN;
	return POLLOUT;
}

static void
serve(const int listeners[2])
{
	struct pollfd fds[MAX_CONNECTIONS + 2];
	int i;

	for (;;)
	{
		for (i = 0; i < 2; i++)
			fds[MAX_CONNECTIONS + i] = (struct pollfd){listeners[i], POLLIN, 0};
		for (i = 0; i < MAX_CONNECTIONS; i++)
			fds[i] = (struct pollfd){connections[i].fd, wanted_events(&connections[i]), 0};
		if (poll(fds, MAX_CONNECTIONS + 2, DRIP_MS) < 0)
			continue;
		for (i = 0; i < MAX_CONNECTIONS; i++)
		{
			connection *c = &connections[i];

			if (fds[i].revents & POLLOUT)
				give_output(c);
			else if (fds[i].revents != 0)
				take_input(c);
			else if (c->script != NULL && c->script->drip && c->sent < c->answer_len)
				give_output(c);
		}
		for (i = 0; i < 2; i++)
			if (fds[MAX_CONNECTIONS + i].revents & POLLIN)
				take_connection(listeners[i]);
	}
}

/* Binds a free port. */
static int
bind_port(int type, in_addr_t host, int *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(host);
	if (fd < 0 || bind(fd, (struct sockaddr *) &addr, sizeof(addr)) != 0 ||
		getsockname(fd, (struct sockaddr *) &addr, &len) != 0)
	{
		perror("bind");
		exit(1);
	}
	*port = ntohs(addr.sin_port);
	return fd;
}

/* A child process that ends with this one; 0 in the child. */
static pid_t
start_child(void)
{
	pid_t parent = getpid();
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
	}
	return pid;
}

int
server_start(void)
{
	int port;
	int listeners[2] = {bind_port(SOCK_STREAM, INADDR_LOOPBACK, &port),
						bind_port(SOCK_STREAM, INADDR_ANY, &server_port_of_all)};
	int i;

	server_seen = mmap(NULL, sizeof(*server_seen), PROT_READ | PROT_WRITE,
					   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (server_seen == MAP_FAILED || listen(listeners[0], 128) != 0 ||
		listen(listeners[1], 128) != 0)
	{
		perror("server");
		exit(1);
	}
	child = start_child();
	if (child == 0)
	{
		for (i = 0; i < MAX_CONNECTIONS; i++)
			connections[i].fd = -1;
		serve(listeners);
	}
	close(listeners[0]);
	close(listeners[1]);
	return port;
}

void
server_stop(void)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	munmap(server_seen, sizeof(*server_seen));
}

/* Every name has two addresses, and nobody listens on the first. */
static void
serve_names(int fd)
{
	static const char records[] = "\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\2"
								  "\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1";

	for (;;)
	{
		char packet[1024];
		struct sockaddr_in from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, packet, 512, 0, (struct sockaddr *) &from, &from_len);
		bool wants_ipv4;

		if (n < 17)
			continue;
		wants_ipv4 = packet[n - 3] == 1;
		packet[2] = (char) 0x81;
		packet[3] = (char) 0x80;
		packet[7] = wants_ipv4 ? 2 : 0;
		if (wants_ipv4)
		{
			memcpy(packet + n, records, sizeof(records) - 1);
			n += (ssize_t) sizeof(records) - 1;
		}
		sendto(fd, packet, (size_t) n, 0, (struct sockaddr *) &from, from_len);
	}
}

int
name_server_start(void)
{
	int port;
	int fd = bind_port(SOCK_DGRAM, INADDR_LOOPBACK, &port);

	name_child = start_child();
	if (name_child == 0)
		serve_names(fd);
	close(fd);
	return port;
}

void
name_server_stop(void)
{
	kill(name_child, SIGKILL);
	waitpid(name_child, NULL, 0);
}

int
refused_port(void)
{
	int port;

	/* Kept, so that nobody else listens there meanwhile. */
	bind_port(SOCK_STREAM, INADDR_LOOPBACK, &port);
	return port;
}

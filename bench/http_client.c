/*
 * http_client.c
 *		Clients of the gateway: many that submit as fast as it answers, or that only wait.
 *
 * usage: http_client submit SOCKET CLIENTS SECONDS
 *        http_client wait SOCKET CLIENTS
 *
 * "submit" puts tasks of 200 bytes into the queue default, each client one after the other, and
 * prints how many a second it was, after a second to warm up.  "wait" asks for a task of the queue
 * "quiet" with wait=60, again and again, prints a line when all clients wait, and goes on until it
 * is killed.  An answer that is none of 2xx ends the program.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_CLIENTS 2000
#define MAX_ANSWER  4096
#define PAYLOAD     190

typedef struct Client
{
	int fd;
	char answer[MAX_ANSWER];
	size_t len;
} Client;

static Client clients[MAX_CLIENTS];
static char request[1024];
static size_t request_len;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void
give_up(const char *what)
{
	fprintf(stderr, "http_client: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
make_request(const char *path, const char *body)
{
	request_len = (size_t) snprintf(request, sizeof(request),
									"POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: "
									"application/json\r\nContent-Length: %zu\r\n\r\n%s",
									path, strlen(body), body);
}

static void
make_submit(void)
{
	char x[PAYLOAD + 1];
	char body[PAYLOAD + 50];

	memset(x, 'x', PAYLOAD);
	x[PAYLOAD] = '\0';
	snprintf(body, sizeof(body), "{\"payload\":{\"p\":\"%s\"}}", x);
	make_request("/v1/queues/default/tasks", body);
}

static void
ask(Client *c)
{
	c->len = 0;
	if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t) request_len)
		give_up("send");
}

static void
begin(Client *c, const char *path, int set)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		epoll_ctl(set, EPOLL_CTL_ADD, c->fd, &event) != 0)
		give_up("connect");
	ask(c);
}

/* Whether the whole answer is there. */
static bool
has_answer(Client *c)
{
	ssize_t n = recv(c->fd, c->answer + c->len, sizeof(c->answer) - 1 - c->len, 0);
	const char *end;
	const char *length;

	if (n <= 0)
		give_up("recv");
	c->len += (size_t) n;
	c->answer[c->len] = '\0';
	end = strstr(c->answer, "\r\n\r\n");
	if (end == NULL)
		return false;
	if (strncmp(c->answer, "HTTP/1.1 2", 10) != 0)
	{
		fprintf(stderr, "http_client: %s\n", c->answer);
		exit(1);
	}
	length = strstr(c->answer, "Content-Length:");
	return length == NULL || length > end ||
		   c->len >= (size_t) (end + 4 - c->answer) + strtoul(length + 15, NULL, 10);
}

/* Asks again wherever there was an answer, until that time; returns the answers since warm. */
static long
go_on(int set, double warm, double until)
{
	struct epoll_event events[256];
	long answers = 0;

	while (now() < until)
	{
		int n = epoll_wait(set, events, 256, 100);
		int i;

		for (i = 0; i < n; i++)
		{
			if (!has_answer(events[i].data.ptr))
				continue;
			answers += now() >= warm;
			ask(events[i].data.ptr);
		}
	}
	return answers;
}

int
main(int argc, char **argv)
{
	bool submit = argc == 5 && strcmp(argv[1], "submit") == 0;
	int n = argc >= 4 ? atoi(argv[3]) : 0;
	double seconds = submit ? atof(argv[4]) : 1e9;
	struct rlimit limit = {MAX_CLIENTS + 100, MAX_CLIENTS + 100};
	int set = epoll_create1(EPOLL_CLOEXEC);
	int i;

	if (n < 1 || n > MAX_CLIENTS || (!submit && (argc != 4 || strcmp(argv[1], "wait") != 0)))
	{
		fputs("usage: http_client submit SOCKET CLIENTS SECONDS | wait SOCKET CLIENTS\n", stderr);
		return 2;
	}
	(void) setrlimit(RLIMIT_NOFILE, &limit);
	if (submit)
		make_submit();
	else
		make_request("/v1/queues/quiet/acquire?wait=60", "{}");
	for (i = 0; i < n; i++)
		begin(&clients[i], argv[2], set);
	if (!submit)
	{
		puts("they wait");
		fflush(stdout);
	}
	printf("%.1f\n", (double) go_on(set, now() + 1, now() + 1 + seconds) / seconds);
	return 0;
}

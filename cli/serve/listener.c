/*
 * listener.c
 *		The connection that listens to the queues for which somebody waits.
 *
 * To listen needs no privilege, so it has no role but that of the login.
 */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "cli/serve/listener.h"
#include "client/connection.h"

#define PREFIX    "taskq_"
#define TIMEOUT   "5s"
#define MAX_QUEUE 64

struct listener
{
	tq_connection_config config;
	tq_connection *connection;
	waiters *waiters;
	bool wanted;
};

static bool
listen_anew(tq_connection *c, void *arg)
{
	listener *l = arg;

	(void) c;
	waiters_listen_again(l->waiters);
	return true;
}

static void
take_notification(const char *channel, void *arg)
{
	listener *l = arg;

	if (strncmp(channel, PREFIX, strlen(PREFIX)) == 0)
		waiters_told(l->waiters, channel + strlen(PREFIX));
}

void
listener_step(listener *l)
{
	const char *queue;

	l->wanted = l->wanted || waiters_count(l->waiters) > 0;
	if (!l->wanted)
		return;
	(void) tq_connection_step(l->connection);
	while (tq_connection_is_up(l->connection) && (queue = waiters_next_queue(l->waiters)) != NULL)
	{
		char channel[sizeof(PREFIX) + MAX_QUEUE];

		if (snprintf(channel, sizeof(channel), PREFIX "%s", queue) < (int) sizeof(channel))
			(void) tq_connection_listen(l->connection, channel);
	}
}

int
listener_poll(const listener *l, struct pollfd *fds)
{
	short events;
	int fd = tq_connection_fd(l->connection, &events);

	fds[0] = (struct pollfd){fd, events, 0};
	return fd >= 0 ? 1 : 0;
}

int64_t
listener_timeout(const listener *l)
{
	return l->wanted ? tq_connection_timeout(l->connection) : -1;
}

listener *
listener_new(const char *conninfo, waiters *w, void (*log)(const char *line))
{
	listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->waiters = w;
	l->config = (tq_connection_config){.conninfo = conninfo,
									   .program = "taskq serve listener",
									   .statement_timeout = TIMEOUT,
									   .lock_timeout = TIMEOUT,
									   .prepare = listen_anew,
									   .notified = take_notification,
									   .arg = l,
									   .log = log};
	l->connection = tq_connection_new(&l->config);
	if (l->connection != NULL)
		return l;
	free(l);
	return NULL;
}

void
listener_free(listener *l)
{
	if (l == NULL)
		return;
	tq_connection_free(l->connection);
	free(l);
}

/*
 * listener.c
 *		The connection that listens to the queues for which somebody waits, and to events.
 *
 * To listen needs no privilege, so it has no role but that of the login.
 */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "cli/serve/listener.h"
#include "client/connection.h"

#define PREFIX    "taskq_"
#define EVENTS    "taskq_events"
#define TIMEOUT   "5s"
#define MAX_QUEUE 64

struct listener
{
	tq_connection_config config;
	tq_connection *connection;
	waiters *waiters;
	streams *streams;
	bool wanted;
	bool listens_to_events;
	bool begins_with_events; /* the server has not answered to that LISTEN yet */
	char queue[MAX_QUEUE];   /* to which it begins to listen; empty: to none */
};

static bool
listen_anew(tq_connection *c, void *arg)
{
	listener *l = arg;

	(void) c;
	l->queue[0] = '\0';
	waiters_listen_again(l->waiters);
	l->listens_to_events = false;
	l->begins_with_events = false;
	return true;
}

static void
take_notification(const char *channel, void *arg)
{
	listener *l = arg;

	if (strcmp(channel, EVENTS) == 0)
		streams_told(l->streams);
	if (strncmp(channel, PREFIX, strlen(PREFIX)) == 0)
		waiters_told(l->waiters, channel + strlen(PREFIX));
}

/* What was notified before the server listened was missed. */
static void
end_listen(listener *l)
{
	if (l->queue[0] != '\0')
		waiters_told(l->waiters, l->queue);
	l->queue[0] = '\0';
	if (l->begins_with_events)
		streams_told(l->streams);
	l->begins_with_events = false;
}

static void
listen_to_events(listener *l)
{
	l->listens_to_events = tq_connection_start_listen(l->connection, EVENTS);
	l->begins_with_events = l->listens_to_events;
}

/* One queue after the other. */
static void
listen_to_next(listener *l)
{
	const char *queue = waiters_next_queue(l->waiters);
	char channel[sizeof(PREFIX) + MAX_QUEUE];

	if (queue == NULL)
		return;
	snprintf(l->queue, sizeof(l->queue), "%s", queue);
	snprintf(channel, sizeof(channel), PREFIX "%s", l->queue);
	(void) tq_connection_start_listen(l->connection, channel);
}

void
listener_step(listener *l)
{
	l->wanted = l->wanted || waiters_count(l->waiters) > 0 || streams_count(l->streams) > 0;
	if (!l->wanted)
		return;
	(void) tq_connection_step(l->connection);
	if (!tq_connection_is_up(l->connection) || tq_connection_is_busy(l->connection))
		return;
	end_listen(l);
	if (!l->listens_to_events && streams_count(l->streams) > 0)
		listen_to_events(l);
	else
		listen_to_next(l);
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
listener_new(const char *conninfo, waiters *w, streams *s, void (*log)(const char *line))
{
	listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->waiters = w;
	l->streams = s;
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

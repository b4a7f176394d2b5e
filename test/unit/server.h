/*
 * server.h
 *		A web server in a child process that misbehaves as the path asks it to.
 *
 * It counts in shared memory, so a test sees what has really arrived.
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdatomic.h>
#include <stdbool.h>

typedef struct server_stats
{
	atomic_int connections;
	atomic_int requests; /* complete heads received */
	atomic_int left;     /* requests that met the end of their connection, and were not read */
} server_stats;

/* Valid after server_start(). */
extern server_stats *server_seen;
extern int server_port_of_all; /* at which every address of 127.0.0.0/8 is answered */

/* Listens on 127.0.0.1 and returns the port; the child ends with this process. */
extern int server_start(void);
extern void server_stop(void);

/* A name server that gives every name the addresses 127.0.0.2 and 127.0.0.1; returns its port. */
extern int name_server_start(void);
extern void name_server_stop(void);

/* A port of 127.0.0.1 on which nobody listens. */
extern int refused_port(void);

#endif

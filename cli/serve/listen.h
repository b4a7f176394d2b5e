/*
 * listen.h
 *		The sockets on which the gateway listens.
 */
#ifndef CLI_SERVE_LISTEN_H
#define CLI_SERVE_LISTEN_H

#include <stdbool.h>

typedef struct listen_sockets
{
	int fds[8]; /* HTTP_MAX_SOCKETS */
	int n;
	bool all_local; /* loopback and UNIX sockets only */
	bool all_files; /* UNIX sockets only */
} listen_sockets;

/* Those that a supervisor hands over, as for systemd's sockets; n is 0 if it does not. */
extern void listen_inherited(listen_sockets *s);

/*
 * Adds those of an address: a port of loopback, HOST:PORT, [HOST]:PORT, or the path of a UNIX
 * socket.  Ends the program if that is not possible.
 */
extern void listen_open(listen_sockets *s, const char *address);

/* Removes the files of UNIX sockets that listen_open() made. */
extern void listen_remove_files(void);

#endif

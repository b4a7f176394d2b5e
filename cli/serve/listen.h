/*
 * listen.h
 *		The sockets on which the gateway and receivers listen.
 */
#ifndef CLI_SERVE_LISTEN_H
#define CLI_SERVE_LISTEN_H

#include <stdbool.h>

#include "cli/command.h"

typedef struct listen_sockets
{
	int fds[8]; /* HTTP_MAX_SOCKETS */
	int n;
	bool all_local; /* loopback and UNIX sockets only */
	bool all_files; /* UNIX sockets only */
} listen_sockets;

/*
 * Those that a supervisor hands over, as for systemd's sockets, and those of each --listen: a port
 * of loopback, HOST:PORT, [HOST]:PORT, or the path of a UNIX socket.  If there are none, that of
 * fallback; n is 0 if that is NULL.  Ends the program if one cannot be listened on.
 */
extern listen_sockets listen_open(const cli_call *call, const char *fallback);

/* Removes the files of UNIX sockets that listen_open() made. */
extern void listen_remove_files(void);

#endif

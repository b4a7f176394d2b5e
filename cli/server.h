/*
 * server.h
 *		What a worker learns from the first connection of the program, before it makes its own.
 */
#ifndef CLI_SERVER_H
#define CLI_SERVER_H

#include <stdbool.h>
#include <stddef.h>

/* The parameters of that connection as a connection string, with or without secrets. */
extern char *cli_server_conninfo(bool secrets);

/* How long a line of a command may be: it may carry the largest result. */
extern size_t cli_server_longest_line(void);

/* Ends the program if this worker cannot serve the queue. */
extern void cli_server_check_queue(const char *name);

#endif

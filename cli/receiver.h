/*
 * receiver.h
 *		A web server on loopback inside the program, for demo and bench.
 *
 * It answers each request whose end is told by Content-Length with status 204, on connections that
 * stay open.  It is meant for requests that taskq sends, not for others'.
 */
#ifndef CLI_RECEIVER_H
#define CLI_RECEIVER_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#define RECEIVER_MAX 64 /* connections at a time */

typedef struct cli_receiver cli_receiver;

/* Gets each request: its path, and the body, which is valid during the call. */
typedef void cli_receiver_taker(void *arg, const char *path, const char *body, size_t len);

/* NULL: it cannot listen. */
extern cli_receiver *cli_receiver_new(cli_receiver_taker *take, void *arg);

extern int cli_receiver_port(const cli_receiver *r);

/* The descriptors to wait for, at most RECEIVER_MAX + 1; returns their number. */
extern int cli_receiver_poll(const cli_receiver *r, struct pollfd *fds);

/* Takes and answers what has come. */
extern void cli_receiver_step(cli_receiver *r);

/* r may be NULL. */
extern void cli_receiver_free(cli_receiver *r);

#endif

/*
 * receiver.h
 *		The other end of a delivery: a web server for the requests that taskq sends.
 *
 * receive answers them by a command, demo and bench by a function of their own.  It runs in the
 * owner's loop, as serve/http.h says.  What has no valid signature, is too long, or comes while it
 * stops never reaches the owner.
 */
#ifndef CLI_RECEIVER_H
#define CLI_RECEIVER_H

#include "cli/serve/http.h"

typedef struct cli_receiver cli_receiver;
typedef struct cli_secrets cli_secrets;

/* What the owner does with requests. */
typedef struct cli_receiver_handlers
{
	/* The request is complete.  It is answered in this call, or later by one of http.h. */
	void (*take)(void *arg, http_request *r);
	/* The caller of a request that waits for its answer has gone away.  It is still to be answered.
	 */
	void (*gone)(void *arg, http_request *r);
	void *arg;
} cli_receiver_handlers;

/*
 * The secrets of a file, one a line; a signature by any of them is right.  They are never freed.  A
 * file that cannot be read, or a secret that is none, ends the program.
 */
extern cli_secrets *cli_secrets_read(const char *path);

/*
 * Takes connections of these sockets, which it closes in the end.  Of requests only those with a
 * signature by one of the secrets; NULL: any.  NULL: no memory.
 */
extern cli_receiver *cli_receiver_new(const int *sockets, int nsockets, size_t max_body,
									  const cli_secrets *secrets,
									  const cli_receiver_handlers *handlers);

/* The same on a free port of loopback, for any request.  NULL: it cannot listen. */
extern cli_receiver *cli_receiver_on_loopback(const cli_receiver_handlers *handlers, int *port);

/* At most HTTP_MAX_POLL; returns their number. */
extern int cli_receiver_poll(const cli_receiver *r, struct pollfd *fds);

/* Milliseconds, never more than a second. */
extern int cli_receiver_timeout(const cli_receiver *r);

/* Takes what has come, and sends what was answered. */
extern void cli_receiver_step(cli_receiver *r);

/* From now on requests are answered 503. */
extern void cli_receiver_stop(cli_receiver *r);

/* Requests whose answers are not sent yet. */
extern int cli_receiver_count(const cli_receiver *r);

/* Answers with a status and a reason, as JSON. */
extern void cli_receiver_refuse(http_request *r, int status, const char *reason);

/* All requests must be answered.  r may be NULL. */
extern void cli_receiver_free(cli_receiver *r);

#endif

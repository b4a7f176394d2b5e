/*
 * gateway.h
 *		The parts of the gateway, as those know them who answer requests.
 */
#ifndef CLI_SERVE_GATEWAY_H
#define CLI_SERVE_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/serve/auth.h"
#include "cli/serve/gate.h"
#include "cli/serve/http.h"

struct waiters;
struct streams;
struct stats;

typedef struct gateway
{
	auth *auth;
	gate *gate;
	http_server *http;
	struct waiters *waiters;
	struct streams *streams;
	struct stats *stats;
	const char *reader;  /* the role that looks for all */
	const char *web_dir; /* instead of the files in the program; NULL: those */
	size_t max_payload;  /* of a body with one task, and something for the rest of it */
	bool create_queues;  /* Miyamoto's API makes a queue that is not there */
	bool hide_payload;   /* lists of tasks are without payloads */
	bool stopping;
} gateway;

#endif

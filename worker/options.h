/*
 * options.h
 *		The options of taskq-worker.
 */
#ifndef WORKER_OPTIONS_H
#define WORKER_OPTIONS_H

#include "client/hooks.h"
#include "core/egress.h"

typedef struct worker_options
{
	char *database;
	const char *name;
	tq_hooks hooks;
	char *ca_file; /* NULL: the system's */
	bool http2;
	bool resend;
	bool once;
	char **queues; /* nqueues */
	int nqueues;
	int max_inflight;
	int max_per_host;
	int max_response;
	int connect_timeout_ms;
	int poll_interval_ms;
	int stop_timeout_ms;
	tq_egress egress;
} worker_options;

/* Reads the options from the arguments: see client/options.h.  The result is never freed. */
extern const worker_options *worker_options_read(int argc, char **argv);

#endif

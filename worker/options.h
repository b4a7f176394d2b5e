/*
 * options.h
 *		What the program was told, by its arguments and by a file.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "core/egress.h"

typedef struct tq_options
{
	char *database;
	char *name;
	char *ca_file; /* NULL: the system's */
	bool http2;
	char **queues;
	int nqueues;
	int max_inflight;
	int max_per_host;
	int max_response;
	int connect_timeout_ms;
	int poll_interval_ms;
	tq_egress egress;
} tq_options;

/*
 * Reads the arguments, and the files they name.  Does not return on --help and
 * --version, nor, with status 2 and a line on standard error, on a mistake.
 * What it allocates is kept as long as the program runs.
 */
extern void tq_options_read(tq_options *options, int argc, char **argv);

#endif

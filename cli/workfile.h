/*
 * workfile.h
 *		Files of options of taskq work.
 */
#ifndef CLI_WORKFILE_H
#define CLI_WORKFILE_H

#include <stdbool.h>

#include "cli/command.h"

#define WORKFILE_MAX_QUEUES 64
#define WORKFILE_MAX_ROUTES 999 /* one more, for all other kinds, see serve() */

/* A section [route PATTERN]. */
typedef struct cli_section
{
	const char *pattern;
	const char *place; /* of its heading */
	cli_call options;  /* that it has itself */
	char **command;    /* NULL: none */
	int nwords;
} cli_section;

/* What the files have, and what stands beside the options. */
typedef struct cli_workfile
{
	const char *path; /* of the file that is being read */
	cli_call options;
	const char *queues[WORKFILE_MAX_QUEUES]; /* QUEUE or QUEUE=JOBS */
	int nqueues;
	char **command;           /* before the first section; NULL: none */
	const char *command_path; /* of the file that has it */
	int nwords;
	cli_section *routes; /* in their order */
	int nroutes;
	bool in_route; /* the last one is being read */
} cli_workfile;

/*
 * Reads the files that --config names.  Their options come before those of the command line in
 * call, which win.  A mistake ends the program with status 2.
 */
extern void cli_workfile_read(cli_workfile *f, cli_call *call);

/* Whether the option may stand in a section. */
extern bool cli_workfile_of_route(const cli_option *option);

extern void cli_workfile_add_queue(cli_workfile *f, const char *queue);

#endif

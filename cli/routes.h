/*
 * routes.h
 *		Which command does a task: by its kind.
 */
#ifndef CLI_ROUTES_H
#define CLI_ROUTES_H

#include "cli/runner.h"

typedef struct cli_route
{
	const char *pattern; /* of kinds; NULL: all tasks, and then it is the last route */
	cli_runner_options runner;
} cli_route;

/* In the order in which they are tried. */
typedef struct cli_routes
{
	cli_route *routes;
	int n;
} cli_routes;

/* The first route for the kind; NULL: there is none. */
extern const cli_route *cli_routes_find(const cli_routes *routes, const char *kind);

/* "kinds" of serve(): the patterns as an array; the caller's to free.  NULL: out of memory. */
extern char *cli_routes_kinds(const cli_routes *routes);

#endif

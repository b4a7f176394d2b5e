/*
 * route.c
 *		Method and path of a request: which row of the tables of routes it is.
 */
#include <string.h>

#include "cli/command.h"
#include "cli/serve/admin_routes.h"
#include "cli/serve/event_routes.h"
#include "cli/serve/miyamoto.h"
#include "cli/serve/own_routes.h"
#include "cli/serve/page.h"
#include "cli/serve/query.h"
#include "cli/serve/route.h"
#include "cli/serve/task_routes.h"
#include "cli/serve/work_routes.h"

#define MAX_SEGMENTS 8

/* First segments that are no queues of Miyamoto's. */
static const char *const reserved[] = {"v1", "ui", "metrics", "healthz", "readyz"};

static const route_table *const tables[] = {&task_routes, &event_routes, &work_routes,
											&admin_routes,
											&own_routes, &page_routes, &miyamoto_routes};

const route_table *
route_tables(int *n)
{
	static route_table all[COUNT(tables)];
	int i;

	for (i = 0; i < COUNT(tables); i++)
		all[i] = *tables[i];
	*n = COUNT(tables);
	return all;
}

/* Whether the segments are those of the pattern; those in braces become the parameters. */
static bool
fits(const char *pattern, const cli_slice *segments, int n, cli_slice *parameters)
{
	cli_slice wanted[MAX_SEGMENTS];
	int nwanted = query_segments(pattern, wanted, MAX_SEGMENTS);
	int nparameters = 0;
	int i;

	if (nwanted != n)
		return false;
	for (i = 0; i < n; i++)
	{
		if (*wanted[i].text == '{')
		{
			if (segments[i].len == 0)
				return false;
			parameters[nparameters++] = segments[i];
		}
		else if (segments[i].len != wanted[i].len ||
				 memcmp(segments[i].text, wanted[i].text, wanted[i].len) != 0)
			return false;
	}
	return true;
}

static bool
is_reserved(cli_slice segment)
{
	int i;

	for (i = 0; i < COUNT(reserved); i++)
		if (cli_slice_is(segment, reserved[i]))
			return true;
	return false;
}

static void
allow(route_match *match, const char *method)
{
	size_t len = strlen(match->allowed);

	if (strstr(match->allowed, method) != NULL || len + strlen(method) + 8 > sizeof(match->allowed))
		return;
	if (len > 0)
		strcat(match->allowed, ", ");
	strcat(match->allowed, method);
	if (strcmp(method, "GET") == 0)
		strcat(match->allowed, ", HEAD");
}

static void
try_route(const route *r, const char *method, const cli_slice *segments, int n,
		  route_match *match)
{
	cli_slice parameters[ROUTE_MAX_PARAMETERS] = {{NULL, 0}, {NULL, 0}};

	if (match->route != NULL || !fits(r->path, segments, n, parameters))
		return;
	if (strcmp(r->method, method) == 0)
	{
		match->route = r;
		memcpy(match->parameters, parameters, sizeof(parameters));
	}
	allow(match, r->method);
}

route_match
route_find(const char *method, const char *path)
{
	route_match match = {.route = NULL};
	cli_slice segments[MAX_SEGMENTS];
	int n = query_segments(path, segments, MAX_SEGMENTS);
	bool own = n > 0 && is_reserved(segments[0]);
	int i;
	int j;

	for (i = 0; n >= 0 && i < COUNT(tables); i++)
		for (j = 0; j < tables[i]->n; j++)
			if (((tables[i]->routes[j].flags & ROUTE_MIYAMOTO) == 0) == own)
				try_route(&tables[i]->routes[j], method, segments, n, &match);
	return match;
}

/*
 * routes.c
 *		Which command does a task: by its kind.
 */
#include <limits.h>
#include <stdlib.h>

#include "cli/pattern.h"
#include "cli/routes.h"
#include "client/array.h"

const cli_route *
cli_routes_find(const cli_routes *routes, const char *kind)
{
	int i;

	for (i = 0; i < routes->n; i++)
	{
		const cli_route *route = &routes->routes[i];

		if (route->pattern == NULL || cli_pattern_matches(route->pattern, kind))
			return route;
	}
	return NULL;
}

char *
cli_routes_kinds(const cli_routes *routes)
{
	tq_buffer array;
	size_t len;
	int i;

	tq_buffer_init(&array, INT_MAX);
	for (i = 0; i < routes->n; i++)
		tq_array_add(&array, routes->routes[i].pattern != NULL ? routes->routes[i].pattern : "*");
	(void) tq_array_end(&array);
	if (!array.overflowed)
		return tq_buffer_steal(&array, &len);
	tq_buffer_free(&array);
	return NULL;
}

/*
 * event_routes.c
 *		Routes of events: what happens to tasks, as it happens.
 */
#include "cli/command.h"
#include "cli/serve/event_routes.h"
#include "cli/serve/exchange.h"
#include "cli/serve/streams.h"

static const route_member all_query[] = {{"after", MEMBER_TEXT}, {"queue", MEMBER_TEXT}};
static const route_member task_query[] = {{"after", MEMBER_TEXT}};

static void
stream_all(exchange *x)
{
	streams_begin(x, x->values[0], x->values[1], NULL);
}

static void
stream_task(exchange *x)
{
	streams_begin(x, x->values[1], NULL, x->parameters[0]);
}

static const route routes[] = {
	{"GET", "/v1/events", "Events of tasks, as they happen; after: goes on behind that id", 0,
	 .query = all_query, .nquery = COUNT(all_query), .run = stream_all},
	{"GET", "/v1/tasks/{id}/events", "The events of one task", 0, .query = task_query,
	 .nquery = COUNT(task_query), .run = stream_task}};

const route_table event_routes = {routes, COUNT(routes)};

/*
 * event_routes.h
 *		Routes of events.
 */
#ifndef CLI_SERVE_EVENT_ROUTES_H
#define CLI_SERVE_EVENT_ROUTES_H

#include "cli/serve/route.h"

extern const route_table event_routes;

#endif

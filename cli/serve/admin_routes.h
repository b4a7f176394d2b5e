/*
 * admin_routes.h
 *		Routes of queues, endpoints, policies and schedules: to look at them and change them.
 */
#ifndef CLI_SERVE_ADMIN_ROUTES_H
#define CLI_SERVE_ADMIN_ROUTES_H

#include "cli/serve/route.h"

extern const route_table admin_routes;

#endif

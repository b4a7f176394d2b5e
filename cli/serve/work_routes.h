/*
 * work_routes.h
 *		Routes of workers: to acquire tasks, and to tell what becomes of them.
 */
#ifndef CLI_SERVE_WORK_ROUTES_H
#define CLI_SERVE_WORK_ROUTES_H

#include "cli/serve/route.h"

/* Which value of an acquire is the group. */
#define ACQUIRE_GROUP 5

extern const route_table work_routes;

/* With the values id, token, and what follows it. */
extern const gate_statement finish_statement;
extern const gate_statement fail_statement;
extern const gate_statement heartbeat_statement;

#endif

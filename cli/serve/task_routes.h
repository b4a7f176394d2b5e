/*
 * task_routes.h
 *		Routes of tasks: to submit, look at, search and change them.
 */
#ifndef CLI_SERVE_TASK_ROUTES_H
#define CLI_SERVE_TASK_ROUTES_H

#include "cli/serve/exchange.h"
#include "cli/serve/route.h"

extern const route_table task_routes;

/* Which of these tasks have ended. */
extern const gate_statement ended_statement;

/* The newest tasks of the queue that is the first value; fill in the others. */
extern void task_routes_find(exchange *x);

#endif

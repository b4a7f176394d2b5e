/*
 * own_routes.h
 *		Routes of the gateway itself: whether it works, who one is, which routes there are.
 */
#ifndef CLI_SERVE_OWN_ROUTES_H
#define CLI_SERVE_OWN_ROUTES_H

#include <stdint.h>

#include "cli/serve/route.h"

extern const route_table own_routes;

/* Answers those for whom the database takes too long. */
extern void own_routes_step(void);

/* Milliseconds until that is due; -1: nobody waits. */
extern int64_t own_routes_timeout(void);

#endif

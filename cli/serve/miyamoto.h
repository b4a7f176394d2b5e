/*
 * miyamoto.h
 *		The API of Miyamoto, a task queue with HTTP at both of its ends.
 */
#ifndef CLI_SERVE_MIYAMOTO_H
#define CLI_SERVE_MIYAMOTO_H

#include "cli/serve/route.h"

extern const route_table miyamoto_routes;

#endif

/*
 * metrics_route.h
 *		GET /metrics: what Prometheus collects, of the database and of this process.
 */
#ifndef CLI_SERVE_METRICS_ROUTE_H
#define CLI_SERVE_METRICS_ROUTE_H

#include "cli/serve/exchange.h"

extern void metrics_route_tell(exchange *x);

#endif

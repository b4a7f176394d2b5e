/*
 * metrics.h
 *		What taskq.metrics() returns, as Prometheus reads it; the command metrics.
 */
#ifndef CLI_METRICS_H
#define CLI_METRICS_H

#include <libpq-fe.h>

#include "cli/command.h"
#include "cli/exposition.h"

/* $1: the number of queues with rows of their own, or NULL. */
extern const char cli_metrics_sql[];

/* Adds the rows of that statement. */
extern void cli_metrics_add(cli_exposition *e, const PGresult *rows);

extern const cli_command cli_metrics;

#endif

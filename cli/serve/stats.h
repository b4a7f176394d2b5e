/*
 * stats.h
 *		How the queues are and were: looked at for all, shown to each as far as it may see them.
 *
 * A ring has an hour in steps of 5 s, another one a day in steps of 2 min.  They are memory only:
 * after a start they begin anew.
 */
#ifndef CLI_SERVE_STATS_H
#define CLI_SERVE_STATS_H

#include <stdint.h>

#include "cli/serve/exchange.h"

typedef struct stats stats;

/* NULL: out of memory. */
extern stats *stats_new(gateway *g);

/* For GET /v1/stats. */
extern void stats_tell(exchange *x);

/* Milliseconds until stats_step() is due. */
extern int64_t stats_timeout(const stats *s);
extern void stats_step(stats *s);

/* s may be NULL. */
extern void stats_free(stats *s);

#endif

/*
 * counts.h
 *		What this process has answered and refused, for its metrics.
 */
#ifndef CLI_SERVE_COUNTS_H
#define CLI_SERVE_COUNTS_H

#include "cli/exposition.h"
#include "cli/serve/route.h"

/* An answer of a route. */
extern void counts_add(const route *r, int status, double seconds);

extern void counts_tell(cli_exposition *e);

/* One sample; labels as a JSON object. */
extern void counts_tell_one(cli_exposition *e, const char *name, const char *type, const char *help,
							const char *labels, double value);

#endif

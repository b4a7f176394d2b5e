/*
 * pattern.h
 *		Patterns of kinds.
 */
#ifndef CLI_PATTERN_H
#define CLI_PATTERN_H

#include <stdbool.h>

/*
 * Whether a kind is of the pattern, in which * stands for any characters.  The server's unserved()
 * reads patterns in the same way.  NULL: a task without a kind; only a pattern of nothing but *
 * fits.
 */
extern bool cli_pattern_matches(const char *pattern, const char *kind);

#endif

/*
 * lines.h
 *		Bytes that arrive in pieces, taken out again as lines.
 */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include "core/buffer.h"

typedef struct cli_lines
{
	tq_buffer bytes;
	size_t begin; /* of the first line that was not taken */
} cli_lines;

/* limit: of the bytes that are kept at a time. */
extern void cli_lines_init(cli_lines *lines, size_t limit);

/* False: there is no room for all of them, or no memory. */
extern bool cli_lines_add(cli_lines *lines, const char *bytes, size_t len);

/* The next whole line without its line feed, valid until the next add; NULL: there is none. */
extern const char *cli_lines_next(cli_lines *lines, size_t *len);

/* What came after the last line feed, likewise; NULL: nothing.  It is taken, too. */
extern const char *cli_lines_rest(cli_lines *lines, size_t *len);

extern void cli_lines_free(cli_lines *lines);

#endif

/*
 * lines.c
 *		Bytes that arrive in pieces, taken out again as lines.
 */
#include <string.h>

#include "cli/lines.h"

void
cli_lines_init(cli_lines *lines, size_t limit)
{
	tq_buffer_init(&lines->bytes, limit);
	lines->begin = 0;
}

/* Drops what was taken. */
static void
compact(cli_lines *lines)
{
	size_t left = lines->bytes.len - lines->begin;

	if (lines->begin == 0)
		return;
	memmove(lines->bytes.data, lines->bytes.data + lines->begin, left);
	lines->bytes.len = left;
	lines->bytes.data[left] = '\0';
	lines->begin = 0;
}

bool
cli_lines_add(cli_lines *lines, const char *bytes, size_t len)
{
	compact(lines);
	return tq_buffer_append(&lines->bytes, bytes, len);
}

const char *
cli_lines_next(cli_lines *lines, size_t *len)
{
	const char *line;
	const char *end;

	if (lines->bytes.len == lines->begin)
		return NULL;
	line = lines->bytes.data + lines->begin;
	end = memchr(line, '\n', lines->bytes.len - lines->begin);
	if (end == NULL)
		return NULL;
	*len = (size_t) (end - line);
	lines->begin += *len + 1;
	return line;
}

const char *
cli_lines_rest(cli_lines *lines, size_t *len)
{
	const char *rest = lines->bytes.data + lines->begin;

	*len = lines->bytes.len - lines->begin;
	if (*len == 0)
		return NULL;
	lines->begin = lines->bytes.len;
	return rest;
}

void
cli_lines_free(cli_lines *lines)
{
	tq_buffer_free(&lines->bytes);
	lines->begin = 0;
}

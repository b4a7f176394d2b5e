/*
 * input.c
 *		Values that come from files and standard input.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/input.h"
#include "cli/report.h"
#include "cli/settings.h"
#include "client/json.h"
#include "core/buffer.h"

#define MAX_INPUT   (1 << 30) /* what a value of the server may have at most */
#define MAX_HEADERS 100

static char *
read_all(FILE *file, const char *path, size_t *len)
{
	tq_buffer content;
	char block[65536];
	size_t n;

	tq_buffer_init(&content, MAX_INPUT);
	tq_buffer_append(&content, "", 0);
	while ((n = fread(block, 1, sizeof(block), file)) > 0)
		tq_buffer_append(&content, block, n);
	if (ferror(file))
		cli_fail(EXIT_REFUSED, NULL, "%s: %s", path, strerror(errno));
	if (content.overflowed)
		cli_fail(EXIT_REFUSED, NULL, "%s is too large", path);
	return content.data != NULL ? tq_buffer_steal(&content, len) : cli_copy("");
}

char *
cli_read_file(const char *path, size_t *len)
{
	size_t ignored = 0;
	FILE *file;
	char *content;

	if (len == NULL)
		len = &ignored;
	*len = 0;
	if (strcmp(path, "-") == 0)
		return read_all(stdin, "standard input", len);
	file = fopen(path, "r");
	if (file == NULL)
		cli_fail(EXIT_REFUSED, NULL, "%s: %s", path, strerror(errno));
	content = read_all(file, path, len);
	fclose(file);
	return content;
}

const char *
cli_payload(const char *argument, size_t *len)
{
	const char *payload = argument;

	if (argument != NULL && *argument == '@')
		return cli_read_file(argument + 1, len);
	if (argument != NULL && strcmp(argument, "-") == 0)
		return cli_read_file("-", len);
	if (argument == NULL && !isatty(STDIN_FILENO))
	{
		/* No input at all is no payload. */
		payload = cli_read_file("-", len);
		return *len > 0 ? payload : NULL;
	}
	*len = argument != NULL ? strlen(argument) : 0;
	return argument;
}

const char *
cli_file_content(const char *path)
{
	char *content = cli_read_file(path, NULL);

	content[strcspn(content, "\r\n")] = '\0';
	return content;
}

/* Adds a string to a JSON text. */
static void
add_string(tq_buffer *json, const char *text, size_t len)
{
	char *quoted = tq_json_string(text, len);

	if (quoted == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	tq_buffer_append(json, quoted, strlen(quoted));
	free(quoted);
}

const char *
cli_headers(char **lines, int n)
{
	tq_buffer json;
	int i;

	tq_buffer_init(&json, MAX_INPUT);
	tq_buffer_append(&json, "{", 1);
	for (i = 0; i < n; i++)
	{
		const char *colon = strchr(lines[i], ':');
		const char *value;

		/* A header may be secret, so the message does not show it. */
		if (colon == NULL)
			cli_usage("header %d is not \"Name: value\"", i + 1);
		value = colon + 1 + strspn(colon + 1, " \t");
		if (i > 0)
			tq_buffer_append(&json, ",", 1);
		add_string(&json, lines[i], (size_t) (colon - lines[i]));
		tq_buffer_append(&json, ":", 1);
		add_string(&json, value, strlen(value));
	}
	tq_buffer_append(&json, "}", 1);
	return json.data;
}

const char *
cli_file_headers(const char *path)
{
	char *rest = cli_read_file(path, NULL);
	char *lines[MAX_HEADERS];
	char *line;
	int n = 0;

	while ((line = strsep(&rest, "\n")) != NULL)
	{
		line[strcspn(line, "\r")] = '\0';
		if (*line == '\0')
			continue;
		if (n == MAX_HEADERS)
			cli_usage("%s has more than %d headers", path, MAX_HEADERS);
		lines[n++] = line;
	}
	return cli_headers(lines, n);
}

const char *
cli_array(const char *list)
{
	size_t size = strlen(list) + 3;
	char *array = malloc(size);

	if (array == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	snprintf(array, size, "{%s}", list);
	return array;
}

/*
 * conffile.c
 *		Files of settings: NAME = VALUE on each line.
 */
#include <stdlib.h>
#include <string.h>

#include "client/conffile.h"

/* The text without the blanks at both ends, which is changed. */
static char *
trim(char *text)
{
	size_t len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		text[--len] = '\0';
	return text;
}

static void
give_line(char *line, int number, tq_conffile_taker *take, void *arg)
{
	char *name = trim(line);
	char *value = *name != '[' ? strchr(name, '=') : NULL;

	if (*name == '\0' || *name == '#')
		return;
	if (value != NULL)
	{
		*value++ = '\0';
		value = trim(value);
	}
	take(arg, number, trim(name), value);
}

void
tq_conffile_read(FILE *file, tq_conffile_taker *take, void *arg)
{
	char *line = NULL;
	size_t size = 0;
	int number = 0;

	while (getline(&line, &size, file) >= 0)
		give_line(line, ++number, take, arg);
	free(line);
}

/*
 * ids.c
 *		Ids of tasks, as arguments and as output.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/ids.h"
#include "cli/meter.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/settings.h"

const char *
cli_id_argument(const char *text)
{
	if (*text == '\0' || strspn(text, "0123456789") != strlen(text) || strlen(text) > 18)
		cli_usage("\"%s\" is not the id of a task", text);
	return text;
}

/* Ids as an array; never freed. */
static const char *
array_of(const char *const *ids, int n)
{
	size_t size = 3;
	char *array;
	int i;

	for (i = 0; i < n; i++)
		size += strlen(cli_id_argument(ids[i])) + 1;
	array = malloc(size);
	if (array == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	strcpy(array, "{");
	for (i = 0; i < n; i++)
	{
		strcat(array, i > 0 ? "," : "");
		strcat(array, ids[i]);
	}
	strcat(array, "}");
	return array;
}

const char *
cli_ids_argument(const cli_call *call)
{
	return array_of((const char *const *) call->arguments, call->narguments);
}

const char *
cli_ids_option(const cli_call *call, const char *option)
{
	const char **ids = calloc((size_t) call->ngiven + 1, sizeof(char *));
	const char *array;
	int n = 0;
	int i;

	if (ids == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	for (i = 0; i < call->ngiven; i++)
	{
		if (strcmp(call->given[i].option->name, option) == 0)
			ids[n++] = call->given[i].value;
	}
	array = n > 0 ? array_of(ids, n) : NULL;
	free(ids);
	return array;
}

void
cli_print_ids(const PGresult *result)
{
	if (isatty(STDOUT_FILENO))
		cli_meter_clear();
	if (cli_settings_json())
		cli_print(result, PQnfields(result));
	else
	{
		int i;

		for (i = 0; i < PQntuples(result); i++)
			puts(PQgetvalue(result, i, 0));
		fflush(stdout);
	}
}

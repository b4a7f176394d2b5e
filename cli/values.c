/*
 * values.c
 *		Values of options that are a choice or a duration.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "cli/session.h"
#include "cli/values.h"

bool
cli_is_on(const cli_call *call, const char *option)
{
	const char *value = cli_value(call, option);

	return value != NULL && strcmp(value, "true") == 0;
}

int
cli_choice(const cli_call *call, const char *option, const char *const *names, int n)
{
	const char *value = cli_value(call, option);
	int i;

	for (i = 0; i < n; i++)
		if (value == NULL || strcmp(value, names[i]) == 0)
			return i;
	cli_usage("%s--%s: there is no \"%s\"; see --help", cli_place(call, option), option, value);
}

/* The server reads it, so that there is one way to write durations. */
int64_t
cli_duration_ms(const cli_call *call, const char *option, int64_t fallback)
{
	static const char sql[] = "select (extract(epoch from $1::interval) * 1000)::bigint";
	const char *value = cli_value(call, option);
	PGresult *result;
	int64_t ms;

	if (value == NULL)
		return fallback;
	result = cli_try(sql, 1, &value);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		cli_fail(EXIT_USAGE, HINT_DURATION, "%s--%s: \"%s\" is not a duration",
				 cli_place(call, option), option, value);
	ms = atoll(PQgetvalue(result, 0, 0));
	PQclear(result);
	if (ms < 0)
		cli_usage("%s--%s: a duration must not be negative", cli_place(call, option), option);
	return ms;
}

const char *
cli_duration_text(const cli_call *call, const char *option)
{
	(void) cli_duration_ms(call, option, 0);
	return cli_value(call, option);
}

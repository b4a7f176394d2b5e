/*
 * report.c
 *		What the program says beside its output: errors, notes, questions; and how it ends.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/meter.h"
#include "cli/report.h"
#include "cli/settings.h"
#include "client/json.h"

#define MAX_NAME     64 /* longer names are not compared */
#define MAX_EDITS    2  /* between a wrong name and the one that is suggested */
#define EXIT_UNKNOWN 3  /* of a plug-in for monitoring */

char *
cli_copy(const char *text)
{
	char *copy = strdup(text);

	if (copy == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	return copy;
}

static const char *command;

void
cli_report_command(const char *name)
{
	command = name;
}

/* ---- errors ------------------------------------------------------------------ */

static void
print_member(const char *name, const char *value)
{
	char *quoted = value != NULL ? tq_json_string(value, strlen(value)) : NULL;

	fprintf(stderr, "\"%s\":%s,", name, quoted != NULL ? quoted : "null");
	free(quoted);
}

/* detail and hint may be NULL, code as well. */
static void
print_error(const char *code, const char *message, const char *detail, const char *hint, int status)
{
	cli_meter_clear();
	if (settings.plugin)
	{
		printf("TASKQ UNKNOWN - %s\n", message);
		if (hint != NULL)
			printf("%s\n", hint);
		return;
	}
	if (cli_settings_json())
	{
		fputs("{\"error\":{", stderr);
		print_member("code", code);
		print_member("message", message);
		print_member("detail", detail);
		print_member("hint", hint);
		fprintf(stderr, "\"exit\":%d}}\n", status);
		return;
	}
	fprintf(stderr, code != NULL ? "taskq: %s (%s)\n" : "taskq: %s\n", message, code);
	if (detail != NULL)
		fprintf(stderr, "detail: %s\n", detail);
	if (hint != NULL)
		fprintf(stderr, "hint: %s\n", hint);
}

void
cli_usage(const char *format, ...)
{
	char message[1024];
	char hint[128];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	snprintf(hint, sizeof(hint), "Try \"taskq %s%s--help\".", command != NULL ? command : "",
			 command != NULL ? " " : "");
	print_error(NULL, message, NULL, hint, EXIT_USAGE);
	exit(settings.plugin ? EXIT_UNKNOWN : EXIT_USAGE);
}

void
cli_fail(int status, const char *hint, const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	print_error(NULL, message, NULL, hint, status);
	exit(settings.plugin ? EXIT_UNKNOWN : status);
}

static int
status_of(const char *code)
{
	if (strcmp(code, "57014") == 0)
		return EXIT_TIME;
	if (strcmp(code, "TQ004") == 0)
		return EXIT_USAGE;
	if (strcmp(code, "TQ003") == 0)
		return EXIT_NOTHING;
	if (strcmp(code, "42501") == 0 || strcmp(code, "TQ007") == 0 || strncmp(code, "28", 2) == 0)
		return EXIT_PERMISSION;
	if (strncmp(code, "08", 2) == 0 || strncmp(code, "57P", 3) == 0)
		return EXIT_CONNECTION;
	return EXIT_REFUSED;
}

/* The detail of an error of parsing quotes the value, which may be a payload. */
static bool
quotes_value(const char *code)
{
	return strncmp(code, "22", 2) == 0;
}

int
cli_report_error(const PGresult *result, const char *own_hint)
{
	const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
	int status = code != NULL ? status_of(code) : EXIT_CONNECTION;

	print_error(code, message != NULL ? message : "the connection was lost",
				code != NULL && quotes_value(code) ? NULL : detail,
				own_hint != NULL ? own_hint : hint, status);
	return settings.plugin ? EXIT_UNKNOWN : status;
}

void
cli_note(const char *format, ...)
{
	va_list args;

	if (settings.quiet)
		return;
	cli_meter_clear();
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void
cli_confirm(const char *format, ...)
{
	char question[1024];
	char answer[16];
	va_list args;

	if (settings.yes || settings.dry_run)
		return;
	va_start(args, format);
	vsnprintf(question, sizeof(question), format, args);
	va_end(args);
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		cli_fail(EXIT_USAGE, "Repeat the command with --yes, or with --dry-run to see "
							 "what it would do.",
				 "%s not confirmed", question);
	fprintf(stderr, "%s [y/N] ", question);
	if (fgets(answer, sizeof(answer), stdin) == NULL || (answer[0] != 'y' && answer[0] != 'Y'))
		cli_fail(EXIT_USAGE, NULL, "nothing was done");
}

/* ---- names that look alike --------------------------------------------------- */

static int
least(int a, int b, int c)
{
	int ab = a < b ? a : b;

	return ab < c ? ab : c;
}

static int
distance_of(const char *a, const char *b)
{
	int rows[MAX_NAME + 1][MAX_NAME + 1];
	int m = (int) strlen(a);
	int n = (int) strlen(b);
	int i;
	int j;

	if (m > MAX_NAME || n > MAX_NAME)
		return MAX_NAME;
	for (i = 0; i <= m; i++)
		rows[i][0] = i;
	for (j = 0; j <= n; j++)
		rows[0][j] = j;
	for (i = 1; i <= m; i++)
	{
		for (j = 1; j <= n; j++)
		{
			int cost = a[i - 1] == b[j - 1] ? 0 : 1;

			rows[i][j] = least(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				rows[i - 2][j - 2] + 1 < rows[i][j])
				rows[i][j] = rows[i - 2][j - 2] + 1;
		}
	}
	return rows[m][n];
}

bool
cli_nearest_try(cli_nearest *n, const char *name)
{
	int edits = distance_of(n->wrong, name);

	if (edits > MAX_EDITS || (n->best != NULL && edits >= n->edits))
		return false;
	n->best = name;
	n->edits = edits;
	return true;
}

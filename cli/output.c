/*
 * output.c
 *		Prints the rows of a result, in the format that the user has chosen.
 *
 * The server writes each value as text, JSON included, and it is printed as it came: numbers keep
 * all their digits.  Ids and tokens are strings in JSON, because some readers of JSON have no
 * integers over 2^53.
 */
#include <ctype.h>
#include <libsmartcols.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/report.h"
#include "cli/settings.h"
#include "client/json.h"

#define MAX_FIELDS 64

/* Types whose values differ in JSON. */
enum
{
	TYPE_BOOL = 16,
	TYPE_INT8 = 20,
	TYPE_INT2 = 21,
	TYPE_INT4 = 23,
	TYPE_JSON = 114,
	TYPE_FLOAT4 = 700,
	TYPE_FLOAT8 = 701,
	TYPE_TIMESTAMPTZ = 1184,
	TYPE_NUMERIC = 1700,
	TYPE_JSONB = 3802
};

/* The columns that are printed, by their numbers in the result. */
typedef struct Fields
{
	int n;
	int column[MAX_FIELDS];
} Fields;

/* ---- values ------------------------------------------------------------------ */

/* 2026-01-02 10:04:00+00 as 2026-01-02T10:04:00+00:00; infinity stays.  For the caller to free. */
static char *
rfc3339(const char *value)
{
	size_t len = strlen(value);
	char *text = malloc(len + 4);

	if (text == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	strcpy(text, value);
	if (len < 20 || text[10] != ' ')
		return text;
	text[10] = 'T';
	if (text[len - 3] == '+' || text[len - 3] == '-')
		strcat(text, ":00");
	return text;
}

/* A value as text, for the caller to free. */
static char *
text_of(const PGresult *result, int row, int column)
{
	const char *value = PQgetvalue(result, row, column);

	if (PQftype(result, column) == TYPE_TIMESTAMPTZ && settings.format != FORMAT_TABLE)
		return rfc3339(value);
	if (PQftype(result, column) == TYPE_BOOL)
		return cli_copy(*value == 't' ? "true" : "false");
	return cli_copy(value);
}

static bool
is_id(const char *name)
{
	static const char *const names[] = {"id", "token", "task_id", "next", "last_task"};
	int i;

	for (i = 0; i < COUNT(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* Whether the text of a value is JSON already. */
static bool
stands_as_it_is(const PGresult *result, int column, const char *value)
{
	switch (PQftype(result, column))
	{
		case TYPE_BOOL:
		case TYPE_JSON:
		case TYPE_JSONB:
			return true;
		case TYPE_INT2:
		case TYPE_INT4:
		case TYPE_INT8:
		case TYPE_FLOAT4:
		case TYPE_FLOAT8:
		case TYPE_NUMERIC:
			/* Not NaN and Infinity. */
			return !is_id(PQfname(result, column)) && strpbrk(value, "NI") == NULL;
		default:
			return false;
	}
}

static void
print_json_value(const PGresult *result, int row, int column)
{
	char *text;
	char *quoted;

	if (PQgetisnull(result, row, column))
	{
		fputs("null", stdout);
		return;
	}
	text = text_of(result, row, column);
	if (stands_as_it_is(result, column, text))
		fputs(text, stdout);
	else
	{
		quoted = tq_json_string(text, strlen(text));
		if (quoted == NULL)
			cli_fail(EXIT_REFUSED, NULL, "out of memory");
		fputs(quoted, stdout);
		free(quoted);
	}
	free(text);
}

/* ---- fields ------------------------------------------------------------------ */

static void
refuse_field(const PGresult *result, const char *name)
{
	char known[1024] = "";
	size_t len = 0;
	int i;

	for (i = 0; i < PQnfields(result) && len < sizeof(known) - 1; i++)
		len += (size_t) snprintf(known + len, sizeof(known) - len, "%s%s", i > 0 ? ", " : "",
								 PQfname(result, i));
	cli_usage("there is no field \"%s\"; there are %s", name, known);
}

static Fields
chosen_fields(const PGresult *result)
{
	Fields fields = {0};
	char *list = cli_copy(settings.fields);
	char *rest = list;
	char *name;

	while ((name = strsep(&rest, ",")) != NULL)
	{
		int column = PQfnumber(result, name);

		if (column < 0)
			refuse_field(result, name);
		if (fields.n < MAX_FIELDS)
			fields.column[fields.n++] = column;
	}
	free(list);
	return fields;
}

static Fields
first_fields(int n)
{
	Fields fields = {.n = n < MAX_FIELDS ? n : MAX_FIELDS};
	int i;

	for (i = 0; i < fields.n; i++)
		fields.column[i] = i;
	return fields;
}

/* ---- formats ----------------------------------------------------------------- */

static void
print_object(const PGresult *result, const Fields *fields, int row)
{
	int i;

	putchar('{');
	for (i = 0; i < fields->n; i++)
	{
		printf("%s\"%s\":", i > 0 ? "," : "", PQfname(result, fields->column[i]));
		print_json_value(result, row, fields->column[i]);
	}
	putchar('}');
}

static void
print_json(const PGresult *result)
{
	Fields fields =
		settings.fields != NULL ? chosen_fields(result) : first_fields(PQnfields(result));
	bool lines = settings.format == FORMAT_NDJSON;
	int i;

	if (!lines)
		putchar('[');
	for (i = 0; i < PQntuples(result); i++)
	{
		if (!lines && i > 0)
			fputs(",\n ", stdout);
		print_object(result, &fields, i);
		if (lines)
			putchar('\n');
	}
	if (!lines)
		puts("]");
}

/* Backslash, tab and the ends of lines as COPY has them, so that a row is one line. */
static void
print_tsv_value(const char *value)
{
	for (; *value != '\0'; value++)
	{
		const char *at = strchr("\t\n\r\\", *value);

		if (at != NULL)
			printf("\\%c", "tnr\\"[at - "\t\n\r\\"]);
		else
			putchar(*value);
	}
}

static void
print_tsv(const PGresult *result, int ncolumns)
{
	int row;
	int i;

	for (row = 0; row < PQntuples(result); row++)
	{
		for (i = 0; i < ncolumns; i++)
		{
			char *text = PQgetisnull(result, row, i) ? NULL : text_of(result, row, i);

			if (i > 0)
				putchar('\t');
			print_tsv_value(text != NULL ? text : "");
			free(text);
		}
		putchar('\n');
	}
}

static bool
is_number(const PGresult *result, int column)
{
	switch (PQftype(result, column))
	{
		case TYPE_INT2:
		case TYPE_INT4:
		case TYPE_INT8:
		case TYPE_FLOAT8:
		case TYPE_NUMERIC:
			return true;
		default:
			return false;
	}
}

/* lease_for as LEASE FOR; for the caller to free. */
static char *
heading_of(const char *name)
{
	char *heading = cli_copy(name);
	char *c;

	for (c = heading; *c != '\0'; c++)
		*c = *c == '_' ? ' ' : (char) toupper((unsigned char) *c);
	return heading;
}

static struct libscols_table *
new_table(void)
{
	struct libscols_table *table;

	scols_init_debug(0);
	table = scols_new_table();
	if (table == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	scols_table_enable_colors(table, settings.color);
	scols_table_set_column_separator(table, "  ");
	/* Where a table is asked for and there is no terminal, nothing is cut off. */
	scols_table_set_termforce(table, isatty(STDOUT_FILENO) ? SCOLS_TERMFORCE_AUTO
														   : SCOLS_TERMFORCE_NEVER);
	return table;
}

static void
color_state(struct libscols_line *line, int column, const char *name, const char *value)
{
	const char *color = NULL;

	if (strcmp(name, "state") != 0 && strcmp(name, "severity") != 0)
		return;
	if (strcmp(value, "dead") == 0 || strcmp(value, "error") == 0)
		color = "red";
	else if (strcmp(value, "running") == 0 || strcmp(value, "warning") == 0)
		color = "yellow";
	else if (strcmp(value, "finished") == 0 || strcmp(value, "ok") == 0)
		color = "green";
	if (color != NULL)
		scols_cell_set_color(scols_line_get_cell(line, (size_t) column), color);
}

static void
fill_line(struct libscols_table *table, const PGresult *result, int row, int ncolumns)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	int i;

	for (i = 0; line != NULL && i < ncolumns; i++)
	{
		char *text = PQgetisnull(result, row, i) ? cli_copy("-") : text_of(result, row, i);

		color_state(line, i, PQfname(result, i), text);
		scols_line_refer_data(line, (size_t) i, text); /* and frees it */
	}
}

static void
print_table(const PGresult *result, int ncolumns)
{
	struct libscols_table *table = new_table();
	int i;

	for (i = 0; i < ncolumns; i++)
	{
		char *heading = heading_of(PQfname(result, i));
		int flags = is_number(result, i) ? SCOLS_FL_RIGHT : i == ncolumns - 1 ? SCOLS_FL_TRUNC
																			  : 0;

		scols_table_new_column(table, heading, 0, flags);
		free(heading);
	}
	for (i = 0; i < PQntuples(result); i++)
		fill_line(table, result, i, ncolumns);
	scols_print_table(table);
	scols_unref_table(table);
}

/* The first column: what there is to act on. */
static void
print_ids(const PGresult *result)
{
	int i;

	for (i = 0; i < PQntuples(result); i++)
		puts(PQgetvalue(result, i, 0));
}

void
cli_print(const PGresult *result, int ncolumns)
{
	switch (settings.format)
	{
		case FORMAT_TABLE:
			print_table(result, ncolumns);
			break;
		case FORMAT_TSV:
			print_tsv(result, ncolumns);
			break;
		case FORMAT_JSON:
		case FORMAT_NDJSON:
			print_json(result);
			break;
		case FORMAT_IDS:
			print_ids(result);
			break;
	}
	fflush(stdout);
}

void
cli_print_record(const PGresult *result)
{
	bool table = settings.format == FORMAT_TABLE;
	int row;
	int i;

	if (!table && settings.format != FORMAT_TSV)
	{
		cli_print(result, PQnfields(result));
		return;
	}
	for (row = 0; row < PQntuples(result); row++)
	{
		if (row > 0)
			putchar('\n');
		for (i = 0; i < PQnfields(result); i++)
		{
			char *text = PQgetisnull(result, row, i) ? NULL : text_of(result, row, i);

			if (text != NULL && table)
				printf("%-18s %s\n", PQfname(result, i), text);
			else if (text != NULL)
			{
				printf("%s\t", PQfname(result, i));
				print_tsv_value(text);
				putchar('\n');
			}
			free(text);
		}
	}
	fflush(stdout);
}

void
cli_print_value(const PGresult *result)
{
	if (PQntuples(result) > 0 && !PQgetisnull(result, 0, 0))
		puts(PQgetvalue(result, 0, 0));
	fflush(stdout);
}

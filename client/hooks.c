/*
 * hooks.c
 *		SQL functions that a worker calls before and after each task: --before and --after.
 *
 * The names come from the options of the program, not from the database; they are quoted as
 * identifiers.
 */
#include <string.h>

#include "client/hooks.h"
#include "core/buffer.h"

#define MAX_SQL 65536

/* The length of the schema; 0: it is no SCHEMA.FUNCTION. */
static size_t
schema_length(const char *function)
{
	const char *dot = strchr(function, '.');

	if (dot == NULL || dot == function || dot[1] == '\0' || strchr(dot + 1, '.') != NULL)
		return 0;
	return (size_t) (dot - function);
}

static void
append_sql(tq_buffer *sql, const char *text)
{
	tq_buffer_append(sql, text, strlen(text));
}

static void
add_identifier(tq_buffer *sql, const char *name, size_t len)
{
	size_t i;

	append_sql(sql, "\"");
	for (i = 0; i < len; i++)
	{
		if (name[i] == '"')
			append_sql(sql, "\"");
		tq_buffer_append(sql, name + i, 1);
	}
	append_sql(sql, "\"");
}

/* The name of the function, as an expression has it before the parenthesis. */
static void
add_function(tq_buffer *sql, const char *function)
{
	size_t schema = schema_length(function);

	add_identifier(sql, function, schema);
	append_sql(sql, ".");
	add_identifier(sql, function + schema + 1, strlen(function + schema + 1));
}

static char *
steal(tq_buffer *sql)
{
	size_t len;

	if (sql->overflowed)
	{
		tq_buffer_free(sql);
		return NULL;
	}
	return tq_buffer_steal(sql, &len);
}

char *
tq_hooks_before_sql(const tq_hooks *hooks)
{
	tq_buffer sql;
	int i;

	tq_buffer_init(&sql, MAX_SQL);
	append_sql(&sql, "select ");
	for (i = 0; i < hooks->nbefore; i++)
	{
		append_sql(&sql, "case ");
		add_function(&sql, hooks->before[i]);
		append_sql(&sql, "($1::pg_catalog.jsonb) when false then false when true then ");
	}
	append_sql(&sql, "true");
	for (i = 0; i < hooks->nbefore; i++)
		append_sql(&sql, " end");
	return steal(&sql);
}

char *
tq_hooks_after_sql(const tq_hooks *hooks, const char *task, const char *outcome)
{
	tq_buffer sql;
	int i;

	tq_buffer_init(&sql, MAX_SQL);
	append_sql(&sql, "array[");
	for (i = hooks->nafter - 1; i >= 0; i--)
	{
		add_function(&sql, hooks->after[i]);
		append_sql(&sql, "(");
		append_sql(&sql, task);
		append_sql(&sql, ", ");
		append_sql(&sql, outcome);
		append_sql(&sql, i > 0 ? ") is null, " : ") is null]");
	}
	return steal(&sql);
}

const char *
tq_hooks_add(tq_hooks *hooks, bool before, const char *function)
{
	if (schema_length(function) == 0)
		return "name the function as SCHEMA.FUNCTION";
	if ((before ? hooks->nbefore : hooks->nafter) == TQ_HOOKS_MAX)
		return "there are too many functions";
	if (before)
		hooks->before[hooks->nbefore++] = function;
	else
		hooks->after[hooks->nafter++] = function;
	return NULL;
}

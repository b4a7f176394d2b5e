/*
 * call.c
 *		Commands that are one call of a function of the extension.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/call.h"
#include "cli/names.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/report.h"
#include "cli/session.h"
#include "core/trace.h"

#define TYPE_BOOL        16
#define TYPE_TIMESTAMPTZ 1184
#define TYPE_INTERVAL    1186
#define TYPE_VOID        2278

__attribute__((format(printf, 2, 3))) static void
add_text(cli_statement *s, const char *format, ...)
{
	size_t len = strlen(s->sql);
	va_list args;
	int added;

	va_start(args, format);
	added = vsnprintf(s->sql + len, sizeof(s->sql) - len, format, args);
	va_end(args);
	if (added < 0 || len + (size_t) added >= sizeof(s->sql))
		cli_fail(EXIT_REFUSED, NULL, "the statement is too long");
}

void
cli_begin(cli_statement *s, const char *columns, const char *function)
{
	s->sql[0] = '\0';
	s->function = function;
	s->nvalues = 0;
	add_text(s, "select %s from taskq.%s(", columns, function);
}

void
cli_begin_each(cli_statement *s, const char *head, const char *function, const char *parameter,
			   const char *values)
{
	s->sql[0] = '\0';
	s->function = function;
	s->parameters[0] = parameter;
	s->options[0] = NULL;
	s->values[0] = values;
	s->nvalues = 1;
	add_text(s,
			 "%s pg_catalog.unnest($1::text[]) as each (value), "
			 "lateral taskq.%s(%s => each.value",
			 head, function, parameter);
}

static void
pass_value(cli_statement *s, const char *parameter, const char *type, const char *value)
{
	if (s->nvalues == MAX_VALUES)
		cli_usage("there are too many options");
	s->parameters[s->nvalues] = parameter;
	s->options[s->nvalues] = NULL;
	s->values[s->nvalues++] = value;
	add_text(s, "%s%s => $%d", s->nvalues > 1 ? ", " : "", parameter, s->nvalues);
	if (type != NULL)
		add_text(s, "::%s", type);
}

void
cli_pass(cli_statement *s, const char *parameter, const char *type, const char *value)
{
	if (value != NULL)
		pass_value(s, parameter, type, value);
}

void
cli_pass_null(cli_statement *s, const char *parameter)
{
	pass_value(s, parameter, NULL, NULL);
}

/* The statement knows which option the value comes from, for cli_refuse_value(). */
static void
pass_named(cli_statement *s, const char *parameter, const char *type, const char *value,
		   const char *option)
{
	cli_pass(s, parameter, type, value);
	s->options[s->nvalues - 1] = option;
}

void
cli_pass_option(cli_statement *s, const char *parameter, const char *type, const cli_call *call,
				const char *option)
{
	const char *value = cli_value(call, option);

	if (value != NULL)
		pass_named(s, parameter, type, value, option);
}

void
cli_pass_options(cli_statement *s, const cli_call *call)
{
	int i;

	for (i = 0; i < call->command->noptions; i++)
	{
		const cli_option *option = &call->command->options[i];
		const char *value = cli_value(call, option->name);

		if (option->parameter == NULL || value == NULL)
			continue;
		pass_named(s, option->parameter, option->type,
				   option->convert != NULL ? option->convert(value) : value, option->name);
	}
}

void
cli_pass_trace(cli_statement *s, const cli_call *call)
{
	const char *trace = getenv("TRACEPARENT");

	if (cli_value(call, "trace") == NULL && trace != NULL && tq_trace_invalid(trace) == NULL)
		cli_pass(s, "trace", NULL, trace);
}

PGresult *
cli_end(cli_statement *s, const char *rest)
{
	add_text(s, ")%s", rest);
	return cli_try(s->sql, s->nvalues, s->values);
}

PGresult *
cli_end_or_fail(cli_statement *s, const char *rest)
{
	PGresult *result = cli_end(s, rest);

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		cli_fail_statement(s, result);
	return result;
}

/* ---- mistakes in values -------------------------------------------------------- */

/* The type of a parameter, by the catalog; 0: not known. */
static Oid
type_of(const char *function, const char *parameter)
{
	/* Those that are returned come after them, and have names as well. */
	static const char sql[] =
		"select t.type from pg_catalog.pg_proc p cross join lateral "
		"unnest(p.proargnames[1:p.pronargs], p.proargtypes::oid[]) t (name, type) "
		"where p.pronamespace = 'taskq'::regnamespace and p.proname = $1 and "
		"t.name = pg_catalog.btrim($2, '\"')";
	const char *values[2] = {function, parameter};
	PGresult *found = cli_try(sql, 2, values);
	Oid type = PQresultStatus(found) == PGRES_TUPLES_OK && PQntuples(found) == 1
				   ? (Oid) strtoul(PQgetvalue(found, 0, 0), NULL, 10)
				   : 0;

	PQclear(found);
	return type;
}

static const char *
hint_for(Oid type, const char *message)
{
	if (type == TYPE_INTERVAL)
		return HINT_DURATION;
	return type == TYPE_TIMESTAMPTZ ? HINT_TIME : cli_suggest_for(message);
}

/* Has the server read the value alone; ends the program if it cannot. */
static void
check_value(const cli_statement *s, int i)
{
	Oid type = strcmp(s->options[i], "in") == 0 ? TYPE_INTERVAL
												: type_of(s->function, s->parameters[i]);
	PGresult *read = type != 0 ? cli_read_as(type, s->values[i]) : NULL;

	if (read != NULL && PQresultStatus(read) == PGRES_FATAL_ERROR)
	{
		const char *message = PQresultErrorField(read, PG_DIAG_MESSAGE_PRIMARY);

		cli_fail(EXIT_USAGE, hint_for(type, message), "--%s: %s", s->options[i], message);
	}
	PQclear(read);
}

/* Class 22 is of values, and 2201B of regular expressions. */
void
cli_refuse_value(const cli_statement *s, const PGresult *result)
{
	const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	int i;

	if (code == NULL || strncmp(code, "22", 2) != 0)
		return;
	cli_session_recover();
	for (i = 0; i < s->nvalues; i++)
	{
		if (s->options[i] == NULL)
			continue;
		if (strcmp(code, "2201B") == 0 && strcmp(s->options[i], "error") == 0)
			cli_fail(EXIT_USAGE, NULL, "--error: %s",
					 PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
		check_value(s, i);
	}
}

void
cli_fail_statement(const cli_statement *s, const PGresult *result)
{
	cli_refuse_value(s, result);
	cli_fail_result(result);
}

/* Whether a function that returns a truth, or one value, says that there was nothing to do. */
static bool
refused(const PGresult *result)
{
	if (PQntuples(result) != 1 || PQnfields(result) != 1 || PQftype(result, 0) == TYPE_VOID)
		return false;
	return PQgetisnull(result, 0, 0) ||
		   (PQftype(result, 0) == TYPE_BOOL && *PQgetvalue(result, 0, 0) == 'f');
}

/* A name that is not there is told before the question. */
static void
ask(const cli_command *command, const char *first)
{
	if (command->kind != KIND_NONE && !cli_name_exists(command->kind, first))
		cli_fail(EXIT_NOTHING, cli_suggest(command->kind, first), "%s: %s", first,
				 command->refusal);
	cli_confirm("%s \"%s\"?", command->question, first);
}

int
cli_run_function(cli_call *call)
{
	const cli_command *command = call->command;
	const char *first = cli_argument(call, 0);
	int status = EXIT_DONE;
	cli_statement s;
	PGresult *result;
	int i;

	if (command->question != NULL)
		ask(command, first);
	cli_begin(&s, "*", command->function);
	for (i = 0; i < call->narguments; i++)
		if (command->parameters[i][0] != '\0')
			cli_pass(&s, command->parameters[i], NULL, call->arguments[i]);
	cli_pass_options(&s, call);
	result = cli_end_or_fail(&s, "");
	if (refused(result))
	{
		if (command->refusal_status != EXIT_DONE)
			cli_fail(command->refusal_status, NULL, "%s: %s", first, command->refusal);
		cli_note("%s: %s", first, command->refusal);
	}
	else if (PQnfields(result) > 0 && PQftype(result, 0) != TYPE_BOOL &&
			 PQftype(result, 0) != TYPE_VOID)
		cli_print(result, PQnfields(result));
	PQclear(result);
	return status;
}

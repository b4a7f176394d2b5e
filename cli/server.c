/*
 * server.c
 *		What a worker learns from the first connection of the program, before it makes its own.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/query.h"
#include "cli/server.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "core/buffer.h"

#define LINE_EXTRA      65536 /* of a line, beside the largest payload */
#define PAYLOAD_DEFAULT (1 << 20)

static void
add_parameter(tq_buffer *text, const char *keyword, const char *value)
{
	tq_buffer_append(text, " ", text->len > 0 ? 1 : 0);
	tq_buffer_append(text, keyword, strlen(keyword));
	tq_buffer_append(text, "='", 2);
	for (; *value != '\0'; value++)
	{
		if (*value == '\'' || *value == '\\')
			tq_buffer_append(text, "\\", 1);
		tq_buffer_append(text, value, 1);
	}
	tq_buffer_append(text, "'", 1);
}

/* What the server sets at the start of each session: the role of --role, too. */
static char *
session_options(const char *given)
{
	tq_buffer text;
	const char *c;
	size_t len;

	tq_buffer_init(&text, INT_MAX);
	tq_buffer_append(&text, given, strlen(given));
	if (settings.role != NULL)
	{
		tq_buffer_append(&text, " -c role=", strlen(" -c role="));
		for (c = settings.role; *c != '\0'; c++)
		{
			if (*c == ' ' || *c == '\\')
				tq_buffer_append(&text, "\\", 1);
			tq_buffer_append(&text, c, 1);
		}
	}
	return tq_buffer_steal(&text, &len);
}

char *
cli_server_conninfo(bool secrets)
{
	PQconninfoOption *all = PQconninfo(cli_connection());
	const PQconninfoOption *o;
	tq_buffer text;
	size_t len;

	tq_buffer_init(&text, INT_MAX);
	for (o = all; o != NULL && o->keyword != NULL; o++)
	{
		bool options = strcmp(o->keyword, "options") == 0;
		char *made = options ? session_options(o->val != NULL ? o->val : "") : NULL;
		const char *value = options ? made : o->val;

		if (value != NULL && *value != '\0' && (secrets || *o->dispchar != '*') &&
			(o->compiled == NULL || strcmp(value, o->compiled) != 0) &&
			strcmp(o->keyword, "fallback_application_name") != 0 &&
			strcmp(o->keyword, "client_encoding") != 0 && strcmp(o->keyword, "service") != 0)
			add_parameter(&text, o->keyword, value);
		free(made);
	}
	PQconninfoFree(all);
	return tq_buffer_steal(&text, &len);
}

size_t
cli_server_longest_line(void)
{
	static const char sql[] =
		"select pg_catalog.pg_size_bytes(pg_catalog.current_setting('taskq.max_payload', true))";
	PGresult *result = cli_query(sql, 0, NULL);
	size_t payload =
		PQgetisnull(result, 0, 0) ? PAYLOAD_DEFAULT : (size_t) atoll(PQgetvalue(result, 0, 0));

	PQclear(result);
	return payload + LINE_EXTRA;
}

/* The call needs no more than the privilege to work. */
void
cli_server_check_queue(const char *name)
{
	PGresult *result = cli_try("call taskq.wait_ready($1, '0')", 1, &name);

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		cli_fail_result(result);
	PQclear(result);
}

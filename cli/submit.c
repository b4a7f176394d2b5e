/*
 * submit.c
 *		submit, publish and http: put tasks into queues.
 *
 * A payload is sent as it is; the server parses it.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/ids.h"
#include "cli/input.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "cli/submit.h"
#include "cli/submitmany.h"
#include "cli/values.h"
#include "cli/wait.h"
#include "client/json.h"
#include "core/buffer.h"

#define MAX_HEADERS 100
#define MAX_FORM    (1 << 24)
#define FORM_TYPE   "application/x-www-form-urlencoded"

/*
 * What submit and http have in common.  The first three are lists in submit_many(), and --after may
 * be repeated, so they have no parameter here; see pass_alone().
 */
#define SCHEDULE_OPTIONS                                                                     \
	{0, "key", "KEY", "one live task of the queue at most has this key", NULL, NULL, NULL},  \
		{0, "at", "TIME", "not due before this time", NULL, NULL, NULL},                     \
		{0, "group-key", "GROUP", "the group of the queue to which it belongs", NULL, NULL,  \
		 NULL},                                                                              \
		{0, "priority", "N", "-16 (first) to 15 (last)", "priority", NULL, NULL},            \
		{0, "in", "DURATION", "not due before so long from now", "delay", NULL, NULL},       \
		{0, "start-within", "DURATION", "it expires unless it has started by "               \
										"then",                                              \
		 "start_within", NULL, NULL},                                                        \
		{0, "attempt-timeout", "DURATION", "how long one attempt may "                       \
										   "take",                                           \
		 "timeout", NULL, NULL},                                                             \
		{0, "retry", "POLICY", "the retry policy", "retry", NULL, NULL},                     \
		{0, "max-attempts", "N", "1 or more", "max_attempts", NULL, NULL},                   \
		{0, "kind", "KIND", "a name for the sort of task", "kind", NULL, NULL},              \
		{0, "on-duplicate", "WHAT", "keep, replace or raise, if the key is "                 \
									"taken",                                                 \
		 "on_duplicate", NULL, NULL},                                                        \
		{0, "unique-for", "DURATION", "the key stays taken for so long from now on",         \
		 "unique_for", NULL, NULL},                                                          \
		{0, "max-wait", "DURATION",                                                          \
		 "with --on-duplicate replace: due at most so long\nafter the first submit",         \
		 "max_wait", NULL, NULL},                                                            \
		{0, "on-finish", "JSON", "follow-ups of the task when it is finished", "on_finish",  \
		 NULL, NULL},                                                                        \
		{0, "on-dead", "JSON", "the same when it is dead or expired", "on_dead", NULL,       \
		 NULL},                                                                              \
		{0, "trace", "TRACEPARENT",                                                          \
		 "the W3C traceparent that it hands on (default:\nTRACEPARENT of the environment)",  \
		 "trace", NULL, NULL},                                                               \
		{0, "after", "ID", "it waits until this task has ended; may be repeated", NULL,      \
		 NULL, NULL},                                                                        \
		{0, "after-failure", "WHAT", "cancel, run or wait, if that one has not finished",    \
		 "after_failure", NULL, NULL},                                                       \
	{                                                                                        \
		0, "wait", "[=DURATION]", "wait for the end, and print the result", NULL, NULL, NULL \
	}

static const cli_option submit_options[] = {
	SCHEDULE_OPTIONS,
	{0, "text", NULL, "the payload is text, and becomes a JSON string", NULL, NULL, NULL},
	{0, "lines", NULL, "each line of the input is the payload of a task", NULL, NULL, NULL},
	{0, "objects", NULL,
	 "with --lines: each line is a JSON object with payload,\nkey, run_at and group_key, as far as "
	 "the task has them",
	 NULL, NULL, NULL},
	{0, "batch", "N", "with --lines: tasks in a transaction\n(default: 1000)", NULL, NULL, NULL},
	{0, "atomic", NULL, "with --lines: one transaction for all", NULL, NULL, NULL},
	{0, "key-prefix", "TEXT", "with --lines: the keys are this and the number\nof the "
							  "line",
	 NULL, NULL, NULL},
};

static const cli_option http_options[] = {
	SCHEDULE_OPTIONS,
	{'X', "method", "METHOD", "default: POST", "method", NULL, NULL},
	{'H', "header", "LINE", "\"Name: value\"; may be repeated", NULL, NULL, NULL},
	{0, "raw", "TYPE", "the body is bytes of this content type, not JSON", NULL, NULL, NULL},
	{0, "form", "NAME=VALUE", "a field of a form, instead of the body; may be repeated", NULL, NULL,
	 NULL},
	{0, "queue", "QUEUE", "a push queue (default: http)", "queue", NULL, NULL},
	{0, "endpoint", "ENDPOINT", "instead of the URL", "endpoint", NULL, NULL},
	{0, "path", "PATH", "with --endpoint: appended to its URL", "path", NULL, NULL},
};

static const cli_option publish_options[] = {
	{0, "text", NULL, "the payload is text, and becomes a JSON string", NULL, NULL, NULL},
	{0, "kind", "KIND", "a name for the sort of message", "kind", NULL, NULL},
	{0, "key", "KEY", "of the tasks", "key", NULL, NULL},
	{0, "group-key", "GROUP", "of the tasks", "group_key", NULL, NULL},
	{0, "priority", "N", "-16 (first) to 15 (last)", "priority", NULL, NULL},
	{0, "in", "DURATION", "not due before so long from now", "delay", NULL, NULL},
	{0, "trace", "TRACEPARENT",
	 "the W3C traceparent that they hand on (default:\nTRACEPARENT of the environment)", "trace",
	 NULL, NULL},
};

/* ---- one task ---------------------------------------------------------------- */

/* What one task has, and a list of tasks has for each. */
static void
pass_alone(cli_statement *s, const cli_call *call)
{
	cli_pass_option(s, "key", NULL, call, "key");
	cli_pass_option(s, "run_at", NULL, call, "at");
	cli_pass_option(s, "group_key", NULL, call, "group-key");
	cli_pass(s, "after", NULL, cli_ids_option(call, "after"));
}

/* Prints the id, or waits and prints the result. */
static int
tell_submitted(const cli_call *call, cli_statement *s)
{
	const char *wait = cli_value(call, "wait");
	PGresult *result;
	int status = EXIT_DONE;

	/* Before there is a task. */
	if (wait != NULL && strcmp(wait, "true") != 0)
		(void) cli_duration_ms(call, "wait", 0);
	result = cli_end(s, " as id");
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		cli_fail_submit(s, result);
	if (wait == NULL || settings.dry_run)
		cli_print_ids(result);
	else
		status = cli_wait_and_print(PQgetvalue(result, 0, 0),
									strcmp(wait, "true") == 0 ? NULL : wait,
									call->command == &cli_http);
	PQclear(result);
	return status;
}

/* JSON, which --text makes of any text; NULL: there is none, and standard input is a terminal. */
static const char *
payload_of(const cli_call *call, size_t *len)
{
	const char *payload = cli_payload(cli_argument(call, 1), len);

	/* So that a pipe whose writer has failed submits no task. */
	if (payload == NULL && !isatty(STDIN_FILENO))
		cli_fail(EXIT_USAGE, "Give a payload, such as null for a task that needs none.",
				 "there is no payload, and standard input is empty");
	if (payload != NULL && strlen(payload) != *len)
		cli_fail(EXIT_REFUSED, NULL, "the payload has a byte 0");
	if (payload != NULL && cli_value(call, "text") != NULL)
		payload = tq_json_string(payload, *len);
	return payload;
}

static int
submit_one(cli_call *call)
{
	size_t len;
	const char *payload = payload_of(call, &len);
	cli_statement s;

	cli_begin(&s, "*", "submit");
	cli_pass(&s, "queue", NULL, cli_argument(call, 0));
	cli_pass(&s, "payload", NULL, payload);
	pass_alone(&s, call);
	cli_pass_options(&s, call);
	cli_pass_trace(&s, call);
	return tell_submitted(call, &s);
}

static int
run_submit(cli_call *call)
{
	bool lines = cli_value(call, "lines") != NULL || cli_value(call, "objects") != NULL;

	return lines ? cli_submit_lines(call) : submit_one(call);
}

/* ---- messages ---------------------------------------------------------------- */

static int
run_publish(cli_call *call)
{
	size_t len;
	const char *payload = payload_of(call, &len);
	cli_statement s;
	PGresult *result;

	cli_begin(&s, "id", "publish");
	cli_pass(&s, "topic", NULL, cli_argument(call, 0));
	cli_pass(&s, "payload", NULL, payload);
	cli_pass_options(&s, call);
	cli_pass_trace(&s, call);
	result = cli_end(&s, " as id");
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		cli_fail_submit(&s, result);
	cli_print_ids(result);
	if (PQntuples(result) == 0)
		cli_note("no queue is subscribed to \"%s\" for that", cli_argument(call, 0));
	PQclear(result);
	return EXIT_DONE;
}

/* ---- HTTP requests ----------------------------------------------------------- */

/* Bytes as PostgreSQL reads a bytea; never freed. */
static const char *
bytea_of(const char *bytes, size_t len)
{
	char *hex = malloc(len * 2 + 3);
	size_t i;

	if (hex == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	strcpy(hex, "\\x");
	for (i = 0; i < len; i++)
		sprintf(hex + 2 + 2 * i, "%02x", (unsigned char) bytes[i]);
	return hex;
}

/* A name or a value of a form. */
static void
add_encoded(tq_buffer *form, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];
		char code[4];

		snprintf(code, sizeof(code), "%%%02X", c);
		if (c == ' ')
			tq_buffer_append(form, "+", 1);
		else if ((c < 0x80 && isalnum(c)) || (c != '\0' && strchr("-._", c) != NULL))
			tq_buffer_append(form, text + i, 1);
		else
			tq_buffer_append(form, code, 3);
	}
}

/* The fields of --form as they are sent, never freed; NULL: there are none. */
static const char *
form_of(const cli_call *call)
{
	tq_buffer form;
	size_t len;
	int i;

	if (cli_value(call, "form") == NULL)
		return NULL;
	tq_buffer_init(&form, MAX_FORM);
	for (i = 0; i < call->ngiven; i++)
	{
		const char *field = call->given[i].value;
		const char *equals = strchr(field, '=');

		if (strcmp(call->given[i].option->name, "form") != 0)
			continue;
		if (equals == NULL)
			cli_usage("--form: a field is NAME=VALUE");
		tq_buffer_append(&form, "&", form.len > 0 ? 1 : 0);
		add_encoded(&form, field, (size_t) (equals - field));
		tq_buffer_append(&form, "=", 1);
		add_encoded(&form, equals + 1, strlen(equals + 1));
	}
	if (form.overflowed)
		cli_fail(EXIT_REFUSED, NULL, "the form is too large");
	return tq_buffer_steal(&form, &len);
}

/* The headers of -H and --raw as JSON; NULL: there are none. */
static const char *
headers_of(const cli_call *call, const char *raw)
{
	char *lines[MAX_HEADERS];
	char type[1024];
	int n = 0;
	int i;

	for (i = 0; i < call->ngiven; i++)
	{
		if (strcmp(call->given[i].option->name, "header") != 0)
			continue;
		if (n == MAX_HEADERS - 1)
			cli_usage("there are more than %d headers", MAX_HEADERS - 1);
		lines[n++] = (char *) call->given[i].value;
	}
	if (raw != NULL)
	{
		snprintf(type, sizeof(type), "Content-Type: %s", raw);
		lines[n++] = type;
	}
	return n > 0 ? cli_headers(lines, n) : NULL;
}

static int
run_http(cli_call *call)
{
	bool endpoint = cli_value(call, "endpoint") != NULL;
	int body_at = endpoint ? 0 : 1;
	size_t len;
	const char *raw = cli_value(call, "raw");
	const char *form;
	const char *body;
	cli_statement s;

	if (!endpoint && call->narguments == 0)
		cli_usage("taskq http needs a URL, or --endpoint");
	if (call->narguments > body_at + 1)
		cli_usage("taskq http does not take \"%s\"", call->arguments[body_at + 1]);
	form = form_of(call);
	if (form != NULL && (raw != NULL || call->narguments > body_at))
		cli_usage("--form does not go with a body or --raw");
	if (form != NULL)
		raw = FORM_TYPE;
	body = form != NULL ? form : cli_payload(cli_argument(call, body_at), &len);
	if (form != NULL)
		len = strlen(form);
	cli_begin(&s, "*", "submit_http");
	if (!endpoint)
		cli_pass(&s, "url", NULL, cli_argument(call, 0));
	if (body != NULL && raw != NULL)
		cli_pass(&s, "body", NULL, bytea_of(body, len));
	else
		cli_pass(&s, "payload", NULL, body);
	cli_pass(&s, "headers", NULL, headers_of(call, raw));
	pass_alone(&s, call);
	cli_pass_options(&s, call);
	cli_pass_trace(&s, call);
	return tell_submitted(call, &s);
}

const cli_command cli_submit = {
	.name = "submit",
	.synopsis = "QUEUE [PAYLOAD | @FILE | -] [OPTION]...",
	.about = "Put a task, or many, into a queue",
	.details = "The payload is JSON.  Without one it is read from standard input, which must not "
			   "be empty\nunless it is a terminal: the task has no payload then.\n"
			   "Prints the id of the task.",
	.examples = "  taskq submit default '{\"to\": \"ada\"}' --key mail-1\n"
				"  taskq submit default --text hello --in '1 hour'",
	.min_arguments = 1,
	.max_arguments = 2,
	.options = submit_options,
	.noptions = COUNT(submit_options),
	.run = run_submit};

const cli_command cli_publish = {
	.name = "publish",
	.synopsis = "TOPIC [PAYLOAD | @FILE | -] [OPTION]...",
	.about = "Publish a message: a task for each queue that is subscribed to the topic",
	.details = "The payload is as that of submit.  Prints the ids of the tasks.",
	.examples = "  taskq queue create news --mode topic\n"
				"  taskq subscribe news default --kinds paid\n"
				"  taskq publish news '{\"order\": 7}' --kind paid",
	.min_arguments = 1,
	.max_arguments = 2,
	.options = publish_options,
	.noptions = COUNT(publish_options),
	.run = run_publish};

const cli_command cli_http = {
	.name = "http",
	.synopsis = "[URL] [BODY | @FILE | -] [OPTION]...",
	.about = "Put an HTTP request into a push queue",
	.details = "The body is JSON, with --raw any bytes, with --form the fields of a form.\n"
			   "Prints the id of the task; with --wait the body of the answer.",
	.examples = "  taskq http https://hooks.example.com/paid '{\"order\": 1}' -H 'X-Event: paid'",
	.min_arguments = 0,
	.max_arguments = 2,
	.options = http_options,
	.noptions = COUNT(http_options),
	.run = run_http};

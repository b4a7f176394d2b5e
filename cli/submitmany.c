/*
 * submitmany.c
 *		submit --lines: a task for each line of a file.
 *
 * Each batch is a transaction of its own; with keys it is safe to begin again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/ids.h"
#include "cli/meter.h"
#include "cli/query.h"
#include "cli/report.h"
#include "cli/scan.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "cli/submitmany.h"
#include "client/array.h"
#include "client/json.h"
#include "core/buffer.h"
#include "core/clock.h"

#define BATCH_DEFAULT 1000
#define BATCH_MAX     100000
#define MAX_BATCH     (1 << 29) /* bytes of the payloads of one batch */

/* What a task of a batch has of its own. */
enum
{
	PAYLOAD,
	KEY,
	RUN_AT,
	GROUP_KEY,
	NPARTS
};

/* By these. */
static const char *const members[] = {"payload", "key", "run_at", "group_key"};
static const char *const parameters[] = {"payloads", "keys", "run_ats", "group_keys"};

/* A task, as its line has it; a part is NULL if there is none. */
typedef struct Line
{
	const cli_call *call;
	long number;
	char *parts[NPARTS];
} Line;

/* The arrays of a call of submit_many(). */
typedef struct Batch
{
	tq_buffer parts[NPARTS];
	bool used[NPARTS]; /* some task has one */
	int n;
} Batch;

void
cli_fail_submit(const cli_statement *s, const PGresult *result)
{
	cli_refuse_value(s, result);
	if (cli_has_code(result, "22P02"))
		exit(cli_report_error(result, "A payload is JSON; --text makes a JSON string of "
									  "any text."));
	cli_fail_result(result);
}

/* ---- batches ------------------------------------------------------------------- */

static void
reset(Batch *batch)
{
	int i;

	for (i = 0; i < NPARTS; i++)
	{
		tq_buffer_reset(&batch->parts[i]);
		batch->used[i] = false;
	}
	batch->n = 0;
}

static void
pass_arrays(cli_statement *s, Batch *batch)
{
	int i;

	for (i = 0; i < NPARTS; i++)
	{
		const char *array = tq_array_end(&batch->parts[i]);

		if (batch->parts[i].overflowed)
			cli_fail(EXIT_REFUSED, "Use a smaller --batch.", "a batch is too large");
		if (i == PAYLOAD || batch->used[i])
			cli_pass(s, parameters[i], i == PAYLOAD ? "jsonb[]" : NULL, array);
	}
}

static void
send_batch(const cli_call *call, Batch *batch)
{
	cli_statement s;
	PGresult *result;

	if (batch->n == 0)
		return;
	cli_begin(&s, "*", "submit_many");
	cli_pass(&s, "queue", NULL, cli_argument(call, 0));
	cli_pass(&s, "after", NULL, cli_ids_option(call, "after"));
	pass_arrays(&s, batch);
	cli_pass_options(&s, call);
	cli_pass_trace(&s, call);
	result = cli_end(&s, " as id");
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		cli_fail_submit(&s, result);
	cli_print_ids(result);
	PQclear(result);
	reset(batch);
}

static void
add_line(Batch *batch, Line *line)
{
	int i;

	for (i = 0; i < NPARTS; i++)
	{
		tq_array_add(&batch->parts[i], line->parts[i]);
		batch->used[i] = batch->used[i] || line->parts[i] != NULL;
		free(line->parts[i]);
		line->parts[i] = NULL;
	}
	batch->n++;
}

/* ---- lines --------------------------------------------------------------------- */

static char *
string_of(const Line *line, const char *name, cli_slice value)
{
	size_t len;
	char *text = cli_scan_string(value, &len);

	if (text == NULL || strlen(text) != len)
		cli_fail(EXIT_REFUSED, NULL, "line %ld: %s is not a string", line->number, name);
	return text;
}

/* A member of the object of a line. */
static void
take_member(void *arg, cli_slice name, cli_slice value)
{
	Line *line = arg;
	int i;

	for (i = 0; i < NPARTS; i++)
	{
		if (!cli_slice_is(name, members[i]))
			continue;
		free(line->parts[i]);
		line->parts[i] = NULL;
		if (i == PAYLOAD)
			line->parts[i] = cli_slice_copy(value);
		else if (!cli_slice_is(value, "null"))
			line->parts[i] = string_of(line, members[i], value);
		return;
	}
	cli_fail(EXIT_REFUSED, "An object has payload, key, run_at and group_key.",
			 "line %ld: there is no member \"%.*s\"", line->number, (int) name.len, name.text);
}

/* What no object says is as the options say it. */
static void
take_defaults(Line *line)
{
	const char *prefix = cli_value(line->call, "key-prefix");
	const char *at = cli_value(line->call, "at");
	const char *group = cli_value(line->call, "group-key");
	char *key;

	if (line->parts[KEY] == NULL && prefix != NULL)
	{
		if (asprintf(&key, "%s%ld", prefix, line->number) < 0)
			cli_fail(EXIT_REFUSED, NULL, "out of memory");
		line->parts[KEY] = key;
	}
	if (line->parts[RUN_AT] == NULL && at != NULL)
		line->parts[RUN_AT] = cli_copy(at);
	if (line->parts[GROUP_KEY] == NULL && group != NULL)
		line->parts[GROUP_KEY] = cli_copy(group);
}

static void
read_line(Line *line, const char *text)
{
	size_t len = strlen(text);

	if (cli_value(line->call, "objects") != NULL)
	{
		if (text[strspn(text, " \t\r")] != '{' || !cli_scan(text, len, take_member, line))
			cli_fail(EXIT_REFUSED, NULL, "line %ld is not a JSON object", line->number);
	}
	else if (cli_value(line->call, "text") != NULL)
		line->parts[PAYLOAD] = tq_json_string(text, len);
	else
		line->parts[PAYLOAD] = cli_copy(text);
	take_defaults(line);
}

static FILE *
open_lines(const char *path)
{
	FILE *file = path == NULL || strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

	if (file == NULL)
		cli_fail(EXIT_REFUSED, NULL, "%s: %s", path, strerror(errno));
	return file;
}

/* How much of the file was read, from 0 to 1; -1: not known. */
static double
part_read(FILE *file)
{
	struct stat st;
	long at = ftell(file);

	if (at < 0 || fstat(fileno(file), &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return -1;
	return (double) at / (double) st.st_size;
}

static void
submit_file(const cli_call *call, FILE *file, int size)
{
	char *text = NULL;
	long submitted = 0;
	size_t allocated = 0;
	Batch batch = {.n = 0};
	Line line = {.call = call};
	ssize_t len;
	int i;

	for (i = 0; i < NPARTS; i++)
		tq_buffer_init(&batch.parts[i], MAX_BATCH);
	cli_meter_begin("submit", cli_argument(call, 0), settings.quiet, tq_clock_ms());
	while ((len = getline(&text, &allocated, file)) >= 0)
	{
		line.number++;
		if (len > 0 && text[len - 1] == '\n')
			text[len - 1] = '\0';
		if (*text == '\0')
			continue;
		read_line(&line, text);
		add_line(&batch, &line);
		if (batch.n < size)
			continue;
		send_batch(call, &batch);
		submitted += size;
		cli_meter_show(submitted, 0, part_read(file), tq_clock_ms());
	}
	send_batch(call, &batch);
	cli_meter_clear();
	for (i = 0; i < NPARTS; i++)
		tq_buffer_free(&batch.parts[i]);
	free(text);
}

/* Options that are of one task, or that submit_many() does not have. */
static void
refuse_options(const cli_call *call)
{
	static const char *const names[] = {"key", "unique-for", "max-wait", "wait"};
	int i;

	for (i = 0; i < COUNT(names); i++)
		if (cli_value(call, names[i]) != NULL)
			cli_usage("--%s does not go with --lines", names[i]);
	if (cli_value(call, "objects") != NULL && cli_value(call, "text") != NULL)
		cli_usage("--text does not go with --objects");
}

int
cli_submit_lines(cli_call *call)
{
	int size = cli_number(call, "batch", 1, BATCH_MAX, BATCH_DEFAULT);
	bool atomic = cli_value(call, "atomic") != NULL && !settings.dry_run;
	FILE *file;

	refuse_options(call);
	file = open_lines(cli_argument(call, 1));
	if (atomic)
		PQclear(cli_query("begin", 0, NULL));
	submit_file(call, file, size);
	if (atomic)
		PQclear(cli_query("commit", 0, NULL));
	return EXIT_DONE;
}

/*
 * exposition.c
 *		Writes metrics in the formats that Prometheus reads: text 0.0.4, and OpenMetrics 1.0.
 *
 * The two differ in few things: OpenMetrics names the family of a counter without _total, escapes
 * quotes in help texts, and ends with a line of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/exposition.h"
#include "cli/scan.h"

const char *
cli_exposition_type(bool openmetrics)
{
	return openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
					   : "text/plain; version=0.0.4; charset=utf-8";
}

static void
emit(tq_buffer *out, const char *text)
{
	tq_buffer_append(out, text, strlen(text));
}

/* Writes the text with a backslash before each backslash and, where asked for, each quote. */
static void
add_escaped(tq_buffer *out, const char *text, size_t len, bool quotes)
{
	size_t i;

	for (i = 0; i < len; i++)
	{
		if (text[i] == '\n')
			emit(out, "\\n");
		else
		{
			if (text[i] == '\\' || (quotes && text[i] == '"'))
				emit(out, "\\");
			tq_buffer_append(out, &text[i], 1);
		}
	}
}

/* ---- families ---------------------------------------------------------------- */

static size_t
length_without(const char *name, const char *suffix)
{
	size_t len = strlen(name);
	size_t cut = strlen(suffix);

	return len > cut && strcmp(name + len - cut, suffix) == 0 ? len - cut : len;
}

/* The length of the name of the sample's family, which is the beginning of the sample's own. */
static size_t
family_length(const cli_exposition *e, const cli_sample *sample)
{
	static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
	size_t len = strlen(sample->name);
	int i;

	if (strcmp(sample->type, "counter") == 0 && e->openmetrics)
		return length_without(sample->name, "_total");
	if (strcmp(sample->type, "histogram") != 0)
		return len;
	for (i = 0; i < (int) (sizeof(suffixes) / sizeof(suffixes[0])); i++)
	{
		if (length_without(sample->name, suffixes[i]) < len)
			return length_without(sample->name, suffixes[i]);
	}
	return len;
}

static void
begin_family(cli_exposition *e, const cli_sample *sample, size_t len)
{
	memcpy(e->family, sample->name, len);
	e->family[len] = '\0';
	emit(e->out, "# HELP ");
	emit(e->out, e->family);
	emit(e->out, " ");
	add_escaped(e->out, sample->help, strlen(sample->help), e->openmetrics);
	emit(e->out, "\n# TYPE ");
	emit(e->out, e->family);
	emit(e->out, " ");
	emit(e->out, sample->type);
	emit(e->out, "\n");
}

/* ---- samples ------------------------------------------------------------------ */

/* The labels of a sample while they are read. */
typedef struct Labels
{
	tq_buffer *out;
	int count;
	bool wrong;
} Labels;

static void
take_label(void *arg, cli_slice name, cli_slice value)
{
	Labels *labels = arg;
	size_t len;
	char *text = cli_scan_string(value, &len);

	if (text == NULL)
	{
		labels->wrong = true;
		return;
	}
	emit(labels->out, labels->count++ > 0 ? "," : "{");
	tq_buffer_append(labels->out, name.text, name.len);
	emit(labels->out, "=\"");
	add_escaped(labels->out, text, len, true);
	emit(labels->out, "\"");
	free(text);
}

/* Writes the labels in braces, or nothing if there are none. */
static bool
add_labels(tq_buffer *out, const char *json)
{
	Labels labels = {.out = out};

	if (*json != '{' || !cli_scan(json, strlen(json), take_label, &labels) || labels.wrong)
		return false;
	if (labels.count > 0)
		emit(out, "}");
	return true;
}

/* Infinity is the one number that is spelt otherwise here. */
static const char *
value_of(const cli_sample *sample)
{
	if (strcmp(sample->value, "Infinity") == 0)
		return "+Inf";
	return strcmp(sample->value, "-Infinity") == 0 ? "-Inf" : sample->value;
}

bool
cli_exposition_add(cli_exposition *e, const cli_sample *sample)
{
	size_t len = family_length(e, sample);
	tq_buffer labels;
	bool valid;

	if (strlen(sample->name) >= EXPOSITION_NAME_MAX)
		return false;
	tq_buffer_init(&labels, e->out->limit);
	valid = add_labels(&labels, sample->labels);
	if (valid)
	{
		if (strlen(e->family) != len || strncmp(e->family, sample->name, len) != 0)
			begin_family(e, sample, len);
		emit(e->out, sample->name);
		tq_buffer_append(e->out, labels.data, labels.len);
		emit(e->out, " ");
		emit(e->out, value_of(sample));
		emit(e->out, "\n");
	}
	tq_buffer_free(&labels);
	return valid;
}

void
cli_exposition_begin(cli_exposition *e, tq_buffer *out, bool openmetrics)
{
	e->out = out;
	e->openmetrics = openmetrics;
	e->family[0] = '\0';
}

void
cli_exposition_end(cli_exposition *e)
{
	if (e->openmetrics)
		emit(e->out, "# EOF\n");
}

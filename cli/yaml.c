/*
 * yaml.c
 *		Flat files of YAML: one mapping, whose values are scalars or lists of scalars.  Writes other
 *		ones, too.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/yaml.h"
#include "cli/yamlevents.h"
#include "client/utf8.h"

#define MAX_KEYS 64

/* ---- reading ----------------------------------------------------------------------- */

typedef struct Reader
{
	cli_yaml_events e;
	cli_yaml_taker *take;
	void *arg;
	char *keys[MAX_KEYS];
	int nkeys;
} Reader;

static bool
refuse_here(Reader *r, const char *what)
{
	return cli_yaml_refuse(&r->e, r->e.event.start_mark, what);
}

static bool
is_plain_scalar(Reader *r)
{
	if (!cli_yaml_check_node(&r->e, false))
		return false;
	if (r->e.event.type != YAML_SCALAR_EVENT)
		return refuse_here(r, "neither a scalar nor a list of scalars");
	return cli_yaml_check_scalar(&r->e);
}

/* The scalar of the event; NULL: null. */
static const char *
scalar_of(const Reader *r)
{
	const char *value = (const char *) r->e.event.data.scalar.value;

	if (r->e.event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
		cli_yaml_kind_of(value) == YAML_KIND_NULL)
		return NULL;
	return value;
}

static bool
take_key(Reader *r)
{
	const char *key = (const char *) r->e.event.data.scalar.value;
	int i;

	if (!is_plain_scalar(r))
		return false;
	for (i = 0; i < r->nkeys; i++)
		if (strcmp(r->keys[i], key) == 0)
			return refuse_here(r, "the key is there already");
	if (r->nkeys == MAX_KEYS)
		return refuse_here(r, "too many keys");
	r->keys[r->nkeys] = strdup(key);
	if (r->keys[r->nkeys] == NULL)
		return refuse_here(r, "out of memory");
	r->nkeys++;
	return true;
}

static bool
take_list(Reader *r, const char *key)
{
	int n = 0;

	if (!cli_yaml_check_node(&r->e, false))
		return false;
	while (cli_yaml_next(&r->e) && r->e.event.type != YAML_SEQUENCE_END_EVENT)
	{
		if (!is_plain_scalar(r))
			return false;
		r->take(r->arg, key, n++, scalar_of(r));
	}
	return r->e.mistake == NULL;
}

static bool
take_value(Reader *r)
{
	const char *key = r->keys[r->nkeys - 1];

	if (!cli_yaml_next(&r->e))
		return false;
	if (r->e.event.type == YAML_SEQUENCE_START_EVENT)
		return take_list(r, key);
	if (!is_plain_scalar(r))
		return false;
	r->take(r->arg, key, -1, scalar_of(r));
	return true;
}

static bool
take_mapping(Reader *r)
{
	if (!cli_yaml_check_node(&r->e, false))
		return false;
	if (r->e.event.type != YAML_MAPPING_START_EVENT)
		return refuse_here(r, "not a mapping");
	while (cli_yaml_next(&r->e) && r->e.event.type != YAML_MAPPING_END_EVENT)
		if (!take_key(r) || !take_value(r))
			return false;
	return r->e.mistake == NULL;
}

char *
cli_yaml_read(const char *text, size_t len, cli_yaml_taker *take, void *arg)
{
	Reader r = {.take = take, .arg = arg};
	int i;

	if (!cli_yaml_open(&r.e, text, len))
		return strdup("out of memory");
	if (cli_yaml_begin_document(&r.e) && take_mapping(&r))
		(void) cli_yaml_end_document(&r.e);
	for (i = 0; i < r.nkeys; i++)
		free(r.keys[i]);
	return cli_yaml_close(&r.e);
}

/* ---- writing ------------------------------------------------------------------------- */

/* ok: the event could be made. */
static void
emit(cli_yaml *y, yaml_event_t *event, int ok)
{
	if (y->failed && ok)
		yaml_event_delete(event);
	else if (!y->failed)
		y->failed = !ok || !yaml_emitter_emit(&y->emitter, event);
}

static bool
is_utf8(const char *text)
{
	const char *end = text + strlen(text);

	while (text < end)
	{
		size_t len = tq_utf8_length(text, end);

		if (len == 0)
			return false;
		text += len;
	}
	return true;
}

/* libyaml does not look closely at what it writes. */
static void
write_scalar(cli_yaml *y, const char *tag, const char *value, yaml_scalar_style_t style)
{
	yaml_event_t event;
	bool plain = style == YAML_PLAIN_SCALAR_STYLE && tag == NULL;

	if (y->failed || !is_utf8(value))
	{
		y->failed = true;
		return;
	}
	emit(y, &event,
		 yaml_scalar_event_initialize(&event, NULL, (const yaml_char_t *) tag,
									  (const yaml_char_t *) value, (int) strlen(value), plain,
									  tag == NULL, style));
}

/* What readers of YAML 1.1 take for truths, and numbers such as 10:30. */
static bool
is_old_scalar(const char *value)
{
	static const char *const words[] = {"y", "n", "yes", "no", "on", "off"};
	size_t i;

	if (value[strspn(value, "0123456789:")] == '\0')
		return true;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(words[i], value) == 0)
			return true;
	return false;
}

void
cli_yaml_text(cli_yaml *y, const char *value)
{
	yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;

	if (strchr(value, '\n') != NULL)
		style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
	else if (cli_yaml_kind_of(value) != YAML_KIND_TEXT || is_old_scalar(value) ||
			 strcmp(value, "<<") == 0)
		style = YAML_SINGLE_QUOTED_SCALAR_STYLE;
	write_scalar(y, NULL, value, style);
}

void
cli_yaml_bare(cli_yaml *y, const char *tag, const char *value)
{
	write_scalar(y, tag, value, YAML_PLAIN_SCALAR_STYLE);
}

void
cli_yaml_begin_mapping(cli_yaml *y)
{
	yaml_event_t event;

	emit(y, &event,
		 yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));
}

void
cli_yaml_end_mapping(cli_yaml *y)
{
	yaml_event_t event;

	emit(y, &event, yaml_mapping_end_event_initialize(&event));
}

void
cli_yaml_begin_list(cli_yaml *y)
{
	yaml_event_t event;

	emit(y, &event,
		 yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE));
}

void
cli_yaml_end_list(cli_yaml *y)
{
	yaml_event_t event;

	emit(y, &event, yaml_sequence_end_event_initialize(&event));
}

void
cli_yaml_open_file(cli_yaml *y, FILE *file)
{
	yaml_event_t event;

	y->failed = !yaml_emitter_initialize(&y->emitter);
	if (y->failed)
		return;
	yaml_emitter_set_output_file(&y->emitter, file);
	yaml_emitter_set_unicode(&y->emitter, 1);
	yaml_emitter_set_width(&y->emitter, -1);
	emit(y, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
	emit(y, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 0));
}

bool
cli_yaml_close_file(cli_yaml *y)
{
	yaml_event_t event;

	emit(y, &event, yaml_document_end_event_initialize(&event, 1));
	emit(y, &event, yaml_stream_end_event_initialize(&event));
	yaml_emitter_delete(&y->emitter);
	return !y->failed;
}

/* ---- flat files ---------------------------------------------------------------------- */

void
cli_yaml_begin(cli_yaml *y, FILE *file)
{
	cli_yaml_open_file(y, file);
	cli_yaml_begin_mapping(y);
}

bool
cli_yaml_end(cli_yaml *y)
{
	cli_yaml_end_mapping(y);
	return cli_yaml_close_file(y);
}

void
cli_yaml_string(cli_yaml *y, const char *key, const char *value)
{
	write_scalar(y, NULL, key, YAML_PLAIN_SCALAR_STYLE);
	write_scalar(y, NULL, value, YAML_SINGLE_QUOTED_SCALAR_STYLE);
}

void
cli_yaml_plain(cli_yaml *y, const char *key, const char *value)
{
	write_scalar(y, NULL, key, YAML_PLAIN_SCALAR_STYLE);
	write_scalar(y, NULL, value, YAML_PLAIN_SCALAR_STYLE);
}

void
cli_yaml_list(cli_yaml *y, const char *key, char *const *values, int n)
{
	int i;

	write_scalar(y, NULL, key, YAML_PLAIN_SCALAR_STYLE);
	cli_yaml_begin_list(y);
	for (i = 0; i < n; i++)
		write_scalar(y, NULL, values[i], YAML_SINGLE_QUOTED_SCALAR_STYLE);
	cli_yaml_end_list(y);
}

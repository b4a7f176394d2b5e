/*
 * document.c
 *		A document in YAML as JSON.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/document.h"
#include "cli/keys.h"
#include "cli/yamlevents.h"
#include "client/json.h"

#define MAX_DEPTH 100

typedef struct Reader
{
	cli_yaml_events e;
	cli_document_resolver *resolve;
	void *arg;
	tq_buffer *json;
	int depth;
} Reader;

static bool
refuse_here(Reader *r, const char *what)
{
	return cli_yaml_refuse(&r->e, r->e.event.start_mark, what);
}

static bool
put_bytes(Reader *r, const char *text, size_t len)
{
	return tq_buffer_append(r->json, text, len) || refuse_here(r, "the document is too large");
}

static bool
put_text(Reader *r, const char *text)
{
	char *quoted = tq_json_string(text, strlen(text));
	bool ok;

	if (quoted == NULL)
		return refuse_here(r, "out of memory");
	ok = put_bytes(r, quoted, strlen(quoted));
	free(quoted);
	return ok;
}

/* ---- scalars --------------------------------------------------------------------------- */

/* JSON has no sign +, no zeros before other digits, and digits on both sides of a point. */
static bool
put_number(Reader *r, const char *text)
{
	size_t digits;

	if (*text == '-' && !put_bytes(r, "-", 1))
		return false;
	text += *text == '+' || *text == '-';
	while (*text == '0' && text[1] >= '0' && text[1] <= '9')
		text++;
	digits = strspn(text, "0123456789");
	if (!put_bytes(r, digits > 0 ? text : "0", digits > 0 ? digits : 1))
		return false;
	text += digits;
	if (*text == '.' && (text[1] < '0' || text[1] > '9'))
		text++;
	return put_bytes(r, text, strlen(text));
}

/* 0o17 or 0xf */
static bool
put_radix(Reader *r, const char *text)
{
	char decimal[32];
	unsigned long long number;

	errno = 0;
	number = strtoull(text + 2, NULL, text[1] == 'x' ? 16 : 8);
	if (errno != 0)
		return refuse_here(r, "the number is too large");
	return put_bytes(r, decimal, (size_t) snprintf(decimal, sizeof(decimal), "%llu", number));
}

static bool
put_plain(Reader *r, const char *text)
{
	switch (cli_yaml_kind_of(text))
	{
		case YAML_KIND_NULL:
			return put_bytes(r, "null", 4);
		case YAML_KIND_BOOLEAN:
			text = *text == 't' || *text == 'T' ? "true" : "false";
			return put_bytes(r, text, strlen(text));
		case YAML_KIND_NUMBER:
			return put_number(r, text);
		case YAML_KIND_RADIX:
			return put_radix(r, text);
		case YAML_KIND_NONE:
			return refuse_here(r, "JSON has no such number");
		case YAML_KIND_TEXT:
			break;
	}
	return put_text(r, text);
}

static bool
put_resolved(Reader *r, const char *tag, const char *name)
{
	char *mistake = NULL;
	char *text = r->resolve(r->arg, tag, name, &mistake);
	bool ok = text != NULL ? put_text(r, text)
						   : refuse_here(r, mistake != NULL ? mistake : "out of memory");

	free(text);
	free(mistake);
	return ok;
}

static bool
take_scalar(Reader *r)
{
	const char *value = (const char *) r->e.event.data.scalar.value;
	const char *tag = (const char *) r->e.event.data.scalar.tag;

	if (!cli_yaml_check_scalar(&r->e))
		return false;
	/* The tag "!" says that it is a text. */
	if (tag != NULL && strcmp(tag, "!") == 0)
		return put_text(r, value);
	if (tag != NULL && strcmp(tag, "!env") != 0 && strcmp(tag, "!file") != 0)
		return refuse_here(r, "the tags are !env and !file");
	if (tag != NULL)
		return put_resolved(r, tag, value);
	if (r->e.event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return put_plain(r, value);
	return put_text(r, value);
}

/* ---- collections ------------------------------------------------------------------------- */

static bool take_value(Reader *r);

static bool
add_key(Reader *r, cli_keys *keys, const char *name)
{
	const char *mistake = cli_keys_add(keys, name);

	return mistake == NULL || refuse_here(r, mistake);
}

/* A key and the colon after it. */
static bool
take_name(Reader *r, cli_keys *keys)
{
	const char *name = (const char *) r->e.event.data.scalar.value;

	if (!cli_yaml_check_node(&r->e, false))
		return false;
	if (r->e.event.type != YAML_SCALAR_EVENT)
		return refuse_here(r, "a key is not a scalar");
	if (!cli_yaml_check_scalar(&r->e))
		return false;
	if (r->e.event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(name, "<<") == 0)
		return refuse_here(r, "merge keys are not supported");
	return (keys->n == 0 || put_bytes(r, ",", 1)) && add_key(r, keys, name) && put_text(r, name) &&
		   put_bytes(r, ":", 1);
}

static bool
take_members(Reader *r, cli_keys *keys)
{
	while (cli_yaml_next(&r->e) && r->e.event.type != YAML_MAPPING_END_EVENT)
		if (!take_name(r, keys) || !cli_yaml_next(&r->e) || !take_value(r))
			return false;
	return r->e.mistake == NULL;
}

static bool
take_mapping(Reader *r)
{
	cli_keys keys = {NULL, 0};
	bool ok = put_bytes(r, "{", 1) && take_members(r, &keys) && put_bytes(r, "}", 1);

	cli_keys_free(&keys);
	return ok;
}

static bool
take_list(Reader *r)
{
	bool first = true;

	if (!put_bytes(r, "[", 1))
		return false;
	while (cli_yaml_next(&r->e) && r->e.event.type != YAML_SEQUENCE_END_EVENT)
	{
		if ((!first && !put_bytes(r, ",", 1)) || !take_value(r))
			return false;
		first = false;
	}
	return r->e.mistake == NULL && put_bytes(r, "]", 1);
}

/* The value that begins with the present event. */
static bool
take_value(Reader *r)
{
	bool scalar = r->e.event.type == YAML_SCALAR_EVENT;
	bool ok;

	if (!cli_yaml_check_node(&r->e, scalar))
		return false;
	if (scalar)
		return take_scalar(r);
	if (r->depth == MAX_DEPTH)
		return refuse_here(r, "too many levels");
	r->depth++;
	ok = r->e.event.type == YAML_MAPPING_START_EVENT ? take_mapping(r) : take_list(r);
	r->depth--;
	return ok;
}

char *
cli_document_read(const char *text, size_t len, cli_document_resolver *resolve, void *arg,
				  tq_buffer *json)
{
	Reader r = {.resolve = resolve, .arg = arg, .json = json};

	if (!cli_yaml_open(&r.e, text, len))
		return strdup("out of memory");
	if (cli_yaml_begin_document(&r.e))
	{
		if (take_value(&r))
			(void) cli_yaml_end_document(&r.e);
	}
	else if (r.e.mistake == NULL)
		(void) put_bytes(&r, "null", 4);
	return cli_yaml_close(&r.e);
}

/*
 * yamlevents.c
 *		The events of one YAML document, and what is wrong with it at which place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/yamlevents.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define DECIMAL "0123456789"

bool
cli_yaml_open(cli_yaml_events *e, const char *text, size_t len)
{
	memset(e, 0, sizeof(*e));
	if (!yaml_parser_initialize(&e->parser))
		return false;
	yaml_parser_set_input_string(&e->parser, (const unsigned char *) text, len);
	return true;
}

char *
cli_yaml_close(cli_yaml_events *e)
{
	yaml_event_delete(&e->event);
	yaml_parser_delete(&e->parser);
	return e->mistake;
}

bool
cli_yaml_refuse(cli_yaml_events *e, yaml_mark_t at, const char *what)
{
	if (e->mistake == NULL && asprintf(&e->mistake, "line %zu, column %zu: %s", at.line + 1,
									   at.column + 1, what) < 0)
		e->mistake = NULL;
	return false;
}

bool
cli_yaml_next(cli_yaml_events *e)
{
	yaml_event_delete(&e->event);
	if (yaml_parser_parse(&e->parser, &e->event))
		return true;
	memset(&e->event, 0, sizeof(e->event));
	return cli_yaml_refuse(e, e->parser.problem_mark,
						   e->parser.problem != NULL ? e->parser.problem : "out of memory");
}

/* Whether the next event is of that kind. */
static bool
expect(cli_yaml_events *e, yaml_event_type_t type, const char *otherwise)
{
	return cli_yaml_next(e) &&
		   (e->event.type == type || cli_yaml_refuse(e, e->event.start_mark, otherwise));
}

bool
cli_yaml_begin_document(cli_yaml_events *e)
{
	return expect(e, YAML_STREAM_START_EVENT, "no stream") && cli_yaml_next(e) &&
		   e->event.type != YAML_STREAM_END_EVENT && cli_yaml_next(e);
}

bool
cli_yaml_end_document(cli_yaml_events *e)
{
	return expect(e, YAML_DOCUMENT_END_EVENT, "more than one value") &&
		   expect(e, YAML_STREAM_END_EVENT, "more than one document");
}

bool
cli_yaml_check_node(cli_yaml_events *e, bool tags)
{
	const yaml_event_t *v = &e->event;
	const yaml_char_t *anchor = NULL;
	const yaml_char_t *tag = NULL;

	if (v->type == YAML_SCALAR_EVENT)
		anchor = v->data.scalar.anchor, tag = v->data.scalar.tag;
	else if (v->type == YAML_SEQUENCE_START_EVENT)
		anchor = v->data.sequence_start.anchor, tag = v->data.sequence_start.tag;
	else if (v->type == YAML_MAPPING_START_EVENT)
		anchor = v->data.mapping_start.anchor, tag = v->data.mapping_start.tag;
	if (v->type == YAML_ALIAS_EVENT || anchor != NULL || (tag != NULL && !tags))
		return cli_yaml_refuse(e, v->start_mark, "anchors and tags are not supported");
	return true;
}

bool
cli_yaml_check_scalar(cli_yaml_events *e)
{
	const yaml_event_t *v = &e->event;

	return strlen((const char *) v->data.scalar.value) == v->data.scalar.length ||
		   cli_yaml_refuse(e, v->start_mark, "a character U+0000");
}

/* ---- the core schema --------------------------------------------------------------------- */

static bool
is_one_of(const char *text, const char *const *words, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(words[i], text) == 0)
			return true;
	return false;
}

/* Digits, a fraction and an exponent, of which there is at least one digit before the exponent. */
static bool
is_decimal(const char *text)
{
	size_t whole = strspn(text, DECIMAL);
	size_t fraction = 0;

	text += whole;
	if (*text == '.')
	{
		fraction = strspn(text + 1, DECIMAL);
		text += 1 + fraction;
	}
	if (whole + fraction == 0)
		return false;
	if (*text == 'e' || *text == 'E')
	{
		text += 1 + (text[1] == '+' || text[1] == '-');
		if (*text == '\0')
			return false;
		text += strspn(text, DECIMAL);
	}
	return *text == '\0';
}

static bool
is_radix(const char *text, const char *prefix, const char *digits)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 && text[len] != '\0' &&
		   text[len + strspn(text + len, digits)] == '\0';
}

cli_yaml_kind
cli_yaml_kind_of(const char *text)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
	static const char *const truths[] = {"true", "True", "TRUE", "false", "False", "FALSE"};
	static const char *const infinite[] = {".inf", ".Inf", ".INF"};
	static const char *const none[] = {".nan", ".NaN", ".NAN"};
	const char *number = text + (*text == '+' || *text == '-');

	if (is_one_of(text, nulls, COUNT(nulls)))
		return YAML_KIND_NULL;
	if (is_one_of(text, truths, COUNT(truths)))
		return YAML_KIND_BOOLEAN;
	if (is_one_of(number, infinite, COUNT(infinite)) || is_one_of(text, none, COUNT(none)))
		return YAML_KIND_NONE;
	if (is_radix(text, "0o", "01234567") || is_radix(text, "0x", DECIMAL "abcdefABCDEF"))
		return YAML_KIND_RADIX;
	return is_decimal(number) ? YAML_KIND_NUMBER : YAML_KIND_TEXT;
}

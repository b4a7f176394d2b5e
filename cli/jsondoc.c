/*
 * jsondoc.c
 *		A configuration in JSON: its placeholders are replaced, and it is written as YAML.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/jsondoc.h"
#include "cli/keys.h"
#include "cli/scan.h"
#include "cli/yaml.h"
#include "client/json.h"

#define MAX_DEPTH 200

/* Where a value stands. */
typedef enum Place
{
	PLACE_ANY,
	PLACE_HEADERS, /* an object of headers */
	PLACE_SECRET,  /* a header or a secret, which may be a placeholder */
	PLACE_PAYLOAD
} Place;

typedef struct Walk
{
	const char *text;
	int depth;
	char *mistake; /* the first one */

	/* To replace placeholders. */
	tq_buffer *json;
	cli_document_resolver *resolve;
	void *arg;

	/* To write YAML. */
	cli_yaml yaml;
} Walk;

/* An object or a list on the way. */
typedef struct Level
{
	Walk *w;
	Place place;
	cli_keys keys; /* of the members so far */
	bool more;     /* there was a member or an element */
} Level;

/* ---- both ways --------------------------------------------------------------------------- */

static void
refuse_at(Walk *w, const char *at, const char *what)
{
	const char *c;
	const char *line = w->text;
	int number = 1;

	if (w->mistake != NULL)
		return;
	for (c = w->text; c < at; c++)
	{
		if (*c == '\n')
		{
			number++;
			line = c + 1;
		}
	}
	if (asprintf(&w->mistake, "line %d, column %d: %s", number, (int) (at - line) + 1, what) < 0)
		w->mistake = NULL;
}

static Place
place_within(Place outer, const char *name)
{
	if (outer == PLACE_HEADERS)
		return PLACE_SECRET;
	if (outer == PLACE_PAYLOAD || strcmp(name, "payload") == 0)
		return PLACE_PAYLOAD;
	if (strcmp(name, "headers") == 0)
		return PLACE_HEADERS;
	return strcmp(name, "secret") == 0 ? PLACE_SECRET : PLACE_ANY;
}

/* The name of a member with its quotes. */
static cli_slice
quoted(cli_slice name)
{
	return (cli_slice){name.text - 1, name.len + 2};
}

/* What a placeholder has. */
typedef struct Placeholder
{
	int members;
	char *tag;
	char *name;
} Placeholder;

static void
take_placeholder(void *arg, cli_slice name, cli_slice value)
{
	Placeholder *p = arg;
	size_t len;

	if (p->members++ > 0)
		return;
	p->tag = cli_slice_copy(name);
	p->name = *value.text == '"' ? cli_scan_string(value, &len) : NULL;
}

/* Whether a value is a placeholder; its tag and name are the caller's to free in any case. */
static bool
is_placeholder(Place place, cli_slice value, Placeholder *p)
{
	*p = (Placeholder){0, NULL, NULL};
	if (place != PLACE_SECRET || *value.text != '{')
		return false;
	(void) cli_scan(value.text, value.len, take_placeholder, p);
	return p->members == 1 && p->tag != NULL && p->name != NULL &&
		   (strcmp(p->tag, "!env") == 0 || strcmp(p->tag, "!file") == 0);
}

static void
free_placeholder(Placeholder *p)
{
	free(p->tag);
	free(p->name);
}

/* Whether an object or a list may be gone into. */
static bool
enter(Walk *w, cli_slice value)
{
	if (w->depth == MAX_DEPTH)
		refuse_at(w, value.text, "too many levels");
	else
		w->depth++;
	return w->mistake == NULL;
}

/* ---- replacing placeholders --------------------------------------------------------------- */

static void
copy_bytes(Walk *w, const char *at, const char *text, size_t len)
{
	if (w->mistake == NULL && !tq_buffer_append(w->json, text, len))
		refuse_at(w, at, "the document is too large");
}

static void
put_resolved(Walk *w, cli_slice value, const Placeholder *p)
{
	char *mistake = NULL;
	char *text = w->resolve(w->arg, p->tag, p->name, &mistake);
	char *json = text != NULL ? tq_json_string(text, strlen(text)) : NULL;

	if (json != NULL)
		copy_bytes(w, value.text, json, strlen(json));
	else
		refuse_at(w, value.text, mistake != NULL ? mistake : "out of memory");
	free(json);
	free(text);
	free(mistake);
}

/* The comma before a member or an element that is not the first one. */
static void
begin_next(Level *level, const char *at)
{
	if (level->more)
		copy_bytes(level->w, at, ",", 1);
	level->more = true;
}

static void copy_value(Walk *w, Place place, cli_slice value);

static void
copy_member(void *arg, cli_slice name, cli_slice value)
{
	Level *level = arg;
	Walk *w = level->w;
	size_t len;
	char *key = cli_scan_string(quoted(name), &len);
	const char *mistake = key != NULL ? cli_keys_add(&level->keys, key) : "out of memory";

	if (mistake != NULL)
		refuse_at(w, name.text, mistake);
	if (w->mistake == NULL)
	{
		begin_next(level, name.text);
		copy_bytes(w, name.text, quoted(name).text, name.len + 2);
		copy_bytes(w, name.text, ":", 1);
		copy_value(w, place_within(level->place, key), value);
	}
	free(key);
}

static void
copy_element(void *arg, cli_slice name, cli_slice value)
{
	Level *level = arg;

	(void) name;
	begin_next(level, value.text);
	copy_value(level->w, level->place, value);
}

static void
copy_value(Walk *w, Place place, cli_slice value)
{
	Level level = {.w = w, .place = place};
	Placeholder p;

	if (is_placeholder(place, value, &p))
		put_resolved(w, value, &p);
	else if (*value.text != '{' && *value.text != '[')
		copy_bytes(w, value.text, value.text, value.len);
	else if (enter(w, value))
	{
		bool object = *value.text == '{';

		copy_bytes(w, value.text, value.text, 1);
		if (object)
			(void) cli_scan(value.text, value.len, copy_member, &level);
		else
			(void) cli_scan_list(value.text, value.len, copy_element, &level);
		copy_bytes(w, value.text, object ? "}" : "]", 1);
		cli_keys_free(&level.keys);
		w->depth--;
	}
	free_placeholder(&p);
}

/* The value without blanks around it. */
static cli_slice
trimmed(const char *text, size_t len)
{
	size_t blanks = 0;

	while (blanks < len && strchr(" \t\r\n", text[blanks]) != NULL)
		blanks++;
	text += blanks;
	len -= blanks;
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	return (cli_slice){text, len};
}

char *
cli_jsondoc_resolve(const char *text, size_t len, cli_document_resolver *resolve, void *arg,
					tq_buffer *json)
{
	Walk w = {.text = text, .json = json, .resolve = resolve, .arg = arg};

	copy_value(&w, PLACE_ANY, trimmed(text, len));
	return w.mistake;
}

/* ---- writing YAML -------------------------------------------------------------------------- */

static void write_value(Walk *w, Place place, cli_slice value);

static void
write_member(void *arg, cli_slice name, cli_slice value)
{
	Level *level = arg;
	size_t len;
	char *key = cli_scan_string(quoted(name), &len);

	if (key == NULL)
	{
		refuse_at(level->w, value.text, "out of memory");
		return;
	}
	cli_yaml_text(&level->w->yaml, key);
	write_value(level->w, place_within(level->place, key), value);
	free(key);
}

static void
write_element(void *arg, cli_slice name, cli_slice value)
{
	Level *level = arg;

	(void) name;
	write_value(level->w, level->place, value);
}

static void
write_leaf(Walk *w, cli_slice value)
{
	size_t len;
	char *text = *value.text == '"' ? cli_scan_string(value, &len) : cli_slice_copy(value);

	if (text == NULL)
		refuse_at(w, value.text, "out of memory");
	else if (*value.text == '"')
		cli_yaml_text(&w->yaml, text);
	else
		cli_yaml_bare(&w->yaml, NULL, text);
	free(text);
}

static void
write_value(Walk *w, Place place, cli_slice value)
{
	Level level = {.w = w, .place = place};
	Placeholder p;

	if (is_placeholder(place, value, &p))
		cli_yaml_bare(&w->yaml, p.tag, p.name);
	else if (*value.text != '{' && *value.text != '[')
		write_leaf(w, value);
	else if (enter(w, value))
	{
		if (*value.text == '{')
		{
			cli_yaml_begin_mapping(&w->yaml);
			(void) cli_scan(value.text, value.len, write_member, &level);
			cli_yaml_end_mapping(&w->yaml);
		}
		else
		{
			cli_yaml_begin_list(&w->yaml);
			(void) cli_scan_list(value.text, value.len, write_element, &level);
			cli_yaml_end_list(&w->yaml);
		}
		w->depth--;
	}
	free_placeholder(&p);
}

bool
cli_jsondoc_write(const char *text, size_t len, FILE *file)
{
	Walk w = {.text = text};
	bool ok;

	cli_yaml_open_file(&w.yaml, file);
	write_value(&w, PLACE_ANY, trimmed(text, len));
	ok = cli_yaml_close_file(&w.yaml) && w.mistake == NULL;
	free(w.mistake);
	return ok;
}

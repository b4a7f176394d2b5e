/*
 * configfiles.c
 *		The files of a configuration as one JSON document.
 *
 * Each file is a mapping of sections, which are mappings of objects.  The sections of several files
 * are put together; what they mean is the server's to judge.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/command.h"
#include "cli/configfiles.h"
#include "cli/input.h"
#include "cli/jsondoc.h"
#include "cli/keys.h"
#include "cli/report.h"
#include "cli/scan.h"
#include "core/buffer.h"

#define MAX_DOCUMENT (1 << 28)
#define MAX_SECTIONS 16 /* of all files; the server knows fewer */

/* The members of a section, in all files. */
typedef struct Section
{
	char *name;
	tq_buffer members; /* separated by commas */
	cli_keys keys;
} Section;

typedef struct Document
{
	const char *path; /* of the file that is being read */
	Section sections[MAX_SECTIONS];
	int nsections;
	Section *section; /* that is being read */
} Document;

static void
refuse_file(const Document *d, const char *what)
{
	cli_fail(EXIT_USAGE, NULL, "%s: %s", d->path, what);
}

static void *
or_fail(void *memory)
{
	if (memory == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	return memory;
}

/* ---- !env and !file ---------------------------------------------------------------------- */

/* The path of a file that a file names: relative to the directory of the latter. */
static char *
path_beside(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');
	char *joined = NULL;

	if (*path == '/' || slash == NULL)
		return cli_copy(path);
	if (asprintf(&joined, "%.*s/%s", (int) (slash - file), file, path) < 0)
		joined = NULL;
	return or_fail(joined);
}

/* The content of a file without one line feed at its end; NULL: *mistake says why. */
static char *
content_of(const char *path, char **mistake)
{
	struct stat status;
	size_t len;
	char *content;

	if (stat(path, &status) != 0)
	{
		if (asprintf(mistake, "%s: %s", path, strerror(errno)) < 0)
			*mistake = NULL;
		return NULL;
	}
	content = cli_read_file(path, &len);
	if (strlen(content) != len)
	{
		if (asprintf(mistake, "%s has a byte 0", path) < 0)
			*mistake = NULL;
		free(content);
		return NULL;
	}
	if (len > 0 && content[len - 1] == '\n')
		content[len - 1] = '\0';
	return content;
}

/* For cli_document_read(). */
static char *
resolve(void *arg, const char *tag, const char *name, char **mistake)
{
	const Document *d = arg;
	const char *value;
	char *path;
	char *content;

	if (strcmp(tag, "!env") == 0)
	{
		value = getenv(name);
		if (value == NULL && asprintf(mistake, "the environment has no variable %s", name) < 0)
			*mistake = NULL;
		return value != NULL ? cli_copy(value) : NULL;
	}
	path = path_beside(d->path, name);
	content = content_of(path, mistake);
	free(path);
	return content;
}

/* ---- putting sections together ------------------------------------------------------------- */

static Section *
section_named(Document *d, char *name)
{
	int i;

	for (i = 0; i < d->nsections; i++)
	{
		if (strcmp(d->sections[i].name, name) == 0)
		{
			free(name);
			return &d->sections[i];
		}
	}
	if (d->nsections == MAX_SECTIONS)
		refuse_file(d, "too many sections");
	d->sections[i].name = name;
	tq_buffer_init(&d->sections[i].members, MAX_DOCUMENT);
	d->nsections++;
	return &d->sections[i];
}

static void
add_member(void *arg, cli_slice name, cli_slice value)
{
	Document *d = arg;
	Section *s = d->section;
	char *key = or_fail(cli_slice_copy(name));

	/* Each file was read, and had it once. */
	if (cli_keys_add(&s->keys, key) != NULL)
		cli_fail(EXIT_USAGE, NULL, "%s: %s.%s is in another file, too", d->path, s->name, key);
	free(key);
	if (s->members.len > 0)
		tq_buffer_append(&s->members, ",", 1);
	tq_buffer_append(&s->members, name.text - 1, name.len + 2);
	tq_buffer_append(&s->members, ":", 1);
	tq_buffer_append(&s->members, value.text, value.len);
}

static void
add_section(void *arg, cli_slice name, cli_slice value)
{
	Document *d = arg;

	/* As if it were not there. */
	if (cli_slice_is(value, "null"))
		return;
	d->section = section_named(d, or_fail(cli_slice_copy(name)));
	if (*value.text != '{')
		cli_fail(EXIT_USAGE, NULL, "%s: %s is not a mapping", d->path, d->section->name);
	(void) cli_scan(value.text, value.len, add_member, d);
}

static void
add_file(Document *d, const char *path)
{
	size_t len;
	char *text = cli_read_file(path, &len);
	tq_buffer json;
	char *mistake;

	d->path = strcmp(path, "-") == 0 ? "standard input" : path;
	tq_buffer_init(&json, MAX_DOCUMENT);
	/* The reader of YAML does not know all escapes of JSON. */
	mistake = cli_scan(text, len, NULL, NULL) ? cli_jsondoc_resolve(text, len, resolve, d, &json)
											  : cli_document_read(text, len, resolve, d, &json);
	if (mistake != NULL)
		refuse_file(d, mistake);
	if (json.data[0] != '{' && strcmp(json.data, "null") != 0)
		refuse_file(d, "it is not a mapping");
	(void) cli_scan(json.data, json.len, add_section, d);
	tq_buffer_free(&json);
	free(text);
}

/* ---- files and directories ------------------------------------------------------------------ */

static int
is_config_file(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot != NULL &&
		   (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0 || strcmp(dot, ".json") == 0);
}

/* The files of a directory that are YAML or JSON by their names, in the order of these. */
static void
add_directory(Document *d, const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, is_config_file, alphasort);
	int i;

	if (n < 0)
		cli_fail(EXIT_REFUSED, NULL, "%s: %s", path, strerror(errno));
	if (n == 0)
		cli_fail(EXIT_USAGE, NULL, "%s has no files *.yaml, *.yml or *.json", path);
	for (i = 0; i < n; i++)
	{
		char *file = NULL;

		if (asprintf(&file, "%s/%s", path, entries[i]->d_name) < 0)
			file = NULL;
		add_file(d, or_fail(file));
		free(file);
		free(entries[i]);
	}
	free(entries);
}

static void
add_path(Document *d, const char *path)
{
	struct stat status;

	if (strcmp(path, "-") != 0 && stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		add_directory(d, path);
	else
		add_file(d, path);
}

const char *
cli_config_document(const char *const *paths, int n)
{
	Document d = {.nsections = 0};
	tq_buffer json;
	int i;

	for (i = 0; i < n; i++)
		add_path(&d, paths[i]);
	tq_buffer_init(&json, MAX_DOCUMENT);
	tq_buffer_append(&json, "{", 1);
	for (i = 0; i < d.nsections; i++)
	{
		const Section *s = &d.sections[i];

		if (i > 0)
			tq_buffer_append(&json, ",", 1);
		tq_buffer_append(&json, "\"", 1);
		tq_buffer_append(&json, s->name, strlen(s->name));
		tq_buffer_append(&json, "\":{", 3);
		tq_buffer_append(&json, s->members.data, s->members.len);
		tq_buffer_append(&json, "}", 1);
		if (s->members.overflowed)
			json.overflowed = true;
	}
	tq_buffer_append(&json, "}", 1);
	if (json.overflowed)
		cli_fail(EXIT_REFUSED, NULL, "the configuration is too large");
	return json.data;
}

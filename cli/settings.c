/*
 * settings.c
 *		The global options: how to connect, and how to print.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "cli/report.h"
#include "cli/settings.h"
#include "client/conffile.h"

#define SYSTEM_FILE "/etc/taskq/config"

cli_settings settings;

const cli_option global_options[] = {
	{'d', "database", "CONNINFO", "libpq connection string, URI or name of a "
								  "database",
	 NULL, NULL, NULL},
	{'h', "host", "HOST", "host name, address or directory of the socket", NULL, NULL, NULL},
	{'p', "port", "PORT", "port of the server", NULL, NULL, NULL},
	{'U', "username", "ROLE", "role to connect as", NULL, NULL, NULL},
	{'w', "no-password", NULL, "never ask for a password", NULL, NULL, NULL},
	{'W', "password", NULL, "ask for a password before connecting", NULL, NULL, NULL},
	{0, "role", "ROLE", "SET ROLE after connecting", NULL, NULL, NULL},
	{'o', "output", "FORMAT",
	 "table (default on a terminal), tsv (default\notherwise), json, ndjson or "
	 "ids",
	 NULL, NULL, NULL},
	{0, "json", "[=FIELD,...]", "print JSON; only these fields, in this order", NULL, NULL, NULL},
	{0, "ndjson", "[=FIELD,...]", "the same, one object a line", NULL, NULL, NULL},
	{'q', "quiet", NULL, "print ids alone, and no notes; work:\n"
						 "log no finished tasks",
	 NULL, NULL, NULL},
	{0, "color", "WHEN", "auto, always or never", NULL, NULL, NULL},
	{0, "utc", NULL, "print times in UTC (default: the local time zone)", NULL, NULL, NULL},
	{'n', "dry-run", NULL, "do it, show the result, and roll it back", NULL, NULL, NULL},
	{'y', "yes", NULL, "do not ask for confirmation", NULL, NULL, NULL},
	{'v', "verbose", NULL, "print statements without their values, and times", NULL, NULL, NULL},
	{0, "timeout", "DURATION", "longest for a statement (default: 30 s); wait: for "
							   "all",
	 NULL, NULL, NULL},
	{'?', "help", NULL, "show this, or the help of a command, and exit", NULL, NULL, NULL},
	{'V', "version", NULL, "show the version, and exit", NULL, NULL, NULL},
};
const int nglobal_options = COUNT(global_options);

bool
cli_settings_json(void)
{
	return settings.format == FORMAT_JSON || settings.format == FORMAT_NDJSON;
}

static void
take_format(const char *value)
{
	static const char *const names[] = {"table", "tsv", "json", "ndjson", "ids"};
	int i;

	for (i = 0; i < COUNT(names); i++)
	{
		if (strcmp(value, names[i]) == 0)
		{
			settings.format = (cli_format) i;
			return;
		}
	}
	cli_usage("--output is table, tsv, json, ndjson or ids, not \"%s\"", value);
}

static void
take_json(cli_format format, const char *fields)
{
	settings.format = format;
	settings.fields = strcmp(fields, "true") == 0 ? NULL : fields;
}

static bool
color_wanted(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL && term != NULL &&
		   strcmp(term, "dumb") != 0;
}

static void
take_color(const char *value)
{
	if (strcmp(value, "auto") != 0 && strcmp(value, "always") != 0 && strcmp(value, "never") != 0)
		cli_usage("--color is auto, always or never, not \"%s\"", value);
	settings.color = strcmp(value, "always") == 0 || (strcmp(value, "auto") == 0 && color_wanted());
}

/* The setting of a flag of that name; NULL: it is none. */
static bool *
flag_of(const char *name)
{
	static const struct
	{
		const char *name;
		bool *flag;
	} flags[] = {
		{"no-password", &settings.never_ask_password},
		{"password", &settings.ask_password},
		{"quiet", &settings.quiet},
		{"utc", &settings.utc},
		{"dry-run", &settings.dry_run},
		{"yes", &settings.yes},
		{"verbose", &settings.verbose},
	};
	int i;

	for (i = 0; i < COUNT(flags); i++)
		if (strcmp(flags[i].name, name) == 0)
			return flags[i].flag;
	return NULL;
}

static const char **
setting_of(const char *name)
{
	static const struct
	{
		const char *name;
		const char **text;
	} texts[] = {
		{"database", &settings.database},
		{"host", &settings.host},
		{"port", &settings.port},
		{"username", &settings.username},
		{"role", &settings.role},
		{"timeout", &settings.timeout},
	};
	int i;

	for (i = 0; i < COUNT(texts); i++)
		if (strcmp(texts[i].name, name) == 0)
			return texts[i].text;
	return NULL;
}

void
cli_settings_take(const cli_option *option, const char *value)
{
	const char *name = option->name;

	if (flag_of(name) != NULL)
		*flag_of(name) = strcmp(value, "false") != 0 && strcmp(value, "off") != 0;
	else if (setting_of(name) != NULL)
		*setting_of(name) = value;
	else if (strcmp(name, "output") == 0)
		take_format(value);
	else if (strcmp(name, "json") == 0)
		take_json(FORMAT_JSON, value);
	else if (strcmp(name, "ndjson") == 0)
		take_json(FORMAT_NDJSON, value);
	else if (strcmp(name, "color") == 0)
		take_color(value);
	if (strcmp(name, "quiet") == 0 && settings.quiet)
		settings.format = FORMAT_IDS;
}

/* ---- files and the environment ----------------------------------------------- */

/* Not --help, nor what makes a command do something that it would ask about. */
static bool
may_stand_in_file(const char *name)
{
	static const char *const not [] = {"help", "version", "yes", "dry-run", "password"};
	int i;

	for (i = 0; i < COUNT(not ); i++)
		if (strcmp(name, not [i]) == 0)
			return false;
	return true;
}

static const cli_option *
find_global(const char *name)
{
	int i;

	for (i = 0; i < nglobal_options; i++)
		if (strcmp(global_options[i].name, name) == 0)
			return &global_options[i];
	return NULL;
}

static bool
has_password(const char *conninfo)
{
	PQconninfoOption *parts = PQconninfoParse(conninfo, NULL);
	bool found = false;
	int i;

	for (i = 0; parts != NULL && parts[i].keyword != NULL; i++)
		if (strcmp(parts[i].keyword, "password") == 0 && parts[i].val != NULL)
			found = true;
	PQconninfoFree(parts);
	return found;
}

/* A file of settings that is being read. */
typedef struct settings_file
{
	const char *path;
	FILE *file;
} settings_file;

/* A password must not be where others can read it. */
static void
refuse_open_password(const settings_file *f, const char *conninfo)
{
	struct stat about;

	if (has_password(conninfo) && fstat(fileno(f->file), &about) == 0 &&
		(about.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		cli_usage("%s has a password and can be read by others; use ~/.pgpass, or mode 0600",
				  f->path);
}

static void
take_file_line(void *arg, int number, const char *name, const char *value)
{
	const settings_file *f = arg;
	const cli_option *option = find_global(name);

	if (value == NULL)
		cli_usage("%s, line %d: not NAME = VALUE", f->path, number);
	if (option == NULL || !may_stand_in_file(name))
		cli_usage("%s, line %d: \"%s\" cannot stand in this file", f->path, number, name);
	if (strcmp(name, "database") == 0)
		refuse_open_password(f, value);
	cli_settings_take(option, cli_copy(value));
}

static void
read_settings_file(const char *path)
{
	settings_file f = {path, fopen(path, "r")};

	if (f.file == NULL && errno == ENOENT)
		return;
	if (f.file == NULL)
		cli_usage("%s: %s", path, strerror(errno));
	tq_conffile_read(f.file, take_file_line, &f);
	fclose(f.file);
}

static void
read_user_file(void)
{
	const char *config = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	char path[4096];

	if (config != NULL && *config != '\0')
		snprintf(path, sizeof(path), "%s/taskq/config", config);
	else if (home != NULL)
		snprintf(path, sizeof(path), "%s/.config/taskq/config", home);
	else
		return;
	read_settings_file(path);
}

static void
read_environment(void)
{
	int i;

	for (i = 0; i < nglobal_options; i++)
	{
		char name[64] = "TASKQ_";
		const char *from = global_options[i].name;
		size_t len = strlen(name);
		const char *value;

		for (; *from != '\0' && len < sizeof(name) - 1; from++)
			name[len++] = *from == '-' ? '_' : (char) toupper((unsigned char) *from);
		name[len] = '\0';
		value = getenv(name);
		if (value != NULL && *value != '\0' && may_stand_in_file(global_options[i].name))
			cli_settings_take(&global_options[i], value);
	}
}

void
cli_settings_init(void)
{
	settings.format = isatty(STDOUT_FILENO) ? FORMAT_TABLE : FORMAT_TSV;
	settings.color = color_wanted();
	read_settings_file(SYSTEM_FILE);
	read_user_file();
	read_environment();
}

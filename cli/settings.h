/*
 * settings.h
 *		The global options: how to connect, and how to print.
 *
 * They come from, the later ones win: /etc/taskq/config, the user's file, the environment
 * (TASKQ_ and the name in capitals), and the command line.
 */
#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

#include "cli/command.h"

typedef enum cli_format
{
	FORMAT_TABLE,
	FORMAT_TSV,
	FORMAT_JSON,
	FORMAT_NDJSON,
	FORMAT_IDS
} cli_format;

typedef struct cli_settings
{
	const char *database; /* NULL: libpq's own; likewise the next */
	const char *host;
	const char *port;
	const char *username;
	const char *role;
	const char *timeout; /* of the whole command, as PostgreSQL writes intervals */
	const char *fields;  /* of JSON, separated by commas; NULL: all */
	cli_format format;
	bool ask_password;
	bool never_ask_password;
	bool quiet;
	bool color;
	bool utc;
	bool dry_run;
	bool yes;
	bool verbose;
	bool plugin; /* errors are told as plug-ins for monitoring do; not an option */
} cli_settings;

extern cli_settings settings;

extern const cli_option global_options[];
extern const int nglobal_options;

/* Sets the defaults, and reads the files and the environment. */
extern void cli_settings_init(void);

/* Takes a global option. */
extern void cli_settings_take(const cli_option *option, const char *value);

/* Whether an error is to be told as JSON. */
extern bool cli_settings_json(void);

#endif

/*
 * pqoptions.c
 *		The options of taskq perfectqueue: those of PerfectQueue, from the command line and from
 *		files in YAML.
 *
 * It reads its arguments itself: there are no global options, and mistakes are told as PerfectQueue
 * tells them.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/help.h"
#include "cli/input.h"
#include "cli/pqoptions.h"
#include "cli/report.h"
#include "cli/yaml.h"

#define TIMEOUT_DEFAULT       600
#define KILL_INTERVAL_DEFAULT 60
#define EXPIRE_DEFAULT        345600
#define DELETE_WAIT_DEFAULT   3600
#define MAX_WORKERS           10000
#define MAX_SECONDS           (INT_MAX / 1000)
#define MAX_OPTIONS           32
#define FIRST_LONG            1000 /* what getopt_long() returns for an option */

/* Their names in files, where these differ from those of the command line. */
static const struct
{
	const char *in_file;
	const char *option;
} file_names[] = {
	{"heartbeat_interval", "heartbeat-interval"},
	{"kill_timeout", "kill-timeout"},
	{"kill_interval", "kill-interval"},
	{"poll_interval", "poll-interval"},
	{"retry_wait", "retry-wait"},
	{"delete_wait", "delete-wait"},
	{"workers", "worker"},
	{"run_class", "run-class"},
	{"backend_database", "database"},
	{"backend_table", "table"},
	{"backend_simpledb", "simpledb"},
	{"backend_key_id", "key-id"},
	{"backend_secret_key", "secret-key"}};

/* What was given, files first. */
typedef struct Given
{
	cli_call call;
	const char *path; /* of the file that is being read */
	char **args;      /* of the files */
	int nargs;
} Given;

static const cli_call *called;

void
cli_pq_usage(const char *format, ...)
{
	va_list args;

	cli_help_as(called->program, called->command);
	fputs("error: ", stdout);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	exit(EXIT_REFUSED);
}

static const cli_option *
option_named(const char *name)
{
	int i;

	for (i = 0; i < called->command->noptions; i++)
		if (strcmp(called->command->options[i].name, name) == 0)
			return &called->command->options[i];
	return NULL;
}

/* ---- files -------------------------------------------------------------------------- */

static void
add_word(char ***words, int *n, const char *word)
{
	*words = realloc(*words, (size_t) (*n + 2) * sizeof(char *));
	if (*words == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	(*words)[(*n)++] = cli_copy(word);
	(*words)[*n] = NULL;
}

static void
take_flag(Given *given, const cli_option *option, const char *value)
{
	if (strcasecmp(value, "true") == 0 || strcasecmp(value, "yes") == 0 ||
		strcasecmp(value, "on") == 0)
		cli_give(&given->call, option, "true", "");
	else if (strcasecmp(value, "false") == 0 || strcasecmp(value, "no") == 0 ||
			 strcasecmp(value, "off") == 0)
		cli_give(&given->call, option, "false", "");
	else
		cli_pq_usage("%s: %s is true or false", given->path, option->name);
}

/* A key may be written as a symbol of Ruby, with a colon before it. */
static void
take_value_of_file(void *arg, const char *key, int element, const char *value)
{
	Given *given = arg;
	const char *name = key + (*key == ':');
	const cli_option *option;
	int i;

	if (strcmp(name, "args") == 0 && element <= 0)
		given->nargs = 0;
	if (value == NULL)
		return;
	if (strcmp(name, "args") == 0)
	{
		add_word(&given->args, &given->nargs, value);
		return;
	}
	for (i = 0; i < COUNT(file_names); i++)
		if (strcmp(file_names[i].in_file, name) == 0)
			name = file_names[i].option;
	option = option_named(name);
	if (option == NULL || strcmp(name, "help") == 0 || strcmp(name, "file") == 0 ||
		strcmp(name, "configure") == 0)
		cli_pq_usage("%s: there is no option %s", given->path, key);
	if (element >= 0 && strcmp(name, "env") != 0)
		cli_pq_usage("%s: %s is not a list", given->path, key);
	if (option->argument == NULL)
		take_flag(given, option, value);
	else
		cli_give(&given->call, option, cli_copy(value), "");
}

static void
read_yaml(Given *given, const char *path)
{
	size_t len;
	const char *text;
	char *mistake;

	if (access(path, R_OK) != 0)
		cli_pq_usage("%s: %s", path, strerror(errno));
	text = cli_read_file(path, &len);
	given->path = path;
	mistake = cli_yaml_read(text, len, take_value_of_file, given);
	if (mistake != NULL)
		cli_pq_usage("%s: %s", path, mistake);
}

static void
write_number(cli_yaml *y, const char *key, int number)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", number);
	cli_yaml_plain(y, key, text);
}

static void
write_text(cli_yaml *y, const char *key, const char *value)
{
	if (value != NULL)
		cli_yaml_string(y, key, value);
}

/* The command or the script, whichever was given last. */
static void
write_program(cli_yaml *y, const cli_call *call)
{
	int i;

	for (i = call->ngiven - 1; i >= 0; i--)
	{
		const char *name = call->given[i].option->name;

		if (strcmp(name, "exec") != 0 && strcmp(name, "run") != 0)
			continue;
		cli_yaml_string(y, name, call->given[i].value);
		return;
	}
}

static void
write_options(cli_yaml *y, const cli_pqoptions *o, const cli_call *call)
{
	write_number(y, "timeout", o->timeout);
	write_number(y, "heartbeat_interval", o->heartbeat_interval);
	write_number(y, "kill_timeout", o->kill_timeout);
	write_number(y, "kill_interval", o->kill_interval);
	write_number(y, "poll_interval", o->poll_interval);
	write_number(y, "retry_wait", o->retry_wait);
	write_number(y, "expire", o->expire);
	write_number(y, "delete_wait", o->delete_wait);
	write_number(y, "workers", o->workers);
	write_program(y, call);
	write_text(y, "run_class", o->run_class);
	write_text(y, "backend_database", o->database);
	write_text(y, "backend_table", o->table);
	write_text(y, "log", o->log);
	write_text(y, "daemon", o->daemon);
	cli_yaml_plain(y, "verbose", o->verbose ? "true" : "false");
	cli_yaml_list(y, "args", o->args, o->nargs);
	if (o->nenv > 0)
		cli_yaml_list(y, "env", o->env, o->nenv);
}

/* Others cannot read it, because the URI may have a password. */
static void
write_yaml(const cli_pqoptions *o, const cli_call *call)
{
	int fd = open(o->argument, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
	FILE *file = fd >= 0 && fchmod(fd, S_IRUSR | S_IWUSR) == 0 ? fdopen(fd, "w") : NULL;
	cli_yaml y;
	bool ok;

	if (file == NULL)
		cli_fail(EXIT_REFUSED, NULL, "cannot write %s: %s", o->argument, strerror(errno));
	cli_yaml_begin(&y, file);
	write_options(&y, o, call);
	ok = cli_yaml_end(&y);
	if (fclose(file) != 0 || !ok)
		cli_fail(EXIT_REFUSED, NULL, "cannot write %s", o->argument);
}

/* ---- the command line ------------------------------------------------------------------ */

static void
take_given(Given *given, const cli_option *option, const char *value)
{
	if (strcmp(option->name, "help") == 0)
	{
		cli_help_as(called->program, called->command);
		exit(EXIT_DONE);
	}
	cli_give(&given->call, option, value, "");
}

/* The option for what getopt_long() returned. */
static const cli_option *
option_for(int c)
{
	const cli_command *command = called->command;
	int i;

	for (i = 0; c < FIRST_LONG && i < command->noptions && command->options[i].letter != c; i++)
		;
	return &command->options[c < FIRST_LONG ? i : c - FIRST_LONG];
}

/* Reads the options; optind becomes the first argument that is none. */
static void
take_arguments(Given *given, int argc, char **argv)
{
	struct option known[MAX_OPTIONS + 1] = {{NULL, 0, NULL, 0}};
	char letters[3 * MAX_OPTIONS + 2] = ":";
	const cli_command *command = called->command;
	int c;
	int i;

	for (i = 0; i < command->noptions; i++)
	{
		const cli_option *o = &command->options[i];
		int valued = o->argument != NULL ? required_argument : no_argument;
		char letter[3] = {o->letter, valued == required_argument ? ':' : '\0', '\0'};

		known[i] = (struct option){o->name, valued, NULL, FIRST_LONG + i};
		strcat(letters, letter);
	}
	optind = 0; /* a vector that getopt_long() has not seen */
	while ((c = getopt_long(argc, argv, letters, known, NULL)) != -1)
	{
		if (c == ':')
			cli_pq_usage("missing argument: %s", argv[optind - 1]);
		if (c == '?')
			cli_pq_usage("invalid option: %s", argv[optind - 1]);
		take_given(given, option_for(c), optarg != NULL ? optarg : "true");
	}
}

/*
 * PerfectQueue's README writes "-- ARGUMENT... --configure PATH.yaml": that is an option although
 * it stands after "--".
 */
static void
take_configure_at_end(Given *given, char **argv, int *argc)
{
	int dashes;

	for (dashes = 1; dashes < *argc && strcmp(argv[dashes], "--") != 0; dashes++)
		;
	if (*argc - dashes < 3 || strcmp(argv[*argc - 2], "--configure") != 0)
		return;
	cli_give(&given->call, option_named("configure"), argv[*argc - 1], "");
	*argc -= 2;
}

/* Reads the files before the options of the command line, which win. */
static void
take_all(Given *given, int argc, char **argv)
{
	Given files = {.nargs = 0};
	int i;

	take_arguments(given, argc, argv);
	take_configure_at_end(given, argv, &argc);
	for (i = 0; i < given->call.ngiven; i++)
		if (strcmp(given->call.given[i].option->name, "file") == 0)
			read_yaml(&files, given->call.given[i].value);
	for (i = 0; i < given->call.ngiven; i++)
		cli_give(&files.call, given->call.given[i].option, given->call.given[i].value, "");
	free(given->call.given);
	*given = files;
	if (optind < argc)
	{
		given->args = argv + optind;
		given->nargs = argc - optind;
	}
}

/* ---- what they mean -------------------------------------------------------------------- */

static int
seconds_of_option(const cli_call *call, const char *name, int min, int fallback)
{
	const char *value = cli_value(call, name);
	int number = fallback;

	if (value != NULL && !cli_read_number(value, min, MAX_SECONDS, &number))
		cli_pq_usage("invalid argument: --%s %s", name, value);
	return number;
}

static void
read_intervals(cli_pqoptions *o, const cli_call *call)
{
	int most = MAX_SECONDS / 10;

	o->timeout = seconds_of_option(call, "timeout", 1, TIMEOUT_DEFAULT);
	if (o->timeout > most)
		cli_pq_usage("--timeout(=%d) must not be larger than %d", o->timeout, most);
	/* Of a timeout of one second it would be nothing. */
	o->heartbeat_interval = seconds_of_option(call, "heartbeat-interval", 1,
											  o->timeout > 1 ? o->timeout * 3 / 4 : 1);
	if (o->heartbeat_interval > o->timeout)
		cli_pq_usage("--heartbeat-interval(=%d) must not be larger than --timeout(=%d)",
					 o->heartbeat_interval, o->timeout);
	o->kill_timeout = seconds_of_option(call, "kill-timeout", 1, o->timeout * 10);
	o->kill_interval = seconds_of_option(call, "kill-interval", 1, KILL_INTERVAL_DEFAULT);
	o->poll_interval = seconds_of_option(call, "poll-interval", 1, 1);
	o->retry_wait = seconds_of_option(call, "retry-wait", 0, o->timeout);
	o->expire = seconds_of_option(call, "expire", 0, EXPIRE_DEFAULT);
	o->delete_wait = seconds_of_option(call, "delete-wait", 0, DELETE_WAIT_DEFAULT);
}

static void
read_backend(cli_pqoptions *o, const cli_call *call)
{
	if (cli_value(call, "simpledb") != NULL || cli_value(call, "key-id") != NULL ||
		cli_value(call, "secret-key") != NULL)
		cli_pq_usage("taskq keeps its tasks in PostgreSQL, not in SimpleDB");
	o->database = cli_value(call, "database");
	if (o->database != NULL && strstr(o->database, "://") != NULL &&
		(strncmp(o->database, "mysql", 5) == 0 || strncmp(o->database, "sqlite", 6) == 0))
		cli_pq_usage("taskq keeps its tasks in PostgreSQL");
	o->table = cli_value(call, "table") != NULL ? cli_value(call, "table") : "perfectqueue";
}

/* --configure before all; then the last one given. */
static void
read_action(cli_pqoptions *o, const cli_call *call)
{
	static const struct
	{
		const char *option;
		cli_pq_action action;
	} actions[] = {
		{"push", PQ_PUSH},
		{"list", PQ_LIST},
		{"cancel", PQ_CANCEL},
		{"exec", PQ_EXEC},
		{"run", PQ_RUN}};
	int i;
	int k;

	for (i = 0; i < call->ngiven; i++)
		for (k = 0; k < COUNT(actions); k++)
		{
			if (strcmp(call->given[i].option->name, actions[k].option) != 0)
				continue;
			o->action = actions[k].action;
			o->argument = call->given[i].value;
		}
	if (cli_value(call, "configure") != NULL)
	{
		o->action = PQ_CONFIGURE;
		o->argument = cli_value(call, "configure");
	}
	if (o->action == PQ_NONE)
		cli_pq_usage("--list, --push, --cancel, --configure, --exec or --run is required");
}

static void
read_rest(cli_pqoptions *o, const Given *given)
{
	const cli_call *call = &given->call;
	const char *verbose = cli_value(call, "verbose");
	int i;

	o->run_class = cli_value(call, "run-class") != NULL ? cli_value(call, "run-class") : "::Run";
	o->workers = seconds_of_option(call, "worker", 1, 1);
	if (o->workers > MAX_WORKERS)
		cli_pq_usage("--worker(=%d) must not be larger than %d", o->workers, MAX_WORKERS);
	o->log = cli_value(call, "log");
	o->daemon = cli_value(call, "daemon");
	o->verbose = verbose != NULL && strcmp(verbose, "true") == 0;
	o->args = given->args;
	o->nargs = given->nargs;
	for (i = 0; i < call->ngiven; i++)
	{
		if (strcmp(call->given[i].option->name, "env") != 0)
			continue;
		if (strchr(call->given[i].value, '=') == NULL)
			cli_pq_usage("invalid argument: --env %s", call->given[i].value);
		add_word(&o->env, &o->nenv, call->given[i].value);
	}
}

void
cli_pqoptions_read(cli_pqoptions *o, const cli_call *call)
{
	Given given = {.nargs = 0};

	*o = (cli_pqoptions){.action = PQ_NONE};
	called = call;
	take_all(&given, call->narguments, call->arguments);
	read_intervals(o, &given.call);
	read_backend(o, &given.call);
	read_rest(o, &given);
	read_action(o, &given.call);
	if (o->action != PQ_CONFIGURE)
		return;
	write_yaml(o, &given.call);
	exit(EXIT_DONE);
}

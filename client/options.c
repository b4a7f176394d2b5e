/*
 * options.c
 *		The options of a program: one table, read from arguments and files and shown by --help.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/conffile.h"
#include "client/options.h"

#define MAX_FILES   8  /* one that names another */
#define HELP_COLUMN 26 /* where the text of an option begins */

static const tq_program *the_program;

static void take_file(const tq_option *option, const char *path);

static const tq_option common_options[] = {
	{"config", "FILE",
	 "read options from a file, one a line: NAME = VALUE,\n"
	 "without the dashes; # begins a comment",
	 take_file, NULL, 0, 0},
};

void
tq_options_fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", the_program->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nTry \"%s --help\".\n", the_program->name);
	exit(2);
}

/* ---- kinds of values ----------------------------------------------------------- */

char *
tq_option_copy(const char *value)
{
	char *copy = strdup(value);

	if (copy == NULL)
		tq_options_fail("out of memory");
	return copy;
}

void
tq_option_text(const tq_option *option, const char *value)
{
	*(char **) option->to = tq_option_copy(value);
}

void
tq_option_number(const tq_option *option, const char *value)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || number < option->min || number > option->max)
		tq_options_fail("%s: \"%s\" is not a number from %d to %d", option->name, value,
						option->min, option->max);
	*(int *) option->to = (int) number;
}

void
tq_option_boolean(const tq_option *option, const char *value)
{
	if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
		tq_options_fail("%s: \"%s\" is neither on nor off", option->name, value);
	*(bool *) option->to = strcmp(value, "on") == 0;
}

/* ---- files ------------------------------------------------------------------------ */

static const tq_option *
find_in(const tq_option *options, int n, const char *name)
{
	int i;

	for (i = 0; i < n; i++)
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	return NULL;
}

/* NULL: there is no such option. */
static const tq_option *
find(const char *name)
{
	const tq_option *own = find_in(the_program->options, the_program->noptions, name);

	return own != NULL ? own : find_in(common_options, 1, name);
}

static void
take_line(void *path, int number, const char *name, const char *value)
{
	const tq_option *option = find(name);

	if (value == NULL)
		tq_options_fail("%s, line %d: not NAME = VALUE", (const char *) path, number);
	if (option == NULL)
		tq_options_fail("%s, line %d: there is no option \"%s\"", (const char *) path, number,
						name);
	option->take(option, value);
}

static void
take_file(const tq_option *option, const char *path)
{
	static int depth = 0;
	FILE *file = fopen(path, "r");

	(void) option;
	if (file == NULL)
		tq_options_fail("%s: %s", path, strerror(errno));
	if (++depth > MAX_FILES)
		tq_options_fail("%s: files name each other", path);
	tq_conffile_read(file, take_line, (void *) path);
	depth--;
	fclose(file);
}

/* ---- help -------------------------------------------------------------------------- */

static void
show_option(const char *name, const char *argument, const char *help)
{
	char head[64];

	snprintf(head, sizeof(head), "  --%s %s", name, argument != NULL ? argument : "");
	while (*help != '\0')
	{
		size_t len = strcspn(help, "\n");

		printf("%-*s%.*s\n", HELP_COLUMN, head, (int) len, help);
		head[0] = '\0';
		help += len + (help[len] == '\n');
	}
}

static void
show_help(void)
{
	int i;

	printf("%s\n", the_program->about);
	for (i = 0; i < the_program->noptions; i++)
		show_option(the_program->options[i].name, the_program->options[i].argument,
					the_program->options[i].help);
	show_option(common_options[0].name, common_options[0].argument, common_options[0].help);
	show_option("help", "", "show this, and exit");
	show_option("version", "", "show the version, and exit");
	printf("\n%s", the_program->notes);
}

/* ---- arguments ------------------------------------------------------------------------ */

/* The options as getopt_long() wants them; never freed. */
static struct option *
long_options(void)
{
	int n = the_program->noptions;
	struct option *known = calloc(n + 4, sizeof(*known));
	int i;

	if (known == NULL)
		tq_options_fail("out of memory");
	for (i = 0; i < n; i++)
		known[i] = (struct option){
			the_program->options[i].name,
			the_program->options[i].argument != NULL ? required_argument : no_argument, NULL, 0};
	known[n] = (struct option){common_options[0].name, required_argument, NULL, 0};
	known[n + 1] = (struct option){"help", no_argument, NULL, 'h'};
	known[n + 2] = (struct option){"version", no_argument, NULL, 'v'};
	return known;
}

void
tq_options_read(const tq_program *program, int argc, char **argv)
{
	const struct option *known;
	int index;
	int c;

	the_program = program;
	known = long_options();
	while ((c = getopt_long(argc, argv, "h", known, &index)) != -1)
	{
		if (c == 'h')
		{
			show_help();
			exit(0);
		}
		if (c == 'v')
		{
			printf("%s %s\n", program->name, program->version);
			exit(0);
		}
		/* What is wrong, getopt_long() has said. */
		if (c != 0)
			tq_options_fail("the arguments cannot be used");
		find(known[index].name)->take(find(known[index].name), optarg != NULL ? optarg : "on");
	}
	if (optind < argc)
		tq_options_fail("\"%s\" is not an option", argv[optind]);
}

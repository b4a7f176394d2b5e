/*
 * command.c
 *		Reads the command line by the tables of the commands.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/settings.h"

#define FIRST_LONG 1000 /* what getopt_long() returns for an option without a letter */

/* ---- what was given ---------------------------------------------------------- */

const char *
cli_value(const cli_call *call, const char *name)
{
	int i;

	for (i = call->ngiven - 1; i >= 0; i--)
		if (strcmp(call->given[i].option->name, name) == 0)
			return call->given[i].value;
	return NULL;
}

const char *
cli_place(const cli_call *call, const char *name)
{
	int i;

	for (i = call->ngiven - 1; i >= 0; i--)
		if (strcmp(call->given[i].option->name, name) == 0)
			return call->given[i].place;
	return "";
}

bool
cli_read_number(const char *value, int min, int max, int *number)
{
	char *end;
	long read;

	errno = 0;
	read = strtol(value, &end, 10);
	*number = (int) read;
	return errno == 0 && end != value && *end == '\0' && read >= min && read <= max;
}

int
cli_number(const cli_call *call, const char *name, int min, int max, int fallback)
{
	const char *value = cli_value(call, name);
	int number = fallback;

	if (value != NULL && !cli_read_number(value, min, max, &number))
		cli_usage("%s--%s: \"%s\" is not a number from %d to %d", cli_place(call, name), name,
				  value, min, max);
	return number;
}

const char *
cli_argument(const cli_call *call, int n)
{
	return n < call->narguments ? call->arguments[n] : NULL;
}

/* ---- commands by name -------------------------------------------------------- */

const cli_command *
cli_find_command(const char *first, const char *second, int *words)
{
	const cli_command *const *all;
	char both[128];
	int n;
	int i;

	all = cli_commands(&n);
	snprintf(both, sizeof(both), "%s %s", first, second != NULL ? second : "");
	for (*words = 2; *words > 0; (*words)--)
		for (i = 0; i < n; i++)
			if (strcmp(all[i]->name, *words == 2 ? both : first) == 0)
				return all[i];
	return NULL;
}

bool
cli_is_group(const char *word)
{
	const cli_command *const *all;
	size_t len = strlen(word);
	int n;
	int i;

	all = cli_commands(&n);
	for (i = 0; i < n; i++)
		if (strncmp(all[i]->name, word, len) == 0 && all[i]->name[len] == ' ')
			return true;
	return false;
}

const char *
cli_second_words(const char *first)
{
	static char words[512];
	const cli_command *const *all;
	size_t len = strlen(first);
	size_t used = 0;
	int n;
	int i;

	all = cli_commands(&n);
	for (i = 0; i < n && used < sizeof(words); i++)
		if (strncmp(all[i]->name, first, len) == 0 && all[i]->name[len] == ' ')
			used += (size_t) snprintf(words + used, sizeof(words) - used, "%s%s",
									  used > 0 ? ", " : "", all[i]->name + len + 1);
	return words;
}

/* The commands of a group, which is what is wanted, or what misses a second word. */
static void
show_group(const char *word, int status)
{
	if (status == EXIT_DONE)
	{
		cli_help_group(word);
		exit(status);
	}
	cli_report_command(word);
	cli_usage("taskq %s needs a second word: %s", word, cli_second_words(word));
}

static void
refuse_command(const char *first, const char *second)
{
	const cli_command *const *all;
	char given[128];
	cli_nearest nearest = {.wrong = given};
	int n;
	int i;

	all = cli_commands(&n);
	snprintf(given, sizeof(given), cli_is_group(first) && second != NULL ? "%s "
																		   "%s"
																		 : "%s",
			 first, second);
	for (i = 0; i < n; i++)
		(void) cli_nearest_try(&nearest, all[i]->name);
	if (nearest.best != NULL)
		cli_usage("there is no command \"%s\"; did you mean \"%s\"?", given, nearest.best);
	cli_usage("there is no command \"%s\"", given);
}

/* ---- options ----------------------------------------------------------------- */

/* The options of the command, then the global ones. */
static const cli_option *
option_at(const cli_command *command, int i)
{
	int own = command != NULL ? command->noptions : 0;

	return i < own ? &command->options[i] : &global_options[i - own];
}

static int
count_options(const cli_command *command)
{
	return nglobal_options + (command != NULL ? command->noptions : 0);
}

static int
argument_of(const cli_option *option)
{
	if (option->argument == NULL)
		return no_argument;
	return option->argument[0] == '[' ? optional_argument : required_argument;
}

/* What getopt_long() wants, never freed.  letters begins with what it shall begin with. */
static struct option *
options_for(const cli_command *command, char *letters)
{
	int n = count_options(command);
	struct option *known = calloc((size_t) n + 1, sizeof(*known));
	int i;

	if (known == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	for (i = 0; i < n; i++)
	{
		const cli_option *o = option_at(command, i);
		char letter[4] = {o->letter, argument_of(o) == required_argument ? ':' : '\0', '\0', '\0'};

		known[i] = (struct option){o->name, argument_of(o), NULL, FIRST_LONG + i};
		/* A letter of the command hides the same one of a global option. */
		if (o->letter != '\0' && o->letter != '?' && strchr(letters, o->letter) == NULL)
			strcat(letters, letter);
	}
	return known;
}

static const cli_option *
option_of(const cli_command *command, int c)
{
	int n = count_options(command);
	int i;

	if (c >= FIRST_LONG)
		return option_at(command, c - FIRST_LONG);
	for (i = 0; i < n; i++)
		if (option_at(command, i)->letter == c)
			return option_at(command, i);
	return NULL;
}

static void
refuse_option(const cli_command *command, const char *given)
{
	cli_nearest nearest = {.wrong = given + strspn(given, "-")};
	int i;

	for (i = 0; i < count_options(command); i++)
		(void) cli_nearest_try(&nearest, option_at(command, i)->name);
	if (nearest.best != NULL && given[1] == '-')
		cli_usage("there is no option %s here; did you mean --%s?", given, nearest.best);
	cli_usage("there is no option %s here", given);
}

void
cli_give(cli_call *call, const cli_option *option, const char *value, const char *place)
{
	call->given = realloc(call->given, (size_t) (call->ngiven + 1) * sizeof(*call->given));
	if (call->given == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	call->given[call->ngiven].option = option;
	call->given[call->ngiven].place = place;
	call->given[call->ngiven++].value = value;
}

static bool
is_global(const cli_option *option)
{
	return option >= global_options && option < global_options + nglobal_options;
}

static void
take_option(cli_call *call, const cli_option *option, const char *value)
{
	if (is_global(option) && strcmp(option->name, "help") == 0)
	{
		cli_help(call->command);
		exit(EXIT_DONE);
	}
	if (is_global(option) && strcmp(option->name, "version") == 0)
	{
		printf("taskq %s\n", TASKQ_VERSION);
		exit(EXIT_DONE);
	}
	if (is_global(option))
		cli_settings_take(option, value);
	else
		cli_give(call, option, value, "");
}

/* Takes options; optind becomes the first argument that is none.  first: stop there. */
static void
take_options(cli_call *call, int argc, char **argv, bool first)
{
	char letters[128] = "";
	const struct option *known;
	int c;

	strcpy(letters, first ? "+:" : ":");
	known = options_for(call->command, letters);
	while ((c = getopt_long(argc, argv, letters, known, NULL)) != -1)
	{
		const char *given = argv[optind - 1];

		if (c == ':')
			cli_usage("%s needs a value", given);
		if (c == '?' && strcmp(given, "-?") == 0)
			take_option(call, option_of(NULL, '?'), "true");
		if (c == '?')
			refuse_option(call->command, given);
		take_option(call, option_of(call->command, c), optarg != NULL ? optarg : "true");
	}
}

static void
check_arguments(const cli_call *call)
{
	const cli_command *command = call->command;

	if (call->narguments < command->min_arguments)
		cli_usage("taskq %s needs more arguments: %s", command->name, command->synopsis);
	if (command->max_arguments >= 0 && call->narguments > command->max_arguments)
		cli_usage("taskq %s does not take \"%s\"", command->name,
				  call->arguments[command->max_arguments]);
}

/* How many arguments stand after the first "--". */
static int
count_after_dashes(int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			return argc - i - 1;
	return 0;
}

static cli_call *
new_call(const cli_command *command)
{
	cli_call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	call->command = command;
	return call;
}

cli_call *
cli_raw_call(const cli_command *command, const char *program, int argc, char **argv)
{
	cli_call *call = new_call(command);

	call->program = program;
	if (program == NULL && asprintf((char **) &call->program, "taskq %s", command->name) < 0)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	call->arguments = argv;
	call->narguments = argc;
	return call;
}

cli_call *
cli_parse(int argc, char **argv)
{
	cli_call *call = new_call(NULL);
	int words;

	take_options(call, argc, argv, true);
	if (optind >= argc)
	{
		cli_help(NULL);
		exit(EXIT_USAGE);
	}
	call->command = cli_find_command(argv[optind], argv[optind + 1], &words);
	if (call->command == NULL && cli_is_group(argv[optind]) && argv[optind + 1] != NULL &&
		(strcmp(argv[optind + 1], "--help") == 0 || strcmp(argv[optind + 1], "-?") == 0))
		show_group(argv[optind], EXIT_DONE);
	if (call->command == NULL && cli_is_group(argv[optind]) && argv[optind + 1] == NULL)
		show_group(argv[optind], EXIT_USAGE);
	if (call->command == NULL)
		refuse_command(argv[optind], argv[optind + 1]);
	cli_report_command(call->command->name);
	argv += optind + words - 1;
	argc -= optind + words - 1;
	if (call->command->raw)
		return cli_raw_call(call->command, NULL, argc, argv);
	optind = 0; /* a new vector, whose first element is not looked at */
	/* Before they are put into another order. */
	call->nafter = count_after_dashes(argc, argv);
	take_options(call, argc, argv, false);
	call->arguments = argv + optind;
	call->narguments = argc - optind;
	check_arguments(call);
	return call;
}

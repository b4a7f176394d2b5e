/*
 * help.c
 *		--help and the manual, from the tables of the commands.
 */
#include <stdio.h>
#include <string.h>

#include "cli/help.h"
#include "cli/report.h"
#include "cli/settings.h"

#define HELP_COLUMN 34 /* where the text of an option begins */

static const char *const exit_statuses[] = {
	"0  done",
	"1  the database refused, or something failed",
	"2  a mistake in the options or their values, or no confirmation",
	"3  nothing there: no such task, no match, key taken",
	"4  no connection; also a database or a role that does not exist",
	"5  not permitted; also a wrong password",
	"6  the time was up; result: the task has not ended",
	"7  a task has ended, but is not finished",
};

/* ---- on the terminal --------------------------------------------------------- */

/* -o, --output FORMAT */
static void
head_of(const cli_option *option, char *head, size_t size)
{
	const char *argument = option->argument != NULL ? option->argument : "";
	char letter[8] = "    ";

	if (option->letter != '\0')
		snprintf(letter, sizeof(letter), "-%c, ", option->letter);
	snprintf(head, size, "  %s--%s%s%s", letter, option->name,
			 *argument != '\0' && *argument != '[' ? " " : "", argument);
}

static void
show_options(const cli_option *options, int n)
{
	int i;

	for (i = 0; i < n; i++)
	{
		const char *help = options[i].help;
		char head[80];

		head_of(&options[i], head, sizeof(head));
		if (strlen(head) >= HELP_COLUMN)
		{
			puts(head);
			head[0] = '\0';
		}
		while (*help != '\0')
		{
			size_t len = strcspn(help, "\n");

			printf("%-*s%.*s\n", HELP_COLUMN, head, (int) len, help);
			head[0] = '\0';
			help += len + (help[len] == '\n');
		}
	}
}

static void
show_program(void)
{
	const cli_command *const *all;
	int n;
	int i;

	all = cli_commands(&n);
	puts("Usage: taskq [GLOBAL OPTION]... COMMAND [OPTION]... [ARGUMENT]...\n\nCommands:");
	for (i = 0; i < n; i++)
		if (all[i]->name[0] != '_')
			printf("  %-24s%s\n", all[i]->name, all[i]->about);
	puts("\nGlobal options, before or after the command:");
	show_options(global_options, nglobal_options);
	puts("\n\"taskq COMMAND --help\" describes a command.  Exit status:");
	for (i = 0; i < COUNT(exit_statuses); i++)
		printf("  %s\n", exit_statuses[i]);
}

void
cli_help_as(const char *program, const cli_command *command)
{
	printf("Usage: %s %s\n\n%s.\n", program, command->synopsis, command->about);
	if (command->details != NULL)
		printf("\n%s\n", command->details);
	if (command->noptions > 0)
		puts("\nOptions:");
	show_options(command->options, command->noptions);
	if (command->examples != NULL)
		printf("\nExamples:\n%s\n", command->examples);
	if (!command->raw)
		puts("\nThe global options: taskq --help.");
}

void
cli_help(const cli_command *command)
{
	char program[64];

	if (command == NULL)
	{
		show_program();
		return;
	}
	snprintf(program, sizeof(program), "taskq %s", command->name);
	cli_help_as(program, command);
}

void
cli_help_group(const char *word)
{
	const cli_command *const *all;
	size_t len = strlen(word);
	int n;
	int i;

	all = cli_commands(&n);
	printf("Usage: taskq %s COMMAND [OPTION]... [ARGUMENT]...\n\nCommands:\n", word);
	for (i = 0; i < n; i++)
		if (strncmp(all[i]->name, word, len) == 0 && all[i]->name[len] == ' ')
			printf("  %-24s%s\n", all[i]->name, all[i]->about);
	printf("\n\"taskq %s COMMAND --help\" describes a command.\n", word);
}

int
cli_run_help(cli_call *call)
{
	const cli_command *command = NULL;
	int words;

	if (call->narguments > 0)
	{
		command = cli_find_command(call->arguments[0], cli_argument(call, 1), &words);
		if (command == NULL && call->narguments == 1 && cli_is_group(call->arguments[0]))
		{
			cli_help_group(call->arguments[0]);
			return EXIT_DONE;
		}
		if (command == NULL)
			cli_usage("there is no command \"%s\"", call->arguments[0]);
	}
	cli_help(command);
	return EXIT_DONE;
}

/* ---- the manual -------------------------------------------------------------- */

/* A line must not begin with a period or an apostrophe. */
static void
roff(const char *text)
{
	const char *c;

	for (c = text; *c != '\0'; c++)
	{
		if ((c == text || c[-1] == '\n') && (*c == '.' || *c == '\''))
			fputs("\\&", stdout);
		if (*c == '-')
			fputs("\\-", stdout);
		else if (*c == '\\')
			fputs("\\e", stdout);
		else
			putchar(*c);
	}
	putchar('\n');
}

static void
roff_options(const cli_option *options, int n)
{
	int i;

	for (i = 0; i < n; i++)
	{
		char head[80];

		head_of(&options[i], head, sizeof(head));
		puts(".TP");
		roff(head + strspn(head, " "));
		roff(options[i].help);
	}
}

static void
roff_command(const cli_command *command)
{
	char head[512];

	snprintf(head, sizeof(head), "taskq %s %s", command->name, command->synopsis);
	printf(".SS ");
	roff(command->name);
	puts(".B");
	roff(head);
	puts(".PP");
	roff(command->about);
	puts(".PP");
	if (command->details != NULL)
		roff(command->details);
	roff_options(command->options, command->noptions);
	if (command->examples != NULL)
	{
		puts(".PP\nExamples:\n.nf");
		roff(command->examples);
		puts(".fi");
	}
}

int
cli_run_manual(cli_call *call)
{
	const cli_command *const *all;
	int n;
	int i;

	(void) call;
	all = cli_commands(&n);
	puts(".TH TASKQ 1 \"\" \"taskq\" \"taskq\"\n.SH NAME\ntaskq \\- the command line of a "
		 "taskq database\n"
		 ".SH SYNOPSIS\n.B taskq\n[GLOBAL OPTION]... COMMAND [OPTION]... "
		 "[ARGUMENT]...\n.SH GLOBAL OPTIONS\n"
		 "They stand before or after the command.  /etc/taskq/config and "
		 "~/.config/taskq/config may have them,\n"
		 "one a line: NAME = VALUE.  So may the environment: TASKQ_DATABASE, TASKQ_OUTPUT "
		 "and so on.");
	roff_options(global_options, nglobal_options);
	puts(".SH COMMANDS");
	for (i = 0; i < n; i++)
		if (all[i]->name[0] != '_')
			roff_command(all[i]);
	puts(".SH EXIT STATUS\n.nf");
	for (i = 0; i < COUNT(exit_statuses); i++)
		roff(exit_statuses[i]);
	puts(".fi\n.SH SEE ALSO\n.BR taskq\\-worker (1)");
	return EXIT_DONE;
}

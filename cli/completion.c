/*
 * completion.c
 *		Completion of the command line by shells.
 *
 * The scripts of the shells only call "taskq _complete -- WORD...", which prints one candidate a
 * line: commands and options from their tables, names of queues from the database.
 */
#include <stdio.h>
#include <string.h>

#include "cli/completion.h"
#include "cli/names.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/settings.h"

static const char bash_script[] =
	"_taskq()\n"
	"{\n"
	"\tmapfile -t COMPREPLY < <(compgen -W \"$(taskq _complete -- "
	"\"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\" -- "
	"\"${COMP_WORDS[COMP_CWORD]}\")\n"
	"}\n"
	"complete -F _taskq taskq\n";

static const char zsh_script[] =
	"#compdef taskq\n"
	"_taskq()\n"
	"{\n"
	"\tcompadd -- ${(f)\"$(taskq _complete -- ${words[2,CURRENT]} 2>/dev/null)\"}\n"
	"}\n"
	"compdef _taskq taskq\n";

static const char fish_script[] =
	"complete -c taskq -f -a \"(taskq _complete -- (commandline -opc)[2..] (commandline "
	"-ct) 2>/dev/null)\"\n";

static int
run_completion(cli_call *call)
{
	const char *shell = call->arguments[0];

	if (strcmp(shell, "bash") == 0)
		fputs(bash_script, stdout);
	else if (strcmp(shell, "zsh") == 0)
		fputs(zsh_script, stdout);
	else if (strcmp(shell, "fish") == 0)
		fputs(fish_script, stdout);
	else
		cli_usage("the shells are bash, zsh and fish, not \"%s\"", shell);
	return EXIT_DONE;
}

/* The first words of commands, or the second ones after a first. */
static void
offer_commands(const char *first)
{
	const cli_command *const *all;
	int n;
	int i;

	all = cli_commands(&n);
	for (i = 0; i < n; i++)
	{
		const char *name = all[i]->name;
		size_t len = strcspn(name, " ");

		if (name[0] == '_')
			continue;
		if (first == NULL && (i == 0 || strncmp(all[i - 1]->name, name, len + 1) != 0))
			printf("%.*s\n", (int) len, name);
		else if (first != NULL && strlen(first) == len && strncmp(first, name, len) == 0 &&
				 name[len] == ' ')
			puts(name + len + 1);
	}
}

static void
offer_options(const cli_option *options, int n)
{
	int i;

	for (i = 0; i < n; i++)
		printf("--%s\n", options[i].name);
}

/* Where a command takes a queue as its first argument. */
static void
offer_queues(void)
{
	PGresult *names;
	int i;

	settings.timeout = "1 s";
	settings.never_ask_password = true;
	names = cli_names(KIND_QUEUE);
	for (i = 0; i < PQntuples(names); i++)
		puts(PQgetvalue(names, i, 0));
	PQclear(names);
}

static int
run_complete(cli_call *call)
{
	int n = call->narguments;
	const char *current = n > 0 ? call->arguments[n - 1] : "";
	const cli_command *command = NULL;
	int words = 0;

	if (n > 1)
		command = cli_find_command(call->arguments[0], n > 2 ? call->arguments[1] : NULL, &words);
	if (*current == '-')
	{
		if (command != NULL)
			offer_options(command->options, command->noptions);
		if (command == NULL || !command->raw)
			offer_options(global_options, nglobal_options);
	}
	else if (n <= 1)
		offer_commands(NULL);
	else if (command == NULL && n == 2)
		offer_commands(call->arguments[0]);
	else if (command != NULL && n == words + 1 && strstr(command->synopsis, "QUEUE") != NULL)
		offer_queues();
	return EXIT_DONE;
}

const cli_command cli_completion = {
	.name = "completion",
	.synopsis = "bash | zsh | fish",
	.about = "Print a script that completes commands in a shell",
	.examples = "  taskq completion bash",
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run_completion};

const cli_command cli_complete = {
	.name = "_complete",
	.synopsis = "-- WORD...",
	.about = "Print what the last word may be",
	.max_arguments = -1,
	.run = run_complete};

/*
 * workfile.c
 *		Files of options of taskq work.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "cli/words.h"
#include "cli/workfile.h"
#include "client/conffile.h"

void
cli_workfile_add_queue(cli_workfile *f, const char *queue)
{
	if (f->nqueues == WORKFILE_MAX_QUEUES)
		cli_usage("there are more than %d queues", WORKFILE_MAX_QUEUES);
	f->queues[f->nqueues++] = queue;
}

static const cli_option *
option_of_name(const cli_workfile *f, const char *name)
{
	const cli_command *command = f->options.command;
	int i;

	for (i = 0; i < command->noptions; i++)
		if (strcmp(command->options[i].name, name) == 0 && strcmp(name, "config") != 0)
			return &command->options[i];
	return NULL;
}

bool
cli_workfile_of_route(const cli_option *option)
{
	static const char *const names[] = {
		"run-timeout", "kill-signal", "kill-after", "stdin", "id", "result",
		"max-result", "stderr-tail", "permanent-exit", "env", "clean-env", "chdir",
		"user", "nice", "rlimit", "lines", "per-child", "max-tasks"};
	int i;

	for (i = 0; i < COUNT(names); i++)
		if (strcmp(option->name, names[i]) == 0)
			return true;
	return false;
}

/* The section that is being read; NULL: none has begun. */
static cli_section *
section_of(const cli_workfile *f)
{
	return f->in_route ? &f->routes[f->nroutes - 1] : NULL;
}

/* "FILE, line N: ", never freed. */
static const char *
place_of(const cli_workfile *f, int number)
{
	char *place;

	if (asprintf(&place, "%s, line %d: ", f->path, number) < 0)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	return place;
}

static void
begin_route(cli_workfile *f, int number, const char *pattern)
{
	int i;

	for (i = 0; i < f->nroutes; i++)
		if (strcmp(f->routes[i].pattern, pattern) == 0)
			cli_usage("%s, line %d: there is a route %s already", f->path, number, pattern);
	if (f->nroutes > 0 && strcmp(f->routes[f->nroutes - 1].pattern, "*") == 0)
		cli_usage("%s, line %d: the route * before this one takes all tasks; put it last", f->path,
				  number);
	if (f->nroutes == WORKFILE_MAX_ROUTES)
		cli_usage("there are more than %d routes", WORKFILE_MAX_ROUTES);
	f->routes = realloc(f->routes, (size_t) (f->nroutes + 1) * sizeof(*f->routes));
	if (f->routes == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	f->routes[f->nroutes++] = (cli_section){.pattern = pattern, .place = place_of(f, number)};
	f->in_route = true;
}

/* "[route PATTERN]" */
static void
take_heading(cli_workfile *f, int number, const char *heading)
{
	static const char begin[] = "[route ";
	const char *from = heading + strlen(begin);
	size_t len = strlen(heading);
	char *pattern;

	if (strncmp(heading, begin, strlen(begin)) != 0 || heading[len - 1] != ']')
		cli_usage("%s, line %d: a section is [route PATTERN]", f->path, number);
	from += strspn(from, " \t");
	pattern = cli_copy(from);
	len = strlen(pattern) - 1;
	while (len > 0 && strchr(" \t", pattern[len - 1]) != NULL)
		len--;
	pattern[len] = '\0';
	if (len == 0)
		cli_usage("%s, line %d: a section is [route PATTERN]", f->path, number);
	begin_route(f, number, pattern);
}

static void
take_command(cli_workfile *f, int number, const char *value)
{
	cli_section *section = section_of(f);
	bool again = section != NULL ? section->command != NULL : f->command_path == f->path;
	int n;
	char **words = cli_words(value, &n);

	if (words == NULL)
		cli_usage("%s, line %d: a quote is not closed", f->path, number);
	if (n == 0)
		cli_usage("%s, line %d: the command is empty", f->path, number);
	if (again)
		cli_usage("%s, line %d: there is a command already", f->path, number);
	if (section == NULL)
		f->command_path = f->path;
	*(section != NULL ? &section->command : &f->command) = words;
	*(section != NULL ? &section->nwords : &f->nwords) = n;
}

/* The name that may stand there and is most like the wrong one; NULL: none is like it. */
static const char *
similar_name(const cli_workfile *f, const char *wrong)
{
	const cli_command *command = f->options.command;
	cli_nearest nearest = {.wrong = wrong};
	int i;

	for (i = 0; i < command->noptions; i++)
	{
		const cli_option *option = &command->options[i];

		if (!f->in_route || cli_workfile_of_route(option))
			(void) cli_nearest_try(&nearest, option->name);
	}
	(void) cli_nearest_try(&nearest, "command");
	return nearest.best;
}

static void
refuse_name(const cli_workfile *f, int number, const char *name)
{
	const char *best = similar_name(f, name);
	const char *where = f->in_route ? "a route" : "this file";

	if (best != NULL)
		cli_usage("%s, line %d: \"%s\" cannot stand in %s; did you mean \"%s\"?", f->path, number,
				  name, where, best);
	cli_usage("%s, line %d: \"%s\" cannot stand in %s", f->path, number, name, where);
}

/* Only a whole line is a comment, so that values may have a #; elsewhere it is a mistake. */
static void
refuse_comment(const cli_workfile *f, int number, const char *name, const char *value)
{
	char quote = '\0';
	const char *c;

	for (c = value; strcmp(name, "env") != 0 && *c != '\0'; c++)
	{
		if (quote == '\0' && *c == '#' && (c == value || c[-1] == ' ' || c[-1] == '\t'))
			cli_usage("%s, line %d: a comment is a line of its own; put an argument with # into "
					  "quotes",
					  f->path, number);
		if (*c == quote)
			quote = '\0';
		else if (quote == '\0' && (*c == '\'' || *c == '"'))
			quote = *c;
	}
}

static void
take_line_option(cli_workfile *f, int number, const char *name, const char *value)
{
	const cli_option *option = option_of_name(f, name);
	cli_section *section = section_of(f);
	bool on = strcmp(value, "on") == 0;

	if (option == NULL)
		refuse_name(f, number, name);
	if (section != NULL && !cli_workfile_of_route(option))
		cli_usage("%s, line %d: \"%s\" cannot stand in a route", f->path, number, name);
	if (option->argument != NULL)
		value = cli_copy(value);
	else if (on || strcmp(value, "off") == 0)
		value = on ? "true" : "false";
	else
		cli_usage("%s, line %d: %s is on or off", f->path, number, name);
	cli_give(section != NULL ? &section->options : &f->options, option, value,
			 place_of(f, number));
}

static void
take_work_line(void *arg, int number, const char *name, const char *value)
{
	cli_workfile *f = arg;

	if (value == NULL && *name == '[')
	{
		take_heading(f, number, name);
		return;
	}
	if (value == NULL)
		cli_usage("%s, line %d: not NAME = VALUE", f->path, number);
	refuse_comment(f, number, name, value);
	if (strcmp(name, "queue") == 0 && !f->in_route)
		cli_workfile_add_queue(f, cli_copy(value));
	else if (strcmp(name, "command") == 0)
		take_command(f, number, value);
	else
		take_line_option(f, number, name, value);
}

static void
read_file(cli_workfile *f, const char *path)
{
	FILE *file = fopen(path, "re");

	f->path = path;
	f->in_route = false;
	if (file == NULL)
		cli_usage("%s: %s", path, strerror(errno));
	tq_conffile_read(file, take_work_line, f);
	fclose(file);
}

void
cli_workfile_read(cli_workfile *f, cli_call *call)
{
	int i;

	f->options.command = call->command;
	for (i = 0; i < call->ngiven; i++)
		if (strcmp(call->given[i].option->name, "config") == 0)
			read_file(f, call->given[i].value);
	for (i = 0; i < call->ngiven; i++)
		cli_give(&f->options, call->given[i].option, call->given[i].value, "");
	free(call->given);
	call->given = f->options.given;
	call->ngiven = f->options.ngiven;
}

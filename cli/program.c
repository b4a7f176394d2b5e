/*
 * program.c
 *		Whether the command of a worker can be executed.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/program.h"
#include "cli/report.h"

#define PATH_DEFAULT "/bin:/usr/bin"

/* Whether the file can be executed, seen from the directory of the commands. */
static bool
is_executable(const cli_surroundings *s, const char *directory, size_t len, const char *name)
{
	char path[PATH_MAX];
	bool relative = len > 0 ? *directory != '/' : *name != '/';

	return snprintf(path, sizeof(path), "%s%s%.*s%s%s",
					relative && s->directory != NULL ? s->directory : "",
					relative && s->directory != NULL ? "/" : "", (int) len, directory,
					len > 0 ? "/" : "", name) < (int) sizeof(path) &&
		   access(path, X_OK) == 0;
}

bool
cli_program_is_there(const cli_runner_options *r)
{
	const char *name = r->command[0];
	const char *path;

	if (strchr(name, '/') != NULL)
		return is_executable(&r->surroundings, "", 0, name);
	/* The PATH of the worker, which is that by which the command is found later. */
	path = getenv("PATH") != NULL ? getenv("PATH") : PATH_DEFAULT;
	while (path != NULL)
	{
		size_t len = strcspn(path, ":");

		if (len > 0 ? is_executable(&r->surroundings, path, len, name)
					: is_executable(&r->surroundings, ".", 1, name))
			return true;
		path = path[len] == ':' ? path + len + 1 : NULL;
	}
	return false;
}

void
cli_program_check(const cli_runner_options *r)
{
	const char *name = r->command[0];

	if (r->surroundings.directory != NULL && access(r->surroundings.directory, X_OK) != 0)
		cli_fail(EXIT_REFUSED, NULL, "cannot enter %s: %s", r->surroundings.directory,
				 strerror(errno));
	if (cli_program_is_there(r))
		return;
	cli_fail(EXIT_REFUSED, NULL, "cannot run %s: %s", name,
			 strchr(name, '/') != NULL ? strerror(errno) : "there is no such command in PATH");
}

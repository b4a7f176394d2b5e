/*
 * setup.c
 *		setup: preloads the library and creates the extension.
 *
 * It never restarts a server.  What is preloaded already stays: the library is added to the list.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/look.h"
#include "cli/query.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "cli/setup.h"
#include "core/buffer.h"

#define LIBRARY  "taskq"
#define MAX_LIST 8192
#define SETTING  "shared_preload_libraries"

extern char **environ;

static const cli_option setup_options[] = {
	{0, "cluster", "VERSION/NAME",
	 "a cluster of Debian, whose file of settings is\nchanged: 15/main", NULL, NULL, NULL},
};

/* ---- the list of libraries --------------------------------------------------------- */

/* The setting as it is in force, or as the files have it for the next start. */
static char *
read_libraries(bool next)
{
	static const char in_force[] =
		"select setting from pg_catalog.pg_settings where name = '" SETTING "'";
	static const char in_files[] =
		"select setting from pg_catalog.pg_file_settings where name = '" SETTING
		"' order by seqno desc limit 1";
	PGresult *result = next ? cli_try(in_files, 0, NULL) : cli_query(in_force, 0, NULL);
	char *list = NULL;

	/* Only superusers can look into the files. */
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		list = cli_copy(PQgetvalue(result, 0, 0));
	PQclear(result);
	return list;
}

/* The next library of a list, without blanks and quotes; NULL: there is none. */
static char *
next_library(char **list)
{
	char *name = strsep(list, ",");
	size_t len;

	if (name == NULL)
		return NULL;
	name += strspn(name, " \"'");
	len = strcspn(name, " \"'");
	name[len] = '\0';
	return name;
}

static bool
is_in(const char *list)
{
	char *copy = cli_copy(list);
	char *rest = copy;
	const char *name;
	bool found = false;

	while (!found && (name = next_library(&rest)) != NULL)
		found = strcmp(name, LIBRARY) == 0 || strcmp(name, "$libdir/" LIBRARY) == 0;
	free(copy);
	return found;
}

static void
append_name(tq_buffer *text, const char *before, const char *name, const char *after)
{
	tq_buffer_append(text, before, strlen(before));
	tq_buffer_append(text, name, strlen(name));
	tq_buffer_append(text, after, strlen(after));
}

/*
 * The list with our library at its end: as a file has it, or as ALTER SYSTEM wants it, each in
 * quotes of its own.  The caller's to free.
 */
static char *
longer_list(const char *list, const char *quote)
{
	char *copy = cli_copy(list);
	char *rest = copy;
	const char *name;
	tq_buffer text;
	size_t len;

	tq_buffer_init(&text, MAX_LIST);
	while ((name = next_library(&rest)) != NULL)
	{
		if (*name == '\0')
			continue;
		append_name(&text, quote, name, quote);
		append_name(&text, ", ", "", "");
	}
	append_name(&text, quote, LIBRARY, quote);
	free(copy);
	if (text.overflowed)
		cli_fail(EXIT_REFUSED, NULL, "%s is too long", SETTING);
	return tq_buffer_steal(&text, &len);
}

/* ---- setting it ------------------------------------------------------------------------ */

static void
run_program(char *const *arguments)
{
	pid_t pid;
	int status;
	int error = posix_spawnp(&pid, arguments[0], NULL, NULL, arguments, environ);

	if (error != 0)
		cli_fail(EXIT_REFUSED, "It is part of postgresql-common.", "cannot run %s: %s",
				 arguments[0], strerror(error));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		cli_fail(EXIT_REFUSED, "Run this command as postgres or root.", "%s has failed",
				 arguments[0]);
}

/* What a program prints; what it complains about is not shown. */
static FILE *
start_program(char *const *arguments)
{
	posix_spawn_file_actions_t actions;
	int ends[2];
	pid_t pid;
	int error;
	FILE *file;

	if (pipe2(ends, O_CLOEXEC) != 0 || posix_spawn_file_actions_init(&actions) != 0 ||
		posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO) != 0 ||
		posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0) != 0)
		cli_fail(EXIT_REFUSED, NULL, "out of descriptors or memory");
	error = posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	file = fdopen(ends[0], "r");
	if (error != 0 || file == NULL)
		cli_fail(EXIT_REFUSED, "It is part of postgresql-common.", "cannot run %s: %s",
				 arguments[0], strerror(error));
	return file;
}

/* Takes VERSION/NAME apart; version is the caller's to free. */
static void
split_cluster(const char *cluster, char **version, char **name)
{
	*version = cli_copy(cluster);
	*name = strchr(*version, '/');
	if (*name == NULL)
		cli_usage("--cluster: \"%s\" is not VERSION/NAME", cluster);
	*(*name)++ = '\0';
}

/* Changes the file of a Debian cluster. */
static void
change_cluster(const char *cluster, const char *list)
{
	char *version;
	char *name;
	char *value = longer_list(list, "");

	split_cluster(cluster, &version, &name);
	printf("pg_conftool %s %s set %s '%s'\n", version, name, SETTING, value);
	fflush(stdout);
	if (!settings.dry_run)
		run_program((char *[]){"pg_conftool", version, name, "set", SETTING, value, NULL});
	printf("Restart the server: pg_ctlcluster %s %s restart\n", version, name);
	free(value);
	free(version);
}

static void
preload(const char *cluster)
{
	char *now = read_libraries(false);
	char *next = read_libraries(true);
	char *value;

	if (now == NULL)
		cli_fail(EXIT_PERMISSION, "Connect as a superuser, or as a member of pg_read_all_settings.",
				 "%s may not see %s", PQuser(cli_connection()), SETTING);
	if (is_in(now))
	{
		puts("The library is preloaded.");
		if (cluster != NULL)
			cli_note("--cluster %s: nothing is changed, because the connected server has it",
					 cluster);
	}
	else if (next != NULL && is_in(next))
		puts("The library will be preloaded at the next start.  Restart the server.");
	else if (cluster != NULL)
		change_cluster(cluster, next != NULL ? next : now);
	else
	{
		value = longer_list(next != NULL ? next : now, "'");
		printf("The library is not preloaded.  Run this as a superuser, and restart the server:\n"
			   "  alter system set %s = %s;\n",
			   SETTING, value);
		free(value);
	}
	free(now);
	free(next);
}

/* ---- the extension ------------------------------------------------------------------------- */

/* In the connected database. */
static void
create_extension(void)
{
	static const char version[] =
		"select extversion from pg_catalog.pg_extension where extname = '" LIBRARY "'";
	PGresult *there = cli_query(version, 0, NULL);

	if (PQntuples(there) > 0)
		printf("%s: the extension is there, version %s.\n", PQdb(cli_connection()),
			   PQgetvalue(there, 0, 0));
	else if (settings.dry_run)
		printf("%s: create extension " LIBRARY ";\n", PQdb(cli_connection()));
	else
	{
		PQclear(cli_query("create extension " LIBRARY, 0, NULL));
		printf("%s: the extension was created.\n", PQdb(cli_connection()));
	}
	if (PQntuples(there) > 0 || !settings.dry_run)
		cli_show_status();
	PQclear(there);
}

/* Root becomes the owner of the cluster: the server lets in the role of that name. */
static void
become_owner(const char *owner)
{
	const struct passwd *user;

	/* cppcheck-suppress getpwnamCalled */
	user = getpwnam(owner);
	if (user == NULL || initgroups(owner, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
		setuid(user->pw_uid) != 0)
		cli_fail(EXIT_REFUSED, NULL, "cannot become the user %s", owner);
}

/* Where the cluster listens, unless that was said, and who it belongs to. */
static void
find_cluster(const char *cluster)
{
	char *version;
	char *name;
	char port[16];
	char owner[64];
	FILE *file;

	split_cluster(cluster, &version, &name);
	file = start_program((char *[]){"pg_lsclusters", "--no-header", version, name, NULL});
	if (fscanf(file, "%*s %*s %15s %*s %63s", port, owner) != 2)
		cli_fail(EXIT_NOTHING, "pg_lsclusters lists them.", "there is no cluster %s", cluster);
	fclose(file);
	if (settings.port == NULL && settings.database == NULL)
		settings.port = cli_copy(port);
	if (geteuid() == 0)
		become_owner(owner);
	free(version);
}

static int
run_setup(cli_call *call)
{
	const char *cluster = cli_value(call, "cluster");
	int i;

	if (cluster != NULL)
		find_cluster(cluster);
	preload(cluster);
	if (call->narguments == 0)
		create_extension();
	for (i = 0; i < call->narguments; i++)
	{
		cli_session_switch(call->arguments[i]);
		create_extension();
	}
	return EXIT_DONE;
}

const cli_command cli_setup = {
	.name = "setup",
	.synopsis = "[DATABASE...] [--cluster VERSION/NAME]",
	.about = "Preload the library, and create the extension",
	.details =
		"With --cluster it adds the library to shared_preload_libraries of a Debian cluster, as\n"
		"postgres or root; otherwise it prints the statement that does so.  It tells whether a\n"
		"restart is needed, and never restarts the server.  Then it creates the extension in the\n"
		"databases, or in the one that is connected, and prints their status.  The port of the\n"
		"cluster is found, unless -p or -d is given.  pg_lsclusters lists the clusters.",
	.examples = "  taskq setup --dry-run",
	.max_arguments = -1,
	.options = setup_options,
	.noptions = COUNT(setup_options),
	.run = run_setup};

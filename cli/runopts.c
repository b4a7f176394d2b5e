/*
 * runopts.c
 *		The options that say how a command is run.
 */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/environment.h"
#include "cli/program.h"
#include "cli/report.h"
#include "cli/runopts.h"
#include "cli/server.h"
#include "cli/values.h"

#define MAX_BYTES       (1 << 30)
#define RESULT_DEFAULT  65536
#define TAIL_DEFAULT    4096
#define KILL_DEFAULT_MS 10000

static int
signal_number(const char *place, const char *name)
{
	int number;

	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (number = 1; number < NSIG; number++)
		if (sigabbrev_np(number) != NULL && strcasecmp(sigabbrev_np(number), name) == 0)
			return number;
	cli_usage("%s--kill-signal: there is no signal \"%s\"", place, name);
}

static void
read_statuses(const cli_call *call, bool *permanent)
{
	const char *at = cli_value(call, "permanent-exit");

	while (at != NULL && *at != '\0')
	{
		char *end;
		long status = strtol(at, &end, 10);

		if (end == at || status < 1 || status > 255 || (*end != '\0' && *end != ','))
			cli_usage("%s--permanent-exit: numbers from 1 to 255, separated by commas",
					  cli_place(call, "permanent-exit"));
		permanent[status] = true;
		at = *end == ',' ? end + 1 : end;
	}
}

/* ---- the surroundings of commands ----------------------------------------------- */

static void
read_user(const cli_call *call, cli_surroundings *s)
{
	const char *value = cli_value(call, "user");
	char *name;
	char *group;
	const struct passwd *user;
	const struct group *found;

	if (value == NULL)
		return;
	if (geteuid() != 0)
		cli_usage("%s--user is only for root", cli_place(call, "user"));
	name = cli_copy(value);
	group = strchr(name, ':');
	if (group != NULL)
		*group++ = '\0';
	/* cppcheck-suppress getpwnamCalled */
	user = getpwnam(name);
	if (user == NULL)
		cli_usage("%s--user: there is no user \"%s\"", cli_place(call, "user"), name);
	s->has_user = true;
	s->user = name;
	s->uid = user->pw_uid;
	s->gid = user->pw_gid;
	if (group == NULL)
		return;
	/* cppcheck-suppress getgrnamCalled */
	found = getgrnam(group);
	if (found == NULL)
		cli_usage("%s--user: there is no group \"%s\"", cli_place(call, "user"), group);
	s->gid = found->gr_gid;
}

static void
add_limit(cli_surroundings *s, const char *place, const char *value)
{
	static const struct
	{
		const char *name;
		int resource;
	} known[] = {
		{"as=", RLIMIT_AS},
		{"cpu=", RLIMIT_CPU},
		{"core=", RLIMIT_CORE},
		{"data=", RLIMIT_DATA},
		{"fsize=", RLIMIT_FSIZE},
		{"nofile=", RLIMIT_NOFILE},
		{"nproc=", RLIMIT_NPROC}};
	int i;

	for (i = 0; i < COUNT(known); i++)
	{
		size_t len = strlen(known[i].name);
		const char *number = value + len;
		char *end;

		if (strncmp(value, known[i].name, len) != 0)
			continue;
		if (s->nlimits == CHILD_MAX_LIMITS)
			cli_usage("%s--rlimit: there are too many", place);
		s->limits[s->nlimits].resource = known[i].resource;
		errno = 0;
		s->limits[s->nlimits].value = strtoull(number, &end, 10);
		if (strcmp(number, "unlimited") == 0)
			s->limits[s->nlimits].value = RLIM_INFINITY;
		else if (errno != 0 || end == number || *end != '\0' || *number == '-')
			cli_usage("%s--rlimit: \"%s\" is not a number", place, number);
		s->nlimits++;
		return;
	}
	cli_usage("%s--rlimit: \"%s\" is not NAME=N; see --help", place, value);
}

static void
read_surroundings(const cli_call *call, cli_runner_options *r)
{
	cli_surroundings *s = &r->surroundings;
	int i;

	s->directory = cli_value(call, "chdir");
	s->nice = cli_number(call, "nice", -20, 19, 0);
	s->max_output = (size_t) cli_number(call, "max-result", 0, MAX_BYTES, RESULT_DEFAULT);
	s->max_tail = (size_t) cli_number(call, "stderr-tail", 0, MAX_BYTES / 4, TAIL_DEFAULT);
	s->with_lines = r->lines;
	s->with_reply = !r->lines;
	s->own_output = !r->lines && r->result == RESULT_NONE;
	read_user(call, s);
	for (i = 0; i < call->ngiven; i++)
		if (strcmp(call->given[i].option->name, "rlimit") == 0)
			add_limit(s, call->given[i].place, call->given[i].value);
}

/* ---- all of them ----------------------------------------------------------------- */

void
cli_runopts_read(const cli_call *call, cli_runner_options *r)
{
	static const char *const inputs[] = {"payload", "text", "task", "none"};
	static const char *const ids[] = {"id", "key", "none"};
	static const char *const results[] = {"auto", "json", "text", "none"};
	const char *kill_signal = cli_value(call, "kill-signal");

	r->input = (cli_input_mode) cli_choice(call, "stdin", inputs, COUNT(inputs));
	r->id = (cli_id_mode) cli_choice(call, "id", ids, COUNT(ids));
	r->result = (cli_result_mode) cli_choice(call, "result", results, COUNT(results));
	r->lines = cli_is_on(call, "lines");
	r->per_child = cli_number(call, "per-child", 1, RUNOPTS_MAX_JOBS, 1);
	r->max_tasks = cli_number(call, "max-tasks", 1, INT_MAX, 0);
	if (cli_value(call, "lines") == NULL &&
		(cli_value(call, "per-child") != NULL || r->max_tasks > 0))
		cli_usage("--per-child and --max-tasks go with --lines");
	read_statuses(call, r->permanent);
	r->kill_signal = SIGTERM;
	if (kill_signal != NULL)
		r->kill_signal = signal_number(cli_place(call, "kill-signal"), kill_signal);
	read_surroundings(call, r);
	cli_program_check(r);
	r->kill_after_ms = cli_duration_ms(call, "kill-after", KILL_DEFAULT_MS);
	r->run_timeout_ms = cli_duration_ms(call, "run-timeout", 0);
	r->surroundings.max_line = cli_server_longest_line();
}

void
cli_runopts_read_environment(const cli_call *call, cli_runner_options *r, const char *database,
							 const char *worker)
{
	int i;

	cli_environment_make(r, cli_is_on(call, "clean-env"), database, worker);
	for (i = 0; i < call->ngiven; i++)
	{
		if (strcmp(call->given[i].option->name, "env") != 0)
			continue;
		if (strchr(call->given[i].value, '=') == NULL)
			cli_usage("%s--env: \"%s\" is not NAME=VALUE", call->given[i].place,
					  call->given[i].value);
		cli_environment_put(r, call->given[i].value);
	}
}

/*
 * test_child.c
 *		Commands as processes: what they read and say, how they end, and what they leave behind.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/child.h"
#include "unit.h"

#define LIMIT_MS 20000

extern char **environ;

static const cli_surroundings plain = {
	.max_output = 2 << 20, .max_line = 1000, .max_tail = 10, .with_reply = true};

/* Starts "sh -c SCRIPT" with $1 to $9 of argument. */
static void
start_shell(cli_child *c, const cli_surroundings *s, const char *script, const char *input)
{
	char *arguments[] = {"sh", "-c", (char *) script, "sh", "a b", NULL};

	is_int(cli_child_start(c, s, arguments, environ), 0, "it starts");
	ok(cli_child_write(c, input, strlen(input)), "it gets its input");
	cli_child_end_input(c);
}

/* Transfers until the condition holds; false: it took too long. */
static bool
run_until(cli_child *c, bool (*condition)(cli_child *))
{
	int64_t end = clock_ms() + LIMIT_MS;

	while (!condition(c))
	{
		struct pollfd fds[CHILD_NFDS];
		int n = cli_child_poll(c, fds);

		if (clock_ms() > end)
			return false;
		(void) poll(fds, (nfds_t) n, 10);
		cli_child_transfer(c);
	}
	return true;
}

static bool
has_said_something(cli_child *c)
{
	return c->output.len > 0;
}

static void
test_talk(void)
{
	cli_child c;
	const char *line;
	size_t len;

	start_shell(&c, &plain, "cat; echo \"$1\"; echo 0123456789abc >&2; echo reply >&3; exit 3",
				"input\n");
	ok(run_until(&c, cli_child_step), "it ends");
	is_str(c.output.data, "input\na b\n", "its output");
	is_int(WEXITSTATUS(c.end.status), 3, "its exit status");
	line = cli_lines_next(&c.lines, &len);
	ok(line != NULL && len == 5 && memcmp(line, "reply", 5) == 0, "descriptor 3");
	line = cli_lines_next(&c.errors, &len);
	ok(line != NULL && len == 13, "standard error");
	ok(cli_child_tail(&c).len == 10 && memcmp(cli_child_tail(&c).bytes, "456789abc\n", 10) == 0,
	   "its end");
	cli_child_free(&c);
}

static void
test_much(void)
{
	static char input[1 << 20];
	cli_child c;

	memset(input, 'x', sizeof(input) - 1);
	start_shell(&c, &plain, "cat", input);
	ok(run_until(&c, cli_child_step), "1 MB goes through");
	is_int((int64_t) c.output.len, sizeof(input) - 1, "all of it");
	cli_child_free(&c);
	start_shell(&c, &plain, "exit 0", input);
	ok(run_until(&c, cli_child_step), "a command that does not read is fine");
	cli_child_free(&c);
}

static void
test_cut(void)
{
	cli_surroundings little = plain;
	cli_child c;

	little.max_output = 4;
	start_shell(&c, &little, "echo 0123456789; seq 1000 >&2", "");
	ok(run_until(&c, cli_child_step), "a command with much to say ends");
	is_str(c.output.data, "0123", "output beyond the limit is dropped");
	ok(c.output.overflowed, "and that is told");
	cli_child_free(&c);
}

static void
test_no_start(void)
{
	char *missing[] = {"/no/such/program", NULL};
	char *directory[] = {"/", NULL};
	cli_surroundings elsewhere = plain;
	cli_child c;

	is_int(cli_child_start(&c, &plain, missing, environ), ENOENT, "a program that is missing");
	is_int(cli_child_start(&c, &plain, directory, environ), EACCES, "a directory");
	elsewhere.directory = "/no/such/directory";
	missing[0] = "sh";
	is_int(cli_child_start(&c, &elsewhere, missing, environ), ENOENT, "no directory to run in");
	ok(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "no process is left");
}

/* Whether a process, whose number the output begins with, is there. */
static bool
is_alive(const cli_child *c)
{
	char path[64];
	char state = 'Z';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", atoi(c->output.data));
	file = fopen(path, "r");
	if (file == NULL)
		return false;
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 'Z';
	fclose(file);
	return state != 'Z';
}

static bool
grandchild_is_gone(cli_child *c)
{
	return !is_alive(c);
}

/* A grandchild that ignores TERM, which says its number. */
#define STUBBORN "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 100; done' & "

static void
test_grandchild(void)
{
	cli_child c;

	start_shell(&c, &plain, STUBBORN "wait", "");
	ok(run_until(&c, has_said_something), "a grandchild runs");
	cli_child_kill(&c, SIGTERM, LIMIT_MS);
	ok(run_until(&c, cli_child_step), "the leader ends by SIGTERM");
	ok(WIFSIGNALED(c.end.status) && WTERMSIG(c.end.status) == SIGTERM, "by that signal");
	ok(run_until(&c, grandchild_is_gone), "and the grandchild that ignores it is killed");
	cli_child_free(&c);
	start_shell(&c, &plain, STUBBORN "read -r x; exit 0", "");
	c.input_ends = false;
	ok(run_until(&c, has_said_something), "a grandchild of a leader that ends by itself");
	cli_child_end_input(&c);
	ok(run_until(&c, cli_child_step), "the leader has gone");
	is_int(c.end.status, 0, "with status 0");
	ok(run_until(&c, grandchild_is_gone), "its grandchild is killed");
	cli_child_free(&c);
}

static void
test_stubborn(void)
{
	cli_child c;

	start_shell(&c, &plain, "trap '' TERM; echo $$; while :; do sleep 100; done", "");
	ok(run_until(&c, has_said_something), "a command that ignores SIGTERM");
	cli_child_kill(&c, SIGTERM, 10);
	ok(cli_child_due_ms(&c) > 0, "something is due");
	ok(run_until(&c, cli_child_step), "is killed later");
	is_int(WTERMSIG(c.end.status), SIGKILL, "by SIGKILL");
	cli_child_free(&c);
}

static bool
is_stopped(cli_child *c)
{
	siginfo_t info = {.si_pid = 0};

	return waitid(P_PID, (id_t) c->pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
		   info.si_pid == c->pid;
}

static void
test_stopped(void)
{
	cli_child c;

	start_shell(&c, &plain, "kill -STOP $$; echo not reached", "");
	ok(run_until(&c, is_stopped), "a command that is stopped");
	cli_child_kill(&c, SIGTERM, LIMIT_MS);
	ok(run_until(&c, cli_child_step), "sees SIGTERM");
	is_int(WTERMSIG(c.end.status), SIGTERM, "and ends by it");
	cli_child_free(&c);
}

static void
test_escaped(void)
{
	cli_child c;

	/* It has left the group and holds the pipes open. */
	start_shell(&c, &plain,
				"setsid sh -c 'echo $$; exec sleep 1000' & read -r x; while ! grep -q sleep "
				"/proc/$!/comm; do :; done",
				"");
	ok(run_until(&c, cli_child_step), "pipes that are held open are not waited for");
	ok(is_alive(&c), "who made a session of its own escapes");
	(void) kill(atoi(c.output.data), SIGKILL);
	cli_child_free(&c);
}

static void
test_free(void)
{
	cli_child c;

	start_shell(&c, &plain, "echo $$; exec sleep 1000", "");
	ok(run_until(&c, has_said_something), "a command that runs");
	cli_child_free(&c);
	ok(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "is killed and reaped when it is freed");
}

static void
test_surroundings(void)
{
	cli_surroundings s = plain;
	cli_child c;

	s.directory = "/";
	s.nice = 1;
	s.limits[0] = (cli_limit){RLIMIT_CORE, 0};
	s.limits[1] = (cli_limit){RLIMIT_NOFILE, 37};
	s.nlimits = 2;
	s.with_reply = false;
	start_shell(&c, &s, "pwd; ulimit -n; ls /proc/$$/fd | tr '\\n' ' '", "");
	ok(run_until(&c, cli_child_step), "with surroundings of its own");
	ok(strncmp(c.output.data, "/\n37\n0 1 2 ", 11) == 0, "directory, limits, descriptors");
	cli_child_free(&c);
}

int
main(void)
{
	(void) signal(SIGPIPE, SIG_IGN);
	test_talk();
	test_much();
	test_cut();
	test_no_start();
	test_grandchild();
	test_stubborn();
	test_stopped();
	test_escaped();
	test_free();
	test_surroundings();
	return done();
}

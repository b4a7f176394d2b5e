/*
 * child.c
 *		A command as a process group of its own, with pipes; knows nothing of tasks.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/child.h"
#include "core/clock.h"

#define FIRST_FREE    10   /* above the descriptors of a command */
#define KILL_AGAIN_MS 1000 /* between two SIGKILLs */
#define LINGER_MS     1000 /* how long pipes are read after the end */
#define MAX_ERRORS    8192 /* of a line of standard error; longer ones are split */
#define INPUT_LIMIT   INT_MAX
#define CHUNK         65536
#define MAX_CHUNKS    16 /* of one pipe in a turn, so that no command keeps the others waiting */

/* ---- in the child, between fork and exec -------------------------------------- */

/* The ends of the command; -1: it has none. */
typedef struct Ends
{
	int fds[CHILD_NFDS];
	int exec_error; /* the write end */
} Ends;

static void
reset_signals(void)
{
	sigset_t none;
	int number;

	for (number = 1; number < NSIG; number++)
		(void) signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Places the ends as the descriptors 0 to 3; no other one survives exec. */
static bool
place_descriptors(const Ends *ends)
{
	int moved[CHILD_NFDS];
	int i;

	for (i = 0; i < CHILD_NFDS; i++)
	{
		moved[i] = ends->fds[i] < 0 ? -1 : fcntl(ends->fds[i], F_DUPFD_CLOEXEC, FIRST_FREE);
		if (ends->fds[i] >= 0 && moved[i] < 0)
			return false;
	}
	for (i = 0; i < CHILD_NFDS; i++)
	{
		if (moved[i] >= 0 && dup2(moved[i], i) < 0)
			return false;
		if (moved[i] < 0 && i == CHILD_REPLY)
			(void) fcntl(i, F_SETFD, FD_CLOEXEC);
	}
	(void) close_range(CHILD_REPLY + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	return true;
}

static bool
limit_itself(const cli_surroundings *s)
{
	int i;

	for (i = 0; i < s->nlimits; i++)
	{
		struct rlimit limit = {s->limits[i].value, s->limits[i].value};

		if (setrlimit(s->limits[i].resource, &limit) != 0)
			return false;
	}
	errno = 0;
	if (s->nice != 0 && nice(s->nice) == -1 && errno != 0)
		return false;
	return !s->has_user ||
		   (initgroups(s->user, s->gid) == 0 && setgid(s->gid) == 0 && setuid(s->uid) == 0);
}

/* Does not return. */
static void
become_command(const cli_surroundings *s, const Ends *ends, pid_t parent, char **arguments,
			   char **environment)
{
	int error;
	int report = ends->exec_error;

	(void) setpgid(0, 0);
	reset_signals();
	/* The report must not be where a descriptor of the command goes. */
	if (report < FIRST_FREE)
		report = fcntl(report, F_DUPFD_CLOEXEC, FIRST_FREE);
	/* A change of user would forget the signal, so it comes after that. */
	if (place_descriptors(ends) && limit_itself(s) && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
		(s->directory == NULL || chdir(s->directory) == 0))
	{
		if (getppid() != parent)
			_exit(1);
		execvpe(arguments[0], arguments, environment);
	}
	error = errno;
	(void) !write(report, &error, sizeof(error));
	_exit(127);
}

/* ---- starting ------------------------------------------------------------------ */

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
close_all(int *fds)
{
	int i;

	for (i = 0; i < CHILD_NFDS; i++)
		close_fd(&fds[i]);
}

/* Makes the pipe of a descriptor; ours is non-blocking. */
static bool
make_pipe(int which, int *ours, int *theirs)
{
	int ends[2];
	int mine = which == CHILD_IN ? 1 : 0;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	*ours = ends[mine];
	*theirs = ends[1 - mine];
	return fcntl(*ours, F_SETFL, O_NONBLOCK) == 0;
}

static bool
make_pipes(cli_child *c, Ends *ends)
{
	int i;

	for (i = 0; i < CHILD_NFDS; i++)
	{
		if (i == CHILD_REPLY && !c->surroundings->with_reply)
			continue;
		if (i == CHILD_OUT && c->surroundings->own_output)
			ends->fds[i] = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, FIRST_FREE);
		else if (!make_pipe(i, &c->fds[i], &ends->fds[i]))
			return false;
	}
	return true;
}

/* The errno of the child if it could not execute the command; 0: it did. */
static int
exec_error(int fd)
{
	int error = 0;
	ssize_t got;

	do
		got = read(fd, &error, sizeof(error));
	while (got < 0 && errno == EINTR);
	return got == (ssize_t) sizeof(error) ? error : 0;
}

/* Forks with all signals blocked, so that no handler of ours runs in the child. */
static int
fork_command(cli_child *c, Ends *ends, char **arguments, char **environment)
{
	pid_t parent = getpid();
	sigset_t all;
	sigset_t before;
	int failed;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	c->pid = fork();
	if (c->pid == 0)
		become_command(c->surroundings, ends, parent, arguments, environment);
	failed = c->pid < 0 ? errno : 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	/* The child does it as well, whichever comes first. */
	if (c->pid > 0)
		(void) setpgid(c->pid, c->pid);
	return failed;
}

static int
start_process(cli_child *c, Ends *ends, char **arguments, char **environment)
{
	int report[2];
	int error;

	if (!make_pipes(c, ends) || pipe2(report, O_CLOEXEC) != 0)
		return errno;
	ends->exec_error = report[1];
	error = fork_command(c, ends, arguments, environment);
	close(report[1]);
	if (error == 0)
	{
		error = exec_error(report[0]);
		if (error != 0)
			(void) waitpid(c->pid, NULL, 0);
	}
	close(report[0]);
	return error;
}

int
cli_child_start(cli_child *c, const cli_surroundings *surroundings, char **arguments,
				char **environment)
{
	Ends ends = {{-1, -1, -1, -1}, -1};
	int error;

	*c = (cli_child){.surroundings = surroundings, .fds = {-1, -1, -1, -1}};
	error = start_process(c, &ends, arguments, environment);
	close_all(ends.fds);
	if (error != 0)
	{
		close_all(c->fds);
		return error;
	}
	c->started_ms = tq_clock_ms();
	tq_buffer_init(&c->input, INPUT_LIMIT);
	tq_buffer_init(&c->output, surroundings->max_output);
	tq_buffer_init(&c->tail, 2 * surroundings->max_tail);
	cli_lines_init(&c->lines, surroundings->max_line);
	cli_lines_init(&c->errors, MAX_ERRORS);
	return 0;
}

/* ---- writing and reading --------------------------------------------------------- */

bool
cli_child_write(cli_child *c, const char *bytes, size_t len)
{
	if (c->written > 0 && c->written == c->input.len)
	{
		tq_buffer_reset(&c->input);
		c->written = 0;
	}
	return tq_buffer_append(&c->input, bytes, len);
}

void
cli_child_end_input(cli_child *c)
{
	c->input_ends = true;
}

static bool
would_block(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* A command that does not read is fine. */
static void
write_input(cli_child *c)
{
	while (c->fds[CHILD_IN] >= 0 && c->written < c->input.len)
	{
		ssize_t n = write(c->fds[CHILD_IN], c->input.data + c->written, c->input.len - c->written);

		if (n < 0 && would_block())
			return;
		if (n < 0)
			close_fd(&c->fds[CHILD_IN]);
		else
			c->written += (size_t) n;
	}
	if (c->input_ends)
		close_fd(&c->fds[CHILD_IN]);
}

/* Keeps the last bytes; the buffer has room for twice as many, so that few have to be moved. */
static void
keep_tail(cli_child *c, const char *bytes, size_t len)
{
	size_t max = c->surroundings->max_tail;
	size_t keep = c->tail.len;

	if (max == 0)
		return;
	if (len > max)
	{
		bytes += len - max;
		len = max;
	}
	if (keep + len > 2 * max)
	{
		keep = max - len;
		memmove(c->tail.data, c->tail.data + c->tail.len - keep, keep);
		c->tail.len = keep;
	}
	tq_buffer_append(&c->tail, bytes, len);
}

cli_output
cli_child_tail(const cli_child *c)
{
	size_t max = c->surroundings->max_tail;
	size_t len = c->tail.len < max ? c->tail.len : max;

	return (cli_output){c->tail.len > 0 ? c->tail.data + c->tail.len - len : "", len, false};
}

/* Lines that do not fit are noted; of other output the rest is dropped then. */
static void
take_bytes(cli_child *c, int which, const char *bytes, size_t len)
{
	if (which == CHILD_ERROR)
	{
		keep_tail(c, bytes, len);
		(void) cli_lines_add(&c->errors, bytes, len);
	}
	else if (which == CHILD_OUT && !c->surroundings->with_lines)
		(void) tq_buffer_append(&c->output, bytes, len);
	else if (!cli_lines_add(&c->lines, bytes, len))
		c->lines_too_long = true;
}

/* How much can be taken at a time: lines are taken out between two reads. */
static size_t
room_for(const cli_child *c, int which)
{
	if (which == CHILD_ERROR)
		return MAX_ERRORS - (c->errors.bytes.len - c->errors.begin);
	return CHUNK;
}

static void
read_pipe(cli_child *c, int which)
{
	char bytes[CHUNK];
	int i;

	for (i = 0; c->fds[which] >= 0 && i < MAX_CHUNKS; i++)
	{
		size_t room = room_for(c, which);
		ssize_t n;

		if (room == 0)
			return;
		n = read(c->fds[which], bytes, room < CHUNK ? room : CHUNK);
		if (n < 0 && would_block())
			return;
		if (n > 0)
			take_bytes(c, which, bytes, (size_t) n);
		else
			close_fd(&c->fds[which]);
		if (which != CHILD_OUT || c->surroundings->with_lines)
			return;
	}
}

void
cli_child_transfer(cli_child *c)
{
	write_input(c);
	read_pipe(c, CHILD_OUT);
	read_pipe(c, CHILD_ERROR);
	read_pipe(c, CHILD_REPLY);
}

int
cli_child_poll(const cli_child *c, struct pollfd *fds)
{
	int n = 0;
	int i;

	for (i = 0; i < CHILD_NFDS; i++)
	{
		bool idle = i == CHILD_IN && c->written == c->input.len && !c->input_ends;

		if (c->fds[i] >= 0 && !idle)
			fds[n++] = (struct pollfd){c->fds[i], i == CHILD_IN ? POLLOUT : POLLIN, 0};
	}
	return n;
}

/* ---- the end --------------------------------------------------------------------- */

static void
kill_group(const cli_child *c, int number)
{
	(void) kill(-c->pid, number);
}

/* A stopped process would not see the signal otherwise. */
void
cli_child_kill(cli_child *c, int number, int64_t kill_after_ms)
{
	if (c->pid == 0)
		return;
	kill_group(c, number);
	kill_group(c, SIGCONT);
	if (c->kill_at_ms == 0)
		c->kill_at_ms = tq_clock_ms() + kill_after_ms;
}

/* Whether the process has ended; it is not reaped. */
static bool
has_ended(const cli_child *c)
{
	siginfo_t info = {.si_pid = 0};

	return waitid(P_PID, (id_t) c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		   info.si_pid == c->pid;
}

/* What is left of its group is killed before its number can be given to others. */
static void
reap(cli_child *c)
{
	kill_group(c, SIGKILL);
	while (wait4(c->pid, &c->end.status, 0, &c->end.usage) < 0 && errno == EINTR)
		;
	c->end.ms = tq_clock_ms() - c->started_ms;
	c->pid = 0;
	close_fd(&c->fds[CHILD_IN]);
	c->close_at_ms = tq_clock_ms() + LINGER_MS;
}

static bool
pipes_are_open(const cli_child *c)
{
	return c->fds[CHILD_OUT] >= 0 || c->fds[CHILD_ERROR] >= 0 || c->fds[CHILD_REPLY] >= 0;
}

bool
cli_child_step(cli_child *c)
{
	int64_t now = tq_clock_ms();

	if (c->pid != 0 && has_ended(c))
	{
		/* What it said before its end, before those it left behind say more. */
		cli_child_transfer(c);
		reap(c);
	}
	if (c->pid != 0 && c->kill_at_ms != 0 && now >= c->kill_at_ms)
	{
		kill_group(c, SIGKILL);
		c->kill_at_ms = now + KILL_AGAIN_MS;
	}
	if (c->pid != 0)
		return false;
	if (now >= c->close_at_ms)
		close_all(c->fds);
	return !pipes_are_open(c);
}

int64_t
cli_child_due_ms(const cli_child *c)
{
	if (c->pid == 0)
		return c->close_at_ms;
	return c->kill_at_ms != 0 ? c->kill_at_ms : -1;
}

void
cli_child_free(cli_child *c)
{
	if (c->pid > 0)
		reap(c);
	close_all(c->fds);
	tq_buffer_free(&c->input);
	tq_buffer_free(&c->output);
	tq_buffer_free(&c->tail);
	cli_lines_free(&c->lines);
	cli_lines_free(&c->errors);
}

/*
 * daemon.c
 *		A process that goes on in the background, with its number in a file.
 *
 * The file is made before the program leaves the foreground, so that what is wrong with it is seen
 * there; and the program that was called ends when the number is in it, so that others can rely on
 * it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/daemon.h"
#include "cli/report.h"

/* Refuses a file whose process is alive, and removes one that is left of an earlier process. */
static void
remove_stale(const char *pid_file)
{
	FILE *file = fopen(pid_file, "re");
	int pid = 0;

	if (file == NULL)
		return;
	if (fscanf(file, "%d", &pid) != 1)
		pid = 0;
	fclose(file);
	if (pid > 0 && (kill(pid, 0) == 0 || errno == EPERM))
		cli_fail(EXIT_REFUSED, NULL, "%s: process %d is running", pid_file, pid);
	(void) unlink(pid_file);
}

/* Two programs that start at the same time do not both get it. */
static int
create_file(const char *pid_file)
{
	int fd;

	remove_stale(pid_file);
	fd = open(pid_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			  S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
	if (fd < 0)
		cli_fail(EXIT_REFUSED, NULL, "cannot write %s: %s", pid_file, strerror(errno));
	return fd;
}

/* Only the child returns.  The parent ends when the last of its descendants closes the pipe. */
static void
leave_foreground(const int *done)
{
	char byte;
	pid_t child = fork();

	if (child < 0)
		cli_fail(EXIT_REFUSED, NULL, "cannot start a process: %s", strerror(errno));
	if (child > 0)
	{
		close(done[1]);
		while (read(done[0], &byte, 1) < 0 && errno == EINTR)
			;
		_exit(EXIT_DONE);
	}
	close(done[0]);
	(void) setsid();
	/* Not the leader of a session, so that it never gets a terminal again. */
	if (fork() != 0)
		_exit(EXIT_DONE);
}

static void
use_dev_null(void)
{
	int fd = open("/dev/null", O_RDWR);
	int i;

	for (i = STDIN_FILENO; fd >= 0 && i <= STDERR_FILENO; i++)
		(void) dup2(fd, i);
	if (fd > STDERR_FILENO)
		close(fd);
}

void
cli_daemon_start(const char *pid_file)
{
	int fd = create_file(pid_file);
	int done[2];

	if (pipe2(done, O_CLOEXEC) != 0)
		cli_fail(EXIT_REFUSED, NULL, "cannot start a process: %s", strerror(errno));
	fflush(NULL);
	leave_foreground(done);
	use_dev_null();
	(void) umask(S_IWGRP | S_IWOTH);
	(void) dprintf(fd, "%d\n", (int) getpid());
	close(fd);
	close(done[1]);
}

void
cli_daemon_end(const char *pid_file)
{
	(void) unlink(pid_file);
}

/*
 * supervisor.c
 *		What a service tells systemd, as sd_notify() does: a datagram, without the library.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/supervisor.h"

void
tq_supervisor_tell(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t size;
	int fd;

	if (path == NULL || (*path != '/' && *path != '@') || strlen(path) >= sizeof(address.sun_path))
		return;
	strcpy(address.sun_path, path);
	/* A name that begins with @ is one without a file. */
	if (*path == '@')
		address.sun_path[0] = '\0';
	size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(path));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	(void) sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *) &address, size);
	close(fd);
}

/* A third of what the supervisor waits for, so that one may be late. */
int64_t
tq_supervisor_watchdog_ms(void)
{
	const char *us = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");

	if (us == NULL || atoll(us) <= 0 || (pid != NULL && atol(pid) != (long) getpid()))
		return -1;
	return atoll(us) / 3000 > 0 ? atoll(us) / 3000 : 1;
}

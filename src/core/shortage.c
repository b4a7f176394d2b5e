/*
 * shortage.c
 *		What this machine can lack for a request: descriptors, memory, local ports.
 */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/shortage.h"

const char *
tq_shortage_text(int error)
{
	switch (error)
	{
		case EMFILE:
			return "the limit of open files of the process is reached";
		case ENFILE:
			return "the limit of open files of the machine is reached";
		case ENOBUFS:
		case ENOMEM:
			return "out of memory";
		case ENOSPC:
			return "the limit of watched descriptors is reached";
		case EADDRNOTAVAIL:
			return "no local port is free";
		default:
			return NULL;
	}
}

int
tq_shortage_of(int error)
{
	return tq_shortage_text(error) != NULL ? error : 0;
}

int
tq_shortage_of_descriptors(void)
{
	int fd = eventfd(0, EFD_CLOEXEC); /* costs less than a socket */

	if (fd < 0)
		return tq_shortage_of(errno);
	close(fd);
	return 0;
}

/*
 * A datagram socket needs a local address for this destination as well, but none of the ports of
 * TCP.  Nothing is sent.
 */
bool
tq_shortage_of_ports(const struct sockaddr *addr, size_t len)
{
	int fd = socket(addr->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool reachable;

	if (fd < 0)
		return true;
	reachable = connect(fd, addr, (socklen_t) len) == 0;
	close(fd);
	return reachable;
}

int
tq_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX)
		return INT_MAX;
	return (int) limit.rlim_cur;
}

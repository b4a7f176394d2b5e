/*
 * listen.c
 *		The sockets on which the gateway and receivers listen.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/report.h"
#include "cli/serve/http.h"
#include "cli/serve/listen.h"

#define FIRST_INHERITED 3
#define BACKLOG         511
#define LOOPBACK        "127.0.0.1"

static char *files[HTTP_MAX_SOCKETS];
static int nfiles;

/* ---- what kind of socket it is --------------------------------------------------- */

static bool
is_loopback(const struct sockaddr *address)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *) address;

	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr) >> 24 == 127;
	return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

static void
add_socket(listen_sockets *s, int fd)
{
	struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
	socklen_t size = sizeof(address);

	if (s->n == HTTP_MAX_SOCKETS)
		cli_usage("there are more than %d addresses to listen on", HTTP_MAX_SOCKETS);
	if (s->n == 0)
		s->all_local = s->all_files = true;
	(void) getsockname(fd, (struct sockaddr *) &address, &size);
	(void) fcntl(fd, F_SETFD, FD_CLOEXEC);
	(void) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (address.ss_family != AF_UNIX)
		s->all_files = false;
	if (address.ss_family != AF_UNIX && !is_loopback((struct sockaddr *) &address))
		s->all_local = false;
	s->fds[s->n++] = fd;
}

/* Those that a supervisor hands over. */
static void
take_inherited(listen_sockets *s)
{
	const char *pid = getenv("LISTEN_PID");
	const char *count = getenv("LISTEN_FDS");
	int n = count != NULL ? atoi(count) : 0;
	int i;

	if (pid == NULL || atol(pid) != (long) getpid())
		return;
	for (i = 0; i < n; i++)
		add_socket(s, FIRST_INHERITED + i);
	(void) unsetenv("LISTEN_PID");
	(void) unsetenv("LISTEN_FDS");
}

/* ---- making them ----------------------------------------------------------------- */

/* A file that is left of a gateway that was killed; not one on which somebody listens. */
static void
remove_stale_file(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *) address, sizeof(*address)) != 0 &&
		errno == ECONNREFUSED)
		(void) unlink(address->sun_path);
	if (fd >= 0)
		close(fd);
}

static void
open_file(listen_sockets *s, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mask;
	int fd;
	bool done;

	if (strlen(path) >= sizeof(address.sun_path))
		cli_usage("--listen: the path %s is too long", path);
	strcpy(address.sun_path, path);
	remove_stale_file(&address);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Its group may connect: that of the proxy. */
	mask = umask(S_IXUSR | S_IXGRP | S_IRWXO);
	done = fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof(address)) == 0 &&
		   listen(fd, BACKLOG) == 0;
	(void) umask(mask);
	if (!done)
		cli_fail(EXIT_REFUSED, NULL, "cannot listen on %s: %s", path, strerror(errno));
	files[nfiles++] = cli_copy(path);
	add_socket(s, fd);
}

static void
open_address(listen_sockets *s, const struct addrinfo *a, const char *address)
{
	int yes = 1;
	int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);

	/* Both families have a socket of their own. */
	if (fd >= 0 && a->ai_family == AF_INET6)
		(void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
		bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)
		cli_fail(EXIT_REFUSED, NULL, "cannot listen on %s: %s", address, strerror(errno));
	add_socket(s, fd);
}

static void
open_given(listen_sockets *s, const char *address)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *all = NULL;
	const struct addrinfo *a;
	char *host = cli_copy(address);
	char *port = strrchr(host, ':');
	int error;

	if (*address == '/')
	{
		open_file(s, address);
		return;
	}
	if (port != NULL)
		*port++ = '\0';
	else
	{
		port = host;
		host = LOOPBACK;
	}
	if (*host == '[' && host[strlen(host) - 1] == ']')
	{
		host[strlen(host) - 1] = '\0';
		host++;
	}
	if (*port == '\0' || strspn(port, "0123456789") != strlen(port))
		cli_usage("--listen: \"%s\" is not a port, HOST:PORT or a path", address);
	error = getaddrinfo(*host != '\0' ? host : NULL, port, &hints, &all);
	if (error != 0)
		cli_fail(EXIT_REFUSED, NULL, "cannot listen on %s: %s", address, gai_strerror(error));
	for (a = all; a != NULL; a = a->ai_next)
		open_address(s, a, address);
	freeaddrinfo(all);
}

listen_sockets
listen_open(const cli_call *call, const char *fallback)
{
	listen_sockets s = {.n = 0};
	int i;

	take_inherited(&s);
	for (i = 0; i < call->ngiven; i++)
		if (strcmp(call->given[i].option->name, "listen") == 0)
			open_given(&s, call->given[i].value);
	if (s.n == 0 && fallback != NULL)
		open_given(&s, fallback);
	return s;
}

void
listen_remove_files(void)
{
	while (nfiles > 0)
		(void) unlink(files[--nfiles]);
}

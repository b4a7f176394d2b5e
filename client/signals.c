/*
 * signals.c
 *		The signals of a program that waits in one place.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "client/signals.h"

#define MAX_SIGNAL 64

static volatile sig_atomic_t stops = 0;
static volatile sig_atomic_t came[MAX_SIGNAL + 1];
static int max_stops;
static int signal_pipe[2] = {-1, -1};

static void
on_stop(int number)
{
	int saved = errno;

	if (stops >= max_stops)
		_exit(128 + number);
	stops++;
	(void) !write(signal_pipe[1], "", 1);
	errno = saved;
}

static void
on_signal(int number)
{
	int saved = errno;

	came[number] = 1;
	(void) !write(signal_pipe[1], "", 1);
	errno = saved;
}

static bool
handle(int number, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_NOCLDSTOP | SA_RESTART};

	return sigaction(number, &action, NULL) == 0;
}

bool
tq_signals_take(int patience)
{
	max_stops = patience;
	return pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) == 0 && handle(SIGTERM, on_stop) &&
		   handle(SIGINT, on_stop) && handle(SIGPIPE, SIG_IGN);
}

bool
tq_signals_add(int number)
{
	return number <= MAX_SIGNAL && handle(number, on_signal);
}

int
tq_signals_fd(void)
{
	return signal_pipe[0];
}

void
tq_signals_clear(void)
{
	char bytes[256];

	while (read(signal_pipe[0], bytes, sizeof(bytes)) > 0)
		;
}

int
tq_signals_stops(void)
{
	return stops;
}

bool
tq_signals_came(int number)
{
	bool result = came[number] != 0;

	came[number] = 0;
	return result;
}

/*
 * clock_watch.c
 *		Tells when the system clock is set.
 *
 * Schedules, delays and leases end by the system clock, and a sleep by the monotonic one.  Without
 * such a notice a process has to wake up every few seconds to compare the two.
 *
 * Linux has timers that are cancelled when the clock is set.  This one would ring in a year, and
 * begins anew then.
 */
#include "postgres.h"

#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/timerfd.h>
#endif

#include "process/clock_watch.h"

#ifdef TFD_TIMER_CANCEL_ON_SET

#define YEAR_S (365 * 24 * 60 * 60)

static int timer = -1;

/* Also makes it unreadable. */
static bool
start_timer(void)
{
	struct itimerspec later = {.it_value = {.tv_sec = time(NULL) + YEAR_S}};

	return timerfd_settime(timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &later, NULL) == 0;
}

int
clock_watch(void)
{
	static bool tried = false;

	if (tried)
		return timer;
	tried = true;
	timer = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (timer >= 0 && !start_timer())
	{
		close(timer);
		timer = -1;
	}
	return timer;
}

void
clock_watch_again(void)
{
	(void) start_timer();
}

#else

int
clock_watch(void)
{
	return -1;
}

void
clock_watch_again(void)
{
}

#endif

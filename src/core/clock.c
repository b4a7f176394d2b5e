/*
 * clock.c
 *		The monotonic clock.
 */
#include "core/clock.h"

#include <time.h>

int64_t
tq_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
tq_clock_us(void)
{
	return tq_clock_ns() / 1000;
}

int64_t
tq_clock_ms(void)
{
	return tq_clock_us() / 1000;
}

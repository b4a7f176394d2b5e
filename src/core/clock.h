/*
 * clock.h
 *		The monotonic clock: one for the server's processes, the programs and the core.
 *
 * It is never set back and counts from an arbitrary moment, so only differences
 * of two readings mean anything, and only within one machine.
 */
#ifndef TQ_CLOCK_H
#define TQ_CLOCK_H

#include <stdint.h>

extern int64_t tq_clock_ms(void);
extern int64_t tq_clock_us(void);
extern int64_t tq_clock_ns(void);

/* Of two moments, or of two durations. */
static inline int64_t
tq_sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t
tq_later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

#endif

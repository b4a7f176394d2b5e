/*
 * rate.h
 *		How many may start in a time: pure functions of (state, interval, now).
 *
 * The state is one number, the moment at which the next start would be due if all
 * starts kept to the rate exactly (the generic cell rate algorithm).  Starts may
 * come a little early: as many at once as are due within TQ_RATE_BURST_US.
 *
 * Times are microseconds on any one clock that is positive.  The clock may be set
 * back: from the first look after that nothing waits longer than if the burst had
 * just been used up.
 */
#ifndef TQ_RATE_H
#define TQ_RATE_H

#include <stdint.h>

#define TQ_RATE_BURST_US INT64_C(100000)

/* All zero: nothing has started yet. */
typedef struct tq_rate
{
	int64_t next_us;
} tq_rate;

/* The time between two starts: from a microsecond to a day. */
extern int64_t tq_rate_interval_us(double per_second);

/* The moment from which on one may start; at most now if it may start now. */
extern int64_t tq_rate_opens(tq_rate *rate, int64_t interval_us, int64_t now_us);

/* Starts as many as may start now, up to max, and returns their number. */
extern int tq_rate_take(tq_rate *rate, int64_t interval_us, int max, int64_t now_us);

/* Takes back n starts that did not happen. */
extern void tq_rate_give_back(tq_rate *rate, int64_t interval_us, int n);

#endif

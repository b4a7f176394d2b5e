/*
 * rate.c
 *		How many may start in a time: pure functions of (state, interval, now).
 */
#include "core/clock.h"
#include "core/rate.h"

#define US_PER_SECOND   1000000
#define MAX_INTERVAL_US (INT64_C(86400) * US_PER_SECOND)

int64_t
tq_rate_interval_us(double per_second)
{
	double interval = US_PER_SECOND / per_second;

	if (!(interval < (double) MAX_INTERVAL_US))
		return MAX_INTERVAL_US;
	return tq_later((int64_t) interval, 1);
}

/*
 * A time in which nothing started earns no more than the burst, and a clock that
 * was set back costs no more than it.
 */
static void
mind_clock(tq_rate *rate, int64_t interval_us, int64_t now_us)
{
	rate->next_us = tq_later(rate->next_us, now_us);
	rate->next_us = tq_sooner(rate->next_us, now_us + TQ_RATE_BURST_US + interval_us);
}

int64_t
tq_rate_opens(tq_rate *rate, int64_t interval_us, int64_t now_us)
{
	mind_clock(rate, interval_us, now_us);
	return rate->next_us - tq_later(TQ_RATE_BURST_US - interval_us, 0);
}

int
tq_rate_take(tq_rate *rate, int64_t interval_us, int max, int64_t now_us)
{
	int64_t opens = tq_rate_opens(rate, interval_us, now_us);
	int64_t room = opens > now_us ? 0 : 1 + (now_us - opens) / interval_us;
	int64_t n = tq_sooner(room, max);

	rate->next_us += n * interval_us;
	return (int) n;
}

void
tq_rate_give_back(tq_rate *rate, int64_t interval_us, int n)
{
	rate->next_us -= n * interval_us;
}

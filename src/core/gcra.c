/*
 * gcra.c
 *		Limit of starts in a time: pure functions of (state, limit, now).
 */
#include "core/clock.h"
#include "core/gcra.h"

#include <math.h>

/* So that no sum of a moment and a few such times overflows: about 36 years. */
#define MAX_NS  (INT64_MAX / 8)
#define SLOW_NS INT64_C(10000000000)

static int64_t
bounded(double ns)
{
	if (!(ns < (double) MAX_NS))
		return MAX_NS;
	return ns < 1 ? 1 : (int64_t) ns;
}

/* The interval is rounded up: no time ever has more starts than the rate says. */
tq_gcra_limit
tq_gcra_limit_of(double rate, int64_t per_us, int burst)
{
	tq_gcra_limit limit = {0, 0};

	if (!(rate > 0))
		return limit;
	limit.interval_ns = bounded(ceil((double) per_us * 1000 / rate));
	limit.burst_ns = burst > 1 ? bounded((double) limit.interval_ns * (burst - 1)) : 0;
	return limit;
}

int64_t
tq_gcra_full(void)
{
	return 0;
}

int64_t
tq_gcra_empty(const tq_gcra_limit *limit, int64_t now_ns)
{
	return now_ns + limit->burst_ns + limit->interval_ns;
}

bool
tq_gcra_is_slow(const tq_gcra_limit *limit)
{
	return limit->burst_ns + limit->interval_ns > SLOW_NS;
}

bool
tq_gcra_is_full(int64_t tat_ns, int64_t now_ns)
{
	return tat_ns <= now_ns;
}

int64_t
tq_gcra_opens(int64_t tat_ns, const tq_gcra_limit *limit)
{
	return tat_ns - limit->burst_ns;
}

int
tq_gcra_room(int64_t tat_ns, const tq_gcra_limit *limit, int max, int64_t now_ns)
{
	int64_t room;

	if (limit->interval_ns == 0)
		return max;
	if (tq_gcra_opens(tat_ns, limit) > now_ns)
		return 0;
	room = 1 + (now_ns + limit->burst_ns - tq_later(tat_ns, now_ns)) / limit->interval_ns;
	return (int) tq_sooner(room, max);
}

int64_t
tq_gcra_take(int64_t tat_ns, const tq_gcra_limit *limit, int n, int64_t now_ns)
{
	if (n == 0 || limit->interval_ns == 0)
		return tat_ns;
	return tq_later(tat_ns, now_ns) + n * limit->interval_ns;
}

int64_t
tq_gcra_give_back(int64_t tat_ns, const tq_gcra_limit *limit, int n)
{
	return tat_ns - n * limit->interval_ns;
}

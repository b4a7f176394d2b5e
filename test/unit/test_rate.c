/*
 * test_rate.c
 *		How many may start in a time.
 */
#include <math.h>

#include "core/rate.h"
#include "unit.h"

#define NOW    INT64_C(800000000000000)
#define SECOND INT64_C(1000000)

static void
test_intervals(void)
{
	is_int(tq_rate_interval_us(1), SECOND, "one a second");
	is_int(tq_rate_interval_us(20), SECOND / 20, "twenty");
	is_int(tq_rate_interval_us(0.001), 1000 * SECOND, "one in a thousand seconds");
	is_int(tq_rate_interval_us(1000000), 1, "a million");
	is_int(tq_rate_interval_us(1e9), 1, "no more than that");
	is_int(tq_rate_interval_us(1e-300), 86400 * SECOND, "no less than one a day");
	is_int(tq_rate_interval_us(0), 86400 * SECOND, "not even 0");
	is_int(tq_rate_interval_us(NAN), 86400 * SECOND, "or what is no number");
}

/* 100 a second: ten at once, then one each 10 ms. */
static void
test_burst(void)
{
	const int64_t one = tq_rate_interval_us(100);
	tq_rate rate = {0};

	ok(tq_rate_opens(&rate, one, NOW) <= NOW, "at first it is open");
	is_int(tq_rate_take(&rate, one, 1000, NOW), 10, "a tenth of a second's worth at once");
	is_int(tq_rate_take(&rate, one, 1000, NOW), 0, "then none");
	is_int(tq_rate_opens(&rate, one, NOW), NOW + one, "until one is due");
	is_int(tq_rate_take(&rate, one, 1000, NOW + one - 1), 0, "not before");
	is_int(tq_rate_take(&rate, one, 1000, NOW + one), 1, "one when it is");
	is_int(tq_rate_take(&rate, one, 1000, NOW + 4 * one), 3, "three after three times as long");
	is_int(tq_rate_take(&rate, one, 1000, NOW + 3600 * SECOND), 10,
		   "an hour without any earns no more than a burst");
}

static void
test_less_than_burst(void)
{
	const int64_t one = tq_rate_interval_us(100);
	tq_rate rate = {0};

	is_int(tq_rate_take(&rate, one, 4, NOW), 4, "as many as are asked for");
	is_int(tq_rate_take(&rate, one, 0, NOW), 0, "none");
	is_int(tq_rate_take(&rate, one, 1000, NOW), 6, "the rest of the burst stays");
	tq_rate_give_back(&rate, one, 2);
	is_int(tq_rate_take(&rate, one, 1000, NOW), 2, "what is given back, too");
}

/* Slower than ten a second there is no burst. */
static void
test_slow(void)
{
	const int64_t one = tq_rate_interval_us(2);
	tq_rate rate = {0};

	is_int(tq_rate_take(&rate, one, 1000, NOW), 1, "one at a time");
	is_int(tq_rate_opens(&rate, one, NOW), NOW + one, "the next when it is due");
	is_int(tq_rate_take(&rate, one, 1000, NOW + one - 1), 0, "not before");
	is_int(tq_rate_take(&rate, one, 1000, NOW + 10 * one), 1, "and never two");
}

/* Over a long time the rate is kept, however the asking is distributed. */
static void
test_average(void)
{
	const int64_t one = tq_rate_interval_us(300);
	tq_rate rate = {0};
	int64_t now = NOW;
	int total = 0;
	uint32_t random = 1;

	while (now < NOW + 100 * SECOND)
	{
		random = random * 1664525u + 1013904223u;
		now += random >> 18;
		total += tq_rate_take(&rate, one, 1000, now);
	}
	ok(total >= 30000 && total <= 30040, "300 a second for 100 s, and a burst (%d)", total);
}

static void
test_clock_set_back(void)
{
	const int64_t one = tq_rate_interval_us(100);
	tq_rate rate = {0};
	int64_t back = NOW - 3600 * SECOND;

	(void) tq_rate_take(&rate, one, 1000, NOW);
	ok(tq_rate_opens(&rate, one, back) <= back + 2 * one, "it opens as if the burst were used up");
	is_int(tq_rate_take(&rate, one, 1000, back), 0, "not at once");
	is_int(tq_rate_take(&rate, one, 1000, back + 2 * one), 1, "but soon");
	is_int(tq_rate_take(&rate, one, 1000, back + 3 * one), 1, "and then goes on");
}

int
main(void)
{
	test_intervals();
	test_burst();
	test_less_than_burst();
	test_slow();
	test_average();
	test_clock_set_back();
	return done();
}

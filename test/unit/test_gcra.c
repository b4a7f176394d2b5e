/*
 * test_gcra.c
 *		How many may start in a time.
 */
#include <math.h>
#include <stdlib.h>

#include "core/gcra.h"
#include "unit.h"

#define NOW    INT64_C(800000000000000)
#define MS     INT64_C(1000000)
#define SECOND (1000 * MS)

static void
test_limits(void)
{
	is_int(tq_gcra_limit_of(1, 1000000, 1).interval_ns, SECOND, "one a second");
	is_int(tq_gcra_limit_of(5, 2000000, 1).interval_ns, 400 * MS, "five in two seconds");
	is_int(tq_gcra_limit_of(3, 1000000, 1).interval_ns, 333333334, "never more than three");
	is_int(tq_gcra_limit_of(5, 2000000, 3).burst_ns, 800 * MS, "a burst of three");
	is_int(tq_gcra_limit_of(0, 1000000, 1).interval_ns, 0, "no rate is no limit");
	is_int(tq_gcra_limit_of(NAN, 1000000, 1).interval_ns, 0, "nor what is no number");
	ok(tq_gcra_limit_of(0.001, INT64_C(86400000000), 100000).burst_ns < INT64_MAX / 4,
	   "the slowest rate with the greatest burst does not overflow");
	is_int(tq_gcra_limit_of(1e9, 1, 1).interval_ns, 1, "the least interval");
}

/* Five in two seconds, three of them at once. */
static void
test_burst(void)
{
	const tq_gcra_limit limit = tq_gcra_limit_of(5, 2000000, 3);
	int64_t tat = tq_gcra_full();

	ok(tq_gcra_opens(tat, &limit) <= NOW, "a full bucket is open");
	is_int(tq_gcra_room(tat, &limit, 10, NOW), 3, "the burst at once");
	is_int(tq_gcra_room(tat, &limit, 2, NOW), 2, "no more than were asked for");
	tat = tq_gcra_take(tat, &limit, 3, NOW);
	is_int(tq_gcra_room(tat, &limit, 10, NOW), 0, "then none");
	is_int(tq_gcra_opens(tat, &limit), NOW + 400 * MS, "until one is due");
	is_int(tq_gcra_room(tat, &limit, 10, NOW + 400 * MS - 1), 0, "not before");
	is_int(tq_gcra_room(tat, &limit, 10, NOW + 400 * MS), 1, "one when it is");
	is_int(tq_gcra_room(tat, &limit, 10, NOW + 3600 * SECOND), 3,
		   "a long pause earns no more than the burst");
	tat = tq_gcra_give_back(tat, &limit, 2);
	is_int(tq_gcra_room(tat, &limit, 10, NOW), 2, "what was not used comes back");
	ok(!tq_gcra_is_full(tat, NOW) && tq_gcra_is_full(tat, NOW + 400 * MS), "full, and when");
	tat = tq_gcra_empty(&limit, NOW);
	is_int(tq_gcra_room(tat, &limit, 10, NOW + 400 * MS - 1), 0, "an empty bucket: none at first");
	is_int(tq_gcra_room(tat, &limit, 10, NOW + 400 * MS), 1, "then one");
}

static void
test_no_limit(void)
{
	const tq_gcra_limit none = {0, 0};

	is_int(tq_gcra_room(NOW + SECOND, &none, 100, NOW), 100, "without a limit all may start");
	is_int(tq_gcra_take(5, &none, 3, NOW), 5, "and nothing is remembered");
	ok(!tq_gcra_is_slow(&none), "it is not slow");
}

static void
test_slow(void)
{
	const tq_gcra_limit soon = tq_gcra_limit_of(1, 1000000, 10);
	const tq_gcra_limit late = tq_gcra_limit_of(3, INT64_C(3600000000), 1);

	ok(!tq_gcra_is_slow(&soon), "ten seconds to fill");
	ok(tq_gcra_is_slow(&late), "three an hour");
}

/* Random claims: never more than burst + length / interval starts in any time. */
static void
test_windows(int rate, int per_ms, int burst)
{
	enum
	{
		N = 3000
	};
	static int64_t starts[N];
	const tq_gcra_limit limit = tq_gcra_limit_of(rate, per_ms * 1000, burst);
	int64_t now = NOW;
	int64_t tat = tq_gcra_full();
	bool good = true;
	int n = 0;
	int i;
	int j;

	while (n < N)
	{
		int room;

		now += rand() % (2 * limit.interval_ns);
		room = tq_gcra_room(tat, &limit, 1 + rand() % 10, now);
		tat = tq_gcra_take(tat, &limit, room, now);
		while (room-- > 0 && n < N)
			starts[n++] = now;
	}
	for (i = 0; i < N; i++)
	{
		for (j = i; j < N && j < i + 100; j++)
			good = good &&
				   j - i + 1 <= burst + (starts[j] - starts[i]) / limit.interval_ns;
	}
	ok(good, "%d in %d ms, burst %d: no time has more starts", rate, per_ms, burst);
}

int
main(void)
{
	srand(1);
	test_limits();
	test_burst();
	test_no_limit();
	test_slow();
	test_windows(10, 1000, 1);
	test_windows(10, 1000, 5);
	test_windows(7, 333, 20);
	return done();
}

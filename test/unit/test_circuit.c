/*
 * test_circuit.c
 *		When a receiver that fails is left alone.
 */
#include "core/circuit.h"
#include "unit.h"

#define NOW    INT64_C(800000000000000)
#define SECOND INT64_C(1000000)

static tq_circuit
opened(void)
{
	tq_circuit c = {0};
	int i;

	for (i = 1; i <= TQ_CIRCUIT_FAILURES; i++)
		tq_circuit_note(&c, i, TQ_HEALTH_BAD, NOW);
	return c;
}

/* Sends a probe, which ends like that. */
static void
probe(tq_circuit *c, int64_t request, tq_health health, int64_t now)
{
	is_int(tq_circuit_allow(c, 100, now), 1, "one request probes");
	tq_circuit_reserve(c, 60 * SECOND, now);
	tq_circuit_chosen(c, request, now);
	tq_circuit_note(c, request, health, now);
}

static void
test_closed(void)
{
	tq_circuit c = {0};
	int i;

	is_int(tq_circuit_phase_of(&c, NOW), TQ_CIRCUIT_CLOSED, "closed at first");
	is_int(tq_circuit_allow(&c, 100, NOW), 100, "all may be sent");
	ok(tq_circuit_blocks_until(&c, NOW) <= NOW, "nothing blocks");
	tq_circuit_reserve(&c, SECOND, NOW);
	is_int(tq_circuit_allow(&c, 100, NOW), 100, "without waiting for any");
	tq_circuit_chosen(&c, 1, NOW);
	for (i = 1; i < TQ_CIRCUIT_FAILURES; i++)
		tq_circuit_note(&c, i, TQ_HEALTH_BAD, NOW);
	is_int(tq_circuit_allow(&c, 100, NOW), 100, "nine failures change nothing");
	tq_circuit_note(&c, 17, TQ_HEALTH_UNKNOWN, NOW);
	is_int(c.failures, 9, "nor does what the receiver has no part in");
	tq_circuit_note(&c, 18, TQ_HEALTH_GOOD, NOW);
	tq_circuit_note(&c, 19, TQ_HEALTH_BAD, NOW);
	is_int(c.failures, 1, "an answer makes them count from the beginning");
}

static void
test_open(void)
{
	tq_circuit c = opened();

	is_int(tq_circuit_phase_of(&c, NOW), TQ_CIRCUIT_OPEN, "ten failures open it");
	is_int(tq_circuit_allow(&c, 100, NOW), 0, "nothing may be sent");
	is_int(tq_circuit_blocks_until(&c, NOW), NOW + 5 * SECOND, "for five seconds");
	tq_circuit_note(&c, 50, TQ_HEALTH_BAD, NOW + SECOND);
	is_int(tq_circuit_blocks_until(&c, NOW + SECOND), NOW + 5 * SECOND,
		   "failures of those that were sent before do not count");
	is_int(c.failures, 10, "in no way");
	is_int(tq_circuit_allow(&c, 100, NOW + 5 * SECOND - 1), 0, "not before");
	is_int(tq_circuit_phase_of(&c, NOW + 5 * SECOND), TQ_CIRCUIT_HALF_OPEN, "then it is half-open");
	is_int(tq_circuit_allow(&c, 100, NOW + 5 * SECOND), 1, "one may be sent");
	is_int(tq_circuit_allow(&c, 0, NOW + 5 * SECOND), 0, "if there is one");

	c = opened();
	tq_circuit_note(&c, 50, TQ_HEALTH_GOOD, NOW + SECOND);
	is_int(tq_circuit_allow(&c, 100, NOW + SECOND), 100, "a late answer closes it");
}

static void
test_probe(void)
{
	tq_circuit c = opened();
	int64_t now = NOW + 5 * SECOND;

	tq_circuit_reserve(&c, 60 * SECOND, now);
	is_int(tq_circuit_phase_of(&c, now), TQ_CIRCUIT_HALF_OPEN, "half-open while a probe is chosen");
	is_int(tq_circuit_allow(&c, 100, now), 0, "nothing else may be sent");
	is_int(tq_circuit_blocks_until(&c, now), now + 60 * SECOND, "for as long as it may take");
	tq_circuit_chosen(&c, 0, now);
	is_int(tq_circuit_allow(&c, 100, now), 1, "when none is found another may be sent at once");

	tq_circuit_reserve(&c, 60 * SECOND, now);
	tq_circuit_chosen(&c, 70, now);
	is_int(tq_circuit_allow(&c, 100, now), 0, "while it is under way, too");
	tq_circuit_released(&c, 71, now);
	is_int(tq_circuit_allow(&c, 100, now), 0, "the end of another changes nothing");
	tq_circuit_released(&c, 70, now);
	is_int(tq_circuit_allow(&c, 100, now), 1, "given up, another may probe");

	tq_circuit_reserve(&c, 60 * SECOND, now);
	tq_circuit_chosen(&c, 72, now);
	tq_circuit_note(&c, 72, TQ_HEALTH_UNKNOWN, now + SECOND);
	is_int(tq_circuit_allow(&c, 100, now + SECOND), 1, "likewise when it says nothing");

	tq_circuit_reserve(&c, 60 * SECOND, now + SECOND);
	tq_circuit_chosen(&c, 73, now + SECOND);
	is_int(tq_circuit_allow(&c, 100, now + 61 * SECOND), 1, "or when it is never heard of again");
	tq_circuit_note(&c, 73, TQ_HEALTH_GOOD, now + 62 * SECOND);
	is_int(tq_circuit_phase_of(&c, now), TQ_CIRCUIT_CLOSED, "an answer closes the circuit");
	is_int(c.failures, 0, "and failures count from the beginning");

	c = opened();
	tq_circuit_reserve(&c, 3600 * SECOND, now);
	is_int(tq_circuit_blocks_until(&c, now), now + 300 * SECOND,
		   "no probe is waited for longer than the longest pause");
}

static void
test_pauses(void)
{
	static const int seconds[] = {10, 20, 40, 80, 160, 300, 300};
	tq_circuit c = opened();
	int64_t now = NOW + 5 * SECOND;
	int i;

	for (i = 0; i < 7; i++)
	{
		probe(&c, 100 + i, TQ_HEALTH_BAD, now);
		is_int(tq_circuit_blocks_until(&c, now), now + seconds[i] * SECOND, "pause of %d s",
			   seconds[i]);
		now += seconds[i] * SECOND;
	}
	for (i = 0; i < 200; i++, now += 300 * SECOND)
		probe(&c, 1000 + i, TQ_HEALTH_BAD, now);
	is_int(tq_circuit_blocks_until(&c, now), now, "never longer");
	probe(&c, 2000, TQ_HEALTH_GOOD, now);
	for (i = 1; i <= TQ_CIRCUIT_FAILURES; i++)
		tq_circuit_note(&c, i, TQ_HEALTH_BAD, now);
	is_int(tq_circuit_blocks_until(&c, now), now + 5 * SECOND, "after an answer the first again");
}

static void
test_throttle(void)
{
	tq_circuit c = {0};
	int64_t day = 86400 * SECOND;

	tq_circuit_throttle(&c, 7 * SECOND, NOW);
	is_int(tq_circuit_allow(&c, 100, NOW), 0, "Retry-After: nothing may be sent");
	is_int(tq_circuit_phase_of(&c, NOW), TQ_CIRCUIT_CLOSED, "though the circuit is closed");
	is_int(tq_circuit_blocks_until(&c, NOW), NOW + 7 * SECOND, "for so long");
	tq_circuit_throttle(&c, 2 * SECOND, NOW);
	tq_circuit_throttle(&c, 0, NOW);
	tq_circuit_throttle(&c, -1, NOW);
	is_int(tq_circuit_blocks_until(&c, NOW), NOW + 7 * SECOND, "a shorter one changes nothing");
	tq_circuit_note(&c, 1, TQ_HEALTH_GOOD, NOW);
	is_int(tq_circuit_allow(&c, 100, NOW), 0, "nor does an answer");
	is_int(tq_circuit_allow(&c, 100, NOW + 7 * SECOND), 100, "then all may be");
	tq_circuit_throttle(&c, INT64_MAX, NOW);
	is_int(tq_circuit_blocks_until(&c, NOW), NOW + day, "never longer than a day");

	c = opened();
	tq_circuit_throttle(&c, 7 * SECOND, NOW);
	is_int(tq_circuit_blocks_until(&c, NOW), NOW + 7 * SECOND, "the longer one of both counts");
}

static void
test_clock_set_back(void)
{
	tq_circuit c = opened();
	int64_t back = NOW - 7 * 86400 * SECOND;

	is_int(tq_circuit_allow(&c, 100, back), 0, "an open circuit stays so");
	is_int(tq_circuit_allow(&c, 100, back + 300 * SECOND), 1, "but not beyond the longest pause");
	tq_circuit_throttle(&c, SECOND, NOW);
	is_int(tq_circuit_blocks_until(&c, back), back + 86400 * SECOND, "a Retry-After for a day");
	is_int(tq_circuit_allow(&c, 100, back + 86400 * SECOND), 1, "but not beyond that");
}

int
main(void)
{
	test_closed();
	test_open();
	test_probe();
	test_pauses();
	test_throttle();
	test_clock_set_back();
	return done();
}

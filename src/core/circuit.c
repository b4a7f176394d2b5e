/*
 * circuit.c
 *		Circuit breaker of a failing receiver: pure functions of (state, now).
 */
#include "core/circuit.h"
#include "core/clock.h"

#define BEING_CHOSEN    (-1)
#define MAX_THROTTLE_US (TQ_RETRY_AFTER_MAX_MS * 1000)

/* If the clock was set back: no pause may last longer from now than the longest pause. */
static void
mind_clock(tq_circuit *c, int64_t now_us)
{
	c->open_until_us = tq_sooner(c->open_until_us, now_us + TQ_CIRCUIT_MAX_PAUSE_US);
	c->throttled_until_us = tq_sooner(c->throttled_until_us, now_us + MAX_THROTTLE_US);
}

static bool
is_closed(const tq_circuit *c)
{
	return c->failures < TQ_CIRCUIT_FAILURES;
}

tq_circuit_phase
tq_circuit_phase_of(const tq_circuit *c, int64_t now_us)
{
	if (is_closed(c))
		return TQ_CIRCUIT_CLOSED;
	return c->probe != 0 || c->open_until_us <= now_us ? TQ_CIRCUIT_HALF_OPEN : TQ_CIRCUIT_OPEN;
}

int64_t
tq_circuit_blocks_until(tq_circuit *c, int64_t now_us)
{
	mind_clock(c, now_us);
	return tq_later(c->open_until_us, c->throttled_until_us);
}

int
tq_circuit_allow(tq_circuit *c, int max, int64_t now_us)
{
	if (tq_circuit_blocks_until(c, now_us) > now_us)
		return 0;
	return is_closed(c) || max < 1 ? max : 1;
}

void
tq_circuit_reserve(tq_circuit *c, int64_t probe_us, int64_t now_us)
{
	if (is_closed(c))
		return;
	c->probe = BEING_CHOSEN;
	c->open_until_us = now_us + tq_sooner(probe_us, TQ_CIRCUIT_MAX_PAUSE_US);
}

static void
end_probe(tq_circuit *c, int64_t now_us)
{
	if (c->probe == 0)
		return;
	c->probe = 0;
	c->open_until_us = now_us;
}

void
tq_circuit_chosen(tq_circuit *c, int64_t request, int64_t now_us)
{
	if (c->probe != BEING_CHOSEN)
		return;
	if (request != 0)
		c->probe = request;
	else
		end_probe(c, now_us);
}

void
tq_circuit_released(tq_circuit *c, int64_t request, int64_t now_us)
{
	if (c->probe == request)
		end_probe(c, now_us);
}

static void
note_failure(tq_circuit *c, int64_t request, int64_t now_us)
{
	int64_t pause = TQ_CIRCUIT_FIRST_PAUSE_US;
	int i;

	if (!is_closed(c) && c->probe != request)
		return;
	c->failures++;
	c->probe = 0;
	if (is_closed(c))
		return;
	for (i = 0; i < c->pauses && pause < TQ_CIRCUIT_MAX_PAUSE_US; i++)
		pause *= 2;
	c->pauses++;
	c->open_until_us = now_us + tq_sooner(pause, TQ_CIRCUIT_MAX_PAUSE_US);
}

static void
note_answer(tq_circuit *c)
{
	c->failures = c->pauses = 0;
	c->probe = 0;
	c->open_until_us = 0;
}

void
tq_circuit_note(tq_circuit *c, int64_t request, tq_health health, int64_t now_us)
{
	switch (health)
	{
		case TQ_HEALTH_BAD:
			note_failure(c, request, now_us);
			break;
		case TQ_HEALTH_GOOD:
			note_answer(c);
			break;
		case TQ_HEALTH_UNKNOWN:
			tq_circuit_released(c, request, now_us);
			break;
	}
}

void
tq_circuit_throttle(tq_circuit *c, int64_t retry_after_us, int64_t now_us)
{
	int64_t until = now_us + tq_sooner(retry_after_us, MAX_THROTTLE_US);

	mind_clock(c, now_us);
	if (retry_after_us > 0)
		c->throttled_until_us = tq_later(c->throttled_until_us, until);
}

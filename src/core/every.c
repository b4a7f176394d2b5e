/*
 * every.c
 *		The times of a schedule that repeats after an interval: pure functions.
 */
#include <stddef.h>

#include "core/clock.h"
#include "core/every.h"

/* Ten years, by the calendar and by the clock: that many contain three leap days at most. */
#define MAX_MONTHS 120
#define MAX_DAYS   3653

const char *
tq_every_refusal(const tq_every *every)
{
	int64_t days = every->months * INT64_C(31) + every->days;

	if (every->months < 0 || every->days < 0 || every->us < 0)
		return "must not have a negative part";
	if (days > 0 && every->us > 0)
		return "must not have months or days together with hours, minutes or seconds";
	if (days == 0 && every->us < TQ_SECOND)
		return "must be at least 1 second";
	if (every->months > MAX_MONTHS || every->days > MAX_DAYS ||
		every->months * INT64_C(30) + every->days > MAX_DAYS ||
		every->us > MAX_DAYS * TQ_DAY_S * TQ_SECOND)
		return "must be at most 10 years";
	return NULL;
}

/* The date that lies n intervals after a day; a month that is too short yields its last day. */
static int64_t
add_to_day(const tq_every *every, int64_t day, int64_t n)
{
	tq_date date = tq_date_of(day);
	int64_t month = date.month + n * every->months;
	int64_t last = tq_month_begin(month + 1) - 1;

	return tq_sooner(tq_month_begin(month) + date.day - 1, last) + n * every->days;
}

int64_t
tq_every_nth(const tq_every *every, const tq_zone *zone, int64_t start_us, int64_t n)
{
	int64_t start = tq_floor_div(start_us, TQ_SECOND);
	int64_t local;
	int64_t day;

	/* The start may be the second of two instants with its local time. */
	if (n == 0 || every->us > 0)
		return start_us + n * every->us;
	local = start + tq_stretch_from(zone, start).offset;
	day = tq_floor_div(local, TQ_DAY_S);
	local += (add_to_day(every, day, n) - day) * TQ_DAY_S;
	return tq_instant_of(zone, local) * TQ_SECOND + start_us - start * TQ_SECOND;
}

/*
 * A number whose time is not after the instant, by at most a few intervals: months differ from
 * the average by less than an interval, and clocks of one zone by less than two days.
 */
static int64_t
number_before(const tq_every *every, int64_t elapsed_us)
{
	int64_t days = elapsed_us / (TQ_DAY_S * TQ_SECOND);
	int64_t cycle = every->months * TQ_CYCLE_DAYS +
					every->days * TQ_CYCLE_MONTHS;

	if (every->us > 0)
		return elapsed_us / every->us;
	return tq_later(days * TQ_CYCLE_MONTHS / cycle - 3, 0);
}

int64_t
tq_every_next(const tq_every *every, const tq_zone *zone, int64_t start_us, int64_t after_us)
{
	int64_t n;
	int64_t time_us;

	if (after_us < start_us)
		return start_us;
	n = number_before(every, after_us - start_us);
	do
		time_us = tq_every_nth(every, zone, start_us, ++n);
	while (time_us <= after_us);
	return time_us;
}

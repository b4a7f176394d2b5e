/*
 * calendar.c
 *		Dates, and what the clocks of a time zone show: pure functions.
 */
#include "core/calendar.h"
#include "core/clock.h"

/* 0000-01-01 and 0000-03-01, as days before 1970-01-01. */
#define YEAR_0_JANUARY 719528
#define YEAR_0_MARCH   719468

int64_t
tq_floor_div(int64_t value, int64_t divisor)
{
	return value / divisor - (value % divisor < 0);
}

/* Years are counted from March on, so that the leap day is the last of a year. */
int64_t
tq_month_begin(int64_t month)
{
	int64_t year = tq_floor_div(month - 2, 12);
	int64_t since_march = month - 2 - 12 * year;
	int64_t leap_days =
		tq_floor_div(year, 4) - tq_floor_div(year, 100) + tq_floor_div(year, 400);

	/* From March on the lengths repeat after five months, which have 153 days. */
	return 365 * year + leap_days + (153 * since_march + 2) / 5 - YEAR_0_MARCH;
}

/* The average month leads to the right one or to a neighbour of it. */
tq_date
tq_date_of(int64_t day)
{
	int64_t month = tq_floor_div((day + YEAR_0_JANUARY) * TQ_CYCLE_MONTHS, TQ_CYCLE_DAYS);

	while (tq_month_begin(month) > day)
		month--;
	while (tq_month_begin(month + 1) <= day)
		month++;
	return (tq_date){month, (int) (day - tq_month_begin(month)) + 1};
}

/* 1970-01-04 was a Sunday. */
int
tq_weekday(int64_t day)
{
	return (int) (day - 3 - 7 * tq_floor_div(day - 3, 7));
}

tq_stretch
tq_stretch_from(const tq_zone *zone, int64_t begin)
{
	int64_t until;
	int32_t offset = zone->offset(zone->data, begin, &until);

	return (tq_stretch){begin, tq_sooner(until, TQ_MAX_TIME), offset};
}

/*
 * The search begins before any clock on earth shows the local time.  The first stretch that ends
 * later by its clock either contains the local time or begins with a jump over it.
 */
int64_t
tq_instant_of(const tq_zone *zone, int64_t local)
{
	tq_stretch stretch = tq_stretch_from(zone, local - TQ_DAY_S);

	while (stretch.end + stretch.offset <= local)
		stretch = tq_stretch_from(zone, stretch.end);
	return tq_later(stretch.begin, local - stretch.offset);
}

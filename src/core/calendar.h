/*
 * calendar.h
 *		Dates, and what the clocks of a time zone show: pure functions.
 *
 * A zone is a row of stretches of constant offset.  The core has no zone data and does not touch
 * the TZ of the process: it sees a zone through a function alone.
 *
 * Units: an instant is seconds since 1970-01-01 00:00 UTC.  A local time is what the clocks of a
 * zone show, as seconds since its 1970-01-01 00:00: within a stretch, instant + offset.  A day is
 * its number, 1970-01-01 is 0.  A month is year * 12 + 0 for January to 11 for December.  All
 * functions are defined from 5000 BC to the year 200000.
 */
#ifndef TQ_CALENDAR_H
#define TQ_CALENDAR_H

#include <stdint.h>

#define TQ_DAY_S    INT64_C(86400)
#define TQ_SECOND   INT64_C(1000000) /* in microseconds */
#define TQ_MAX_TIME (INT64_MAX / 4)  /* an instant later than all others; can be added to */

/* The Gregorian calendar repeats itself after so many months and days. */
#define TQ_CYCLE_MONTHS INT64_C(4800)
#define TQ_CYCLE_DAYS   INT64_C(146097)

typedef struct tq_zone
{
	/*
	 * Returns the offset at an instant, in seconds, positive east of Greenwich, less than a day.
	 * Sets *until to the next instant after `at` from which the offset may be another, or to
	 * INT64_MAX if it stays.  Must not fail.
	 */
	int32_t (*offset)(const void *data, int64_t at, int64_t *until);
	const void *data;
} tq_zone;

typedef struct tq_stretch
{
	int64_t begin;
	int64_t end; /* is not part of it; at most TQ_MAX_TIME */
	int32_t offset;
} tq_stretch;

typedef struct tq_date
{
	int64_t month;
	int day; /* of the month, from 1 on */
} tq_date;

/* The quotient, rounded down.  The divisor is positive. */
extern int64_t tq_floor_div(int64_t value, int64_t divisor);

extern tq_date tq_date_of(int64_t day);

/* The first day of a month. */
extern int64_t tq_month_begin(int64_t month);

/* 0 is Sunday, 6 Saturday. */
extern int tq_weekday(int64_t day);

/* The stretch from this instant on: the rest of the one in which the instant lies. */
extern tq_stretch tq_stretch_from(const tq_zone *zone, int64_t begin);

/*
 * The instant of a local time.  One that does not exist is taken at the instant at which the
 * clock jumps over it; of one that occurs twice the first is taken.  A later local time never
 * yields an earlier instant.
 */
extern int64_t tq_instant_of(const tq_zone *zone, int64_t local);

#endif

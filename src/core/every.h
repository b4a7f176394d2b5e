/*
 * every.h
 *		The times of a schedule that repeats after an interval: pure functions.
 *
 * The n-th time is start + n * every, not the time before plus every: neither days nor months
 * drift.  An interval in months and days keeps the local time of day of the start, by the rule of
 * tq_instant_of(); a month that is too short has the time on its last day.  An interval in
 * microseconds is real time.
 *
 * Instants are microseconds since 1970-01-01 00:00 UTC, from 5000 BC to the year 200000.
 */
#ifndef TQ_EVERY_H
#define TQ_EVERY_H

#include "core/calendar.h"

/* As PostgreSQL's interval has it. */
typedef struct tq_every
{
	int32_t months;
	int32_t days;
	int64_t us;
} tq_every;

/*
 * NULL if schedules can have this interval: from 1 s to 10 years, no part negative, months and
 * days not together with microseconds.  Else a static text that says what is wrong, to follow a
 * name: "must not ...".  The other functions need a valid interval.
 */
extern const char *tq_every_refusal(const tq_every *every);

/* The n-th time, n >= 0.  The 0th is the start itself. */
extern int64_t tq_every_nth(const tq_every *every, const tq_zone *zone, int64_t start_us,
							int64_t n);

/*
 * The first time after an instant.  Before the start that is the start.  Bounded: some calls of
 * tq_every_nth(), however long ago the start is.
 */
extern int64_t tq_every_next(const tq_every *every, const tq_zone *zone, int64_t start_us,
							 int64_t after_us);

#endif

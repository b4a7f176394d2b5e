/*
 * cron.h
 *		Cron expressions: which they are, and when they come true next.  Pure functions.
 *
 * Five fields (minute, hour, day of month, month, day of week), six (the second first), or one of
 * @hourly @daily @midnight @weekly @monthly @yearly @annually.  A field is a list of these:
 *
 *		*, ?			all
 *		8, 8-20, FRI	a value or a range; names of months and days in English.  0 and 7 are Sunday
 *		*\/15, 8-20/3	each 15th, each 3rd of them
 *		8/3				each 3rd from 8 on
 *		L, L-3			day of month: the last, the 3rd before it
 *		15W, LW			day of month: the day from Monday to Friday that is nearest to the 15th
 *						in its month; the last of these days
 *		5L, MON#2		day of week: the last Friday, the second Monday of the month
 *
 * If neither field of days begins with * or ?, a day fits that fits one of them, else a day that
 * fits both.
 */
#ifndef TQ_CRON_H
#define TQ_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/calendar.h"

#define TQ_CRON_MAX_LENGTH 1000 /* bytes */
#define TQ_CRON_NEVER      INT64_MAX

enum
{
	TQ_CRON_SECOND,
	TQ_CRON_MINUTE,
	TQ_CRON_HOUR,
	TQ_CRON_DAY,
	TQ_CRON_MONTH,
	TQ_CRON_WEEKDAY,
	TQ_CRON_FIELDS
};

/* What an expression means.  Bit n of a set stands for the value n. */
typedef struct tq_cron
{
	uint64_t values[TQ_CRON_FIELDS]; /* not empty, but for those of the two fields of days */
	uint64_t days_before;            /* 0: the last day of the month, 1: the one before it ... */
	uint64_t days_nearest;           /* from Monday to Friday, to these days; 0: to the last */
	uint64_t nth[6];                 /* only the n-th such weekday of the month; 0: the last */
	bool either;                     /* a day fits if one field of days fits; else if both do */
	bool any_hour;                   /* the hour begins with * or ? */
} tq_cron;

typedef struct tq_cron_error
{
	/* Static: "second", "minute", "hour", "day of month", "month" or "day of week"; NULL if no
	 * single field is wrong. */
	const char *field;
	char message[128]; /* printable ASCII, to follow a colon: "61" has a value that is ... */
} tq_cron_error;

/*
 * Reads an expression.  Upper and lower case are the same, blanks around the fields are ignored.
 * False: it is malformed, *error says how, and *cron is undefined.
 */
extern bool tq_cron_parse(const char *text, tq_cron *cron, tq_cron_error *error);

/*
 * The next time after an instant, both as microseconds since 1970-01-01 00:00 UTC, from 5000 BC to
 * the year 200000.  TQ_CRON_NEVER: there is none within 40 years of 365.25 days.
 *
 * Clocks that are changed: if the hour begins with * or ?, each instant whose local time fits is a
 * time, so both in an hour that occurs twice, and none in a missing one.  Otherwise the times are
 * those that tq_instant_of() yields for the local times that fit, each instant once.
 *
 * Bounded: asks the zone once for each stretch from two days before the instant to the time found,
 * and beside that needs 0.1 ms at most in a zone with two changes a year.
 */
extern int64_t tq_cron_next(const tq_cron *cron, const tq_zone *zone, int64_t after_us);

#endif

/*
 * times.h
 *		The times of schedules.
 */
#ifndef TASKQ_TIMES_H
#define TASKQ_TIMES_H

#include "utils/timestamp.h"

#include "core/cron.h"
#include "core/every.h"

/* What says when a schedule fires, in this order, as arguments of functions and as columns. */
enum TimesField
{
	TIMES_CRON,
	TIMES_EVERY,
	TIMES_TIMEZONE,
	TIMES_STARTS,
	TIMES_ENDS,
	TIMES_NFIELDS
};

/* The times of one schedule.  Instants are those of the core: microseconds since 1970. */
typedef struct Times
{
	bool is_cron; /* which one of the next two counts */
	tq_cron cron;
	tq_every every;
	tq_zone zone;
	const char *zone_name; /* as the time zone data has it */
	int64 starts;          /* no time is before; with every it is the first one */
	int64 ends;            /* no time is at or after */
} Times;

/*
 * Reads the fields; TQ004 if there can be no such schedule.  origin: what starts is if every is
 * given without it, so that the first time is one interval later.
 */
extern void times_read(Times *times, const Datum *values, const bool *nulls, TimestampTz origin);

/* TQ004 for an instant before or after all times of schedules.  name: that of the argument. */
extern void times_check_instant(TimestampTz at, const char *name);

/* TQ004 for a cron expression that does not come true within 40 years from now, or from starts. */
extern void times_check_comes(const Times *times);

/* The first time after an instant; false: there is none. */
extern bool times_next(const Times *times, TimestampTz after, TimestampTz *next);

#endif

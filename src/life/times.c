/*
 * times.c
 *		The times of schedules: the core's functions for SQL.
 *
 * A schedule stores its expression as text.  Each call here reads it again, which takes a few
 * microseconds, so nothing has to be remembered and invalidated.
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/errors.h"
#include "base/zone.h"
#include "life/times.h"

/* From here on, microseconds since 2000 (of the server) and since 1970 (of the core). */
#define EPOCH_US ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* Schedules have times from 1900 to 9999. */
#define FIRST_US (INT64CONST(-2208988800) * USECS_PER_SEC)
#define LAST_US  (INT64CONST(253402300800) * USECS_PER_SEC)

/* ---- reading ---------------------------------------------------------------------------- */

static void
refuse(const char *message, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("%s", message),
			 errdetail("%s", detail),
			 errhint("See the comment of taskq.schedule().")));
}

static void
read_cron(Times *times, Datum value)
{
	tq_cron_error error;

	times->is_cron = true;
	if (tq_cron_parse(TextDatumGetCString(value), &times->cron, &error))
		return;
	refuse("malformed cron expression",
		   error.field != NULL ? psprintf("In the field %s: %s.", error.field, error.message)
							   : psprintf("The expression is wrong: %s.", error.message));
}

static void
read_every(Times *times, Datum value)
{
	const Interval *every = DatumGetIntervalP(value);
	const char *wrong;

	times->is_cron = false;
	times->every =
		(tq_every){.months = every->month, .days = every->day, .us = every->time};
	wrong = tq_every_refusal(&times->every);
	if (wrong != NULL)
		refuse(psprintf("every %s", wrong), "It is the interval between two times of a schedule.");
}

static void
read_zone(Times *times, Datum value, bool isnull)
{
	const char *name = isnull ? "UTC" : TextDatumGetCString(value);

	times->zone_name = zone_find(name, &times->zone);
	if (times->zone_name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("time zone \"%s\" does not exist", name),
				 errdetail("A schedule needs the full name of a zone, such as Europe/Berlin."),
				 errhint("See the view pg_timezone_names.")));
}

void
times_check_instant(TimestampTz at, const char *name)
{
	if (at < FIRST_US - EPOCH_US || at >= LAST_US - EPOCH_US)
		refuse(psprintf("%s is out of range", name), "It must be in the years 1900 to 9999.");
}

/* Returns an instant of the core. */
static int64
read_instant(Datum value, bool isnull, int64 fallback, const char *name)
{
	if (isnull)
		return fallback;
	times_check_instant(DatumGetTimestampTz(value), name);
	return DatumGetTimestampTz(value) + EPOCH_US;
}

void
times_read(Times *times, const Datum *values, const bool *nulls, TimestampTz origin)
{
	int64 fallback;

	if (nulls[TIMES_CRON] == nulls[TIMES_EVERY])
		refuse("a schedule needs either cron or every",
			   nulls[TIMES_CRON] ? "Neither was given." : "Both were given.");
	if (!nulls[TIMES_CRON])
		read_cron(times, values[TIMES_CRON]);
	else
		read_every(times, values[TIMES_EVERY]);
	read_zone(times, values[TIMES_TIMEZONE], nulls[TIMES_TIMEZONE]);
	fallback = times->is_cron ? FIRST_US : origin + EPOCH_US;
	times->starts = read_instant(values[TIMES_STARTS], nulls[TIMES_STARTS], fallback, "starts");
	times->ends = read_instant(values[TIMES_ENDS], nulls[TIMES_ENDS], LAST_US, "ends");
}

/* Reads them from the arguments of a function, of which they are the first. */
static void
times_of_call(Times *times, FunctionCallInfo fcinfo, TimestampTz origin)
{
	Datum values[TIMES_NFIELDS];
	bool nulls[TIMES_NFIELDS];

	for (int i = 0; i < TIMES_NFIELDS; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i);
	}
	times_read(times, values, nulls, origin);
}

/* ---- times ------------------------------------------------------------------------------ */

/* The first time after an instant, both of the core; INT64_MAX: there is none. */
static int64
next_after(const Times *times, int64 after)
{
	int64 next;

	after = Max(after, FIRST_US);
	if (after >= times->ends)
		return PG_INT64_MAX;
	if (times->is_cron)
		next = tq_cron_next(&times->cron, &times->zone, Max(after, times->starts - 1));
	else
		next = tq_every_next(&times->every, &times->zone, times->starts, after);
	return next < times->ends ? next : PG_INT64_MAX;
}

void
times_check_comes(const Times *times)
{
	int64 from = Max(GetCurrentTimestamp() + EPOCH_US, times->starts) - 1;

	if (times->is_cron && tq_cron_next(&times->cron, &times->zone, from) == TQ_CRON_NEVER)
		refuse("cron expression never comes true", "There is no such time within 40 years.");
}

bool
times_next(const Times *times, TimestampTz after, TimestampTz *next)
{
	int64 found = next_after(times, after + EPOCH_US);

	*next = found - EPOCH_US;
	return found != PG_INT64_MAX;
}

/*
 * The last time after an instant that is not after the other one; false: there is none.  Finds it
 * by halving the stretch in which it lies, so it may be long.
 */
static bool
find_last(const Times *times, TimestampTz after, TimestampTz until, TimestampTz *last)
{
	TimestampTz next;

	if (!times_next(times, after, &next) || next > until)
		return false;
	/* There is a time after "after" but not after "until". */
	while (after < until - 1)
	{
		TimestampTz middle = after + (until - after) / 2;

		if (times_next(times, middle, &next) && next <= until)
			after = middle;
		else
			until = middle;
	}
	*last = until;
	return true;
}

/* ---- SQL -------------------------------------------------------------------------------- */

/* taskq_private.check_times(cron, every, timezone, starts, ends): returns the name of the zone. */
PG_FUNCTION_INFO_V1(taskq_check_times);
Datum
taskq_check_times(PG_FUNCTION_ARGS)
{
	Times times;

	times_of_call(&times, fcinfo, GetCurrentTimestamp());
	times_check_comes(&times);
	PG_RETURN_TEXT_P(cstring_to_text(times.zone_name));
}

/* taskq_private.next_time(cron, every, timezone, starts, ends, after) */
PG_FUNCTION_INFO_V1(taskq_next_time);
Datum
taskq_next_time(PG_FUNCTION_ARGS)
{
	Times times;
	TimestampTz next;

	times_of_call(&times, fcinfo, PG_GETARG_TIMESTAMPTZ(5));
	if (!times_next(&times, PG_GETARG_TIMESTAMPTZ(5), &next))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(next);
}

/* taskq_private.last_time(cron, every, timezone, starts, ends, after, until) */
PG_FUNCTION_INFO_V1(taskq_last_time);
Datum
taskq_last_time(PG_FUNCTION_ARGS)
{
	Times times;
	TimestampTz last;

	times_of_call(&times, fcinfo, PG_GETARG_TIMESTAMPTZ(5));
	if (!find_last(&times, PG_GETARG_TIMESTAMPTZ(5), PG_GETARG_TIMESTAMPTZ(6), &last))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(last);
}

/* taskq_private.times(cron, every, timezone, starts, ends, after, until, most) */
PG_FUNCTION_INFO_V1(taskq_times);
Datum
taskq_times(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(5);
	TimestampTz until = PG_GETARG_TIMESTAMPTZ(6);
	Times times;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	times_of_call(&times, fcinfo, at);
	for (int i = 0; i < PG_GETARG_INT32(7); i++)
	{
		Datum value;
		bool isnull = false;

		CHECK_FOR_INTERRUPTS();
		if (!times_next(&times, at, &at) || at > until)
			break;
		value = TimestampTzGetDatum(at);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

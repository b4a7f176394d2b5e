/*
 * test_every.c
 *		The times of an interval, and dates.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/every.h"
#include "unit.h"
#include "zone.h"

#define HOUR_US (3600 * TQ_SECOND)

static zone_table table;

/* ---- dates ----------------------------------------------------------------- */

static void
test_dates(void)
{
	int64_t day;
	int wrong = 0;

	/* From 5000 BC to 10000 AD, as the C library has them. */
	for (day = -2545000; day < 2933000; day += 1 + (day & 15))
	{
		time_t time = day * TQ_DAY_S;
		tq_date date = tq_date_of(day);
		struct tm tm;

		gmtime_r(&time, &tm);
		wrong += date.month != (tm.tm_year + INT64_C(1900)) * 12 + tm.tm_mon ||
				 date.day != tm.tm_mday || tq_weekday(day) != tm.tm_wday ||
				 tq_month_begin(date.month) + date.day - 1 != day;
	}
	is_int(wrong, 0, "dates, days of the week and months as the C library has them");
	is_int(tq_floor_div(-1, 7), -1, "division rounds down");
	is_int(tq_floor_div(-7, 7), -1, "and keeps what is exact");
}

/*
 * By its words: the first instant at which clocks show the local time or a later one.  Both are
 * multiples of five minutes, as the changes of the zones below are.
 */
static int64_t
instant_by_steps(int64_t local)
{
	int64_t instant = local - 15 * 3600;

	while (zone_local(instant) < local)
		instant += 300;
	return instant;
}

static void
test_instants(void)
{
	static const char *const zones[] = {"America/New_York", "Europe/Berlin", "Australia/Lord_Howe",
										"Africa/Cairo", "Pacific/Apia", "Africa/Casablanca",
										"Antarctica/Troll", "America/Havana"};
	size_t i;

	for (i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
	{
		int wrong = 0;
		int changes = 0;
		int c;
		tq_zone zone;
		int64_t local;

		zone_load(zones[i], &table);
		zone = zone_of(&table);
		for (c = 0; c < table.n; c++)
		{
			if (table.at[c] < zone_read("2010-01-01 00:00Z") / TQ_SECOND || ++changes > 12)
				continue;
			for (local = table.at[c] - TQ_DAY_S; local < table.at[c] + TQ_DAY_S; local += 15 * 300)
				wrong += tq_instant_of(&zone, local) != instant_by_steps(local);
		}
		ok(changes > 0, "%s has changes", zones[i]);
		is_int(wrong, 0, "  local times around them as instants");
	}
}

/* ---- times ----------------------------------------------------------------- */

/* The times from the first on, separated by ", "; as many as are wanted; also as next times. */
static void
check_times(const char *zone_name, tq_every every, const char *start, const char *want)
{
	tq_zone zone;
	int64_t start_us = zone_read(start);
	int64_t after = start_us - 1;
	char got[400] = "", next[400] = "", one[32];
	size_t len = 0, next_len = 0;
	int64_t n;

	zone_load(zone_name, &table);
	zone = zone_of(&table);
	for (n = 0; len < strlen(want); n++)
		len += (size_t) snprintf(got + len, sizeof(got) - len, "%s%s", n == 0 ? "" : ", ",
								 zone_write(tq_every_nth(&every, &zone, start_us, n), one));
	is_str(got, want, "%d months %d days %lld us from %s in %s", every.months, every.days,
		   (long long) every.us, start, zone_name);
	while (n-- > 0)
	{
		after = tq_every_next(&every, &zone, start_us, after);
		next_len += (size_t) snprintf(next + next_len, sizeof(next) - next_len, "%s%s",
									  next_len == 0 ? "" : ", ", zone_write(after, one));
	}
	is_str(next, want, "  one after the other");
}

static void
test_months(void)
{
	check_times("Europe/Berlin", (tq_every){.months = 1}, "2027-01-31 09:00Z",
				"2027-01-31 09:00Z, 2027-02-28 09:00Z, 2027-03-31 08:00Z, 2027-04-30 08:00Z");
	check_times("UTC", (tq_every){.months = 12}, "2024-02-29 00:00Z",
				"2024-02-29 00:00Z, 2025-02-28 00:00Z, 2026-02-28 00:00Z, 2027-02-28 00:00Z, "
				"2028-02-29 00:00Z");
	check_times("UTC", (tq_every){.months = 1, .days = 1}, "2027-01-31 00:00Z",
				"2027-01-31 00:00Z, 2027-03-01 00:00Z, 2027-04-02 00:00Z, 2027-05-03 00:00Z");
	check_times("America/New_York", (tq_every){.months = 1}, "2027-02-14 07:30Z",
				"2027-02-14 07:30Z, 2027-03-14 07:00Z, 2027-04-14 06:30Z");
}

/* Days keep the local time of day: a missing one is at the jump, of two it is the first. */
static void
test_days(void)
{
	check_times("America/New_York", (tq_every){.days = 1}, "2027-03-13 07:30Z",
				"2027-03-13 07:30Z, 2027-03-14 07:00Z, 2027-03-15 06:30Z");
	check_times("America/New_York", (tq_every){.days = 1}, "2027-11-06 05:30Z",
				"2027-11-06 05:30Z, 2027-11-07 05:30Z, 2027-11-08 06:30Z");
	check_times("Europe/Berlin", (tq_every){.days = 7}, "2027-03-21 01:30Z",
				"2027-03-21 01:30Z, 2027-03-28 01:00Z, 2027-04-04 00:30Z");
	check_times("Europe/Berlin", (tq_every){.days = 1}, "2027-10-30 00:30Z",
				"2027-10-30 00:30Z, 2027-10-31 00:30Z, 2027-11-01 01:30Z");
	check_times("Australia/Lord_Howe", (tq_every){.days = 1}, "2027-10-01 15:45Z",
				"2027-10-01 15:45Z, 2027-10-02 15:30Z, 2027-10-03 15:15Z");
	check_times("Australia/Lord_Howe", (tq_every){.days = 2}, "2027-04-01 14:45Z",
				"2027-04-01 14:45Z, 2027-04-03 14:45Z, 2027-04-05 15:15Z");
	check_times("Africa/Cairo", (tq_every){.days = 1}, "2025-04-23 22:00Z",
				"2025-04-23 22:00Z, 2025-04-24 22:00Z, 2025-04-25 21:00Z");
	check_times("Africa/Cairo", (tq_every){.days = 1}, "2025-10-29 20:30Z",
				"2025-10-29 20:30Z, 2025-10-30 20:30Z, 2025-10-31 21:30Z");
	check_times("Pacific/Apia", (tq_every){.days = 1}, "2011-12-28 22:00Z",
				"2011-12-28 22:00Z, 2011-12-29 22:00Z, 2011-12-30 10:00Z, 2011-12-30 22:00Z");
}

/* A start that is the second of two equal local times is kept; the following are of the first. */
static void
test_start(void)
{
	check_times("America/New_York", (tq_every){.days = 364}, "2026-11-01 06:30Z",
				"2026-11-01 06:30Z, 2027-10-31 05:30Z, 2028-10-29 05:30Z");
	check_times("America/New_York", (tq_every){.days = 371}, "2026-11-01 06:30Z",
				"2026-11-01 06:30Z, 2027-11-07 05:30Z");
}

/* The day that did not exist ends where the next one begins: that is one time. */
static void
test_once(void)
{
	tq_every every = {.days = 1};
	int64_t start = zone_read("2011-12-28 10:00Z");
	int64_t time;
	tq_zone zone;

	zone_load("Pacific/Apia", &table);
	zone = zone_of(&table);
	time = tq_every_next(&every, &zone, start, start + 24 * HOUR_US);
	is_int(time, start + 48 * HOUR_US, "a missing midnight is at the jump");
	is_int(tq_every_nth(&every, &zone, start, 3), time, "where there is another one");
	is_int(tq_every_next(&every, &zone, start, time), start + 72 * HOUR_US,
		   "which is the same time");
}

static void
test_real_time(void)
{
	check_times("America/New_York", (tq_every){.us = HOUR_US}, "2027-11-07 05:30Z",
				"2027-11-07 05:30Z, 2027-11-07 06:30Z, 2027-11-07 07:30Z");
	check_times("Europe/Berlin", (tq_every){.us = 24 * HOUR_US}, "2027-03-27 01:30Z",
				"2027-03-27 01:30Z, 2027-03-28 01:30Z, 2027-03-29 01:30Z");
	check_times("Australia/Lord_Howe", (tq_every){.us = HOUR_US / 2}, "2027-04-03 14:30Z",
				"2027-04-03 14:30Z, 2027-04-03 15:00Z, 2027-04-03 15:30Z");
	check_times("Africa/Cairo", (tq_every){.us = 12 * HOUR_US}, "2025-04-24 12:00Z",
				"2025-04-24 12:00Z, 2025-04-25 00:00Z, 2025-04-25 12:00Z");
	check_times("UTC", (tq_every){.us = 1500000}, "2027-01-01 00:00Z",
				"2027-01-01 00:00Z, 2027-01-01 00:00:01Z+500000us, 2027-01-01 00:00:03Z");
}

/* The first of the times after an instant, whichever instant it is. */
static void
test_next(void)
{
	static const tq_every intervals[] = {
		{.months = 1},
		{.months = 7},
		{.months = 120},
		{.days = 1},
		{.days = 30},
		{.days = 3653},
		{.months = 2, .days = 13},
		{.months = 1, .days = 1},
		{.us = HOUR_US},
		{.us = 1000001},
	};
	const int64_t starts[] = {zone_read("2001-01-31 23:30Z") + 7, zone_read("2011-12-30 09:30Z")};
	size_t i, s;
	tq_zone zone;

	zone_load("Pacific/Apia", &table);
	zone = zone_of(&table);
	for (i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++)
		for (s = 0; s < 2; s++)
		{
			int64_t time = tq_every_nth(&intervals[i], &zone, starts[s], 0);
			int wrong = tq_every_next(&intervals[i], &zone, starts[s], time - 1) != time;
			int64_t n;

			for (n = 1; n < 2000 && wrong == 0; n++)
			{
				int64_t later = tq_every_nth(&intervals[i], &zone, starts[s], n);

				if (later == time)
					continue;
				wrong += later < time ||
						 tq_every_next(&intervals[i], &zone, starts[s], time) != later ||
						 tq_every_next(&intervals[i], &zone, starts[s], later - 1) != later;
				time = later;
			}
			is_int(wrong, 0, "interval %d, start %d: next times", (int) i, (int) s);
		}
}

/* ---- what is allowed ------------------------------------------------------- */

static void
test_refusals(void)
{
	static const char seconds[] =
		"must not have months or days together with hours, minutes or seconds";
	static const struct
	{
		tq_every every;
		const char *refusal;
	} rows[] = {
		{{.us = TQ_SECOND}, NULL},
		{{.us = TQ_SECOND - 1}, "must be at least 1 second"},
		{{0}, "must be at least 1 second"},
		{{.days = 1}, NULL},
		{{.months = 120}, NULL},
		{{.months = 121}, "must be at most 10 years"},
		{{.months = INT32_MAX, .days = INT32_MAX}, "must be at most 10 years"},
		{{.days = 3653}, NULL},
		{{.days = 3654}, "must be at most 10 years"},
		{{.months = 119, .days = 90}, "must be at most 10 years"},
		{{.us = 3653 * 24 * HOUR_US}, NULL},
		{{.us = 3653 * 24 * HOUR_US + 1}, "must be at most 10 years"},
		{{.us = INT64_MAX}, "must be at most 10 years"},
		{{.months = -1, .days = 40}, "must not have a negative part"},
		{{.months = 1, .days = -1}, "must not have a negative part"},
		{{.us = -TQ_SECOND}, "must not have a negative part"},
		{{.days = 1, .us = 1}, seconds},
		{{.months = 1, .us = 1}, seconds},
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		is_str(tq_every_refusal(&rows[i].every), rows[i].refusal, "%d months %d days %lld us",
			   rows[i].every.months, rows[i].every.days, (long long) rows[i].every.us);
}

int
main(void)
{
	test_dates();
	test_instants();
	test_months();
	test_days();
	test_start();
	test_once();
	test_real_time();
	test_next();
	test_refusals();
	return done();
}

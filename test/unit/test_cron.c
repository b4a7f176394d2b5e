/*
 * test_cron.c
 *		Cron expressions: what they mean, and when they come true, also where clocks are changed.
 *
 * Beside tables there are three oracles, which share nothing with the implementation: croniter in
 * UTC (cron_oracle.py says which expressions are compared), a reckoning day by day of the rules
 * for days that croniter does not have, and one second by second around changes of clocks.  The
 * latter two read no expressions: they know what a random expression means because they made it.
 *
 * TASKQ_CRON_EXPRESSIONS is the number of random expressions for croniter, 10000; the others
 * scale with it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/cron.h"
#include "unit.h"
#include "zone.h"

#define DAY_S 86400

static int trials;
static zone_table table;

/* ---- random numbers ------------------------------------------------------ */

static uint64_t random_state = 88172645463325252;

/* From 0 to n - 1. */
static int
below(int64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (int) (random_state % (uint64_t) n);
}

static int
between(int low, int high)
{
	return low + below(high - low + 1);
}

/* ---- tables -------------------------------------------------------------- */

static tq_cron
parsed(const char *text)
{
	tq_cron cron;
	tq_cron_error error;

	if (!tq_cron_parse(text, &cron, &error))
		ok(false, "%s is valid, but: %s: %s", text, error.field ? error.field : "", error.message);
	return cron;
}

/* Up to ten times, one after the other, separated by ", "; as many as are wanted. */
static void
check_times(const char *zone_name, const char *text, const char *after, const char *want)
{
	tq_cron cron = parsed(text);
	tq_zone zone = zone_of(&table);
	int64_t time = zone_read(after);
	char got[400] = "";
	size_t len = 0;

	while (len == 0 || (len < strlen(want) && time != TQ_CRON_NEVER))
	{
		char one[32];

		time = tq_cron_next(&cron, &zone, time);
		len += (size_t) snprintf(got + len, sizeof(got) - len, "%s%s", len == 0 ? "" : ", ",
								 zone_write(time, one));
	}
	is_str(got, want, "%s, %s after %s", text, zone_name, after);
}

typedef struct times
{
	const char *zone;
	const char *text;
	const char *after;
	const char *want;
} times;

static void
check_table(const times *rows, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
	{
		if (i == 0 || strcmp(rows[i].zone, rows[i - 1].zone) != 0)
			zone_load(rows[i].zone, &table);
		check_times(rows[i].zone, rows[i].text, rows[i].after, rows[i].want);
	}
}

#define CHECK_TABLE(rows) check_table(rows, sizeof(rows) / sizeof(rows[0]))
#define NEW_YORK          "America/New_York"
#define BERLIN            "Europe/Berlin"
#define LORD_HOWE         "Australia/Lord_Howe"
#define CAIRO             "Africa/Cairo"
#define APIA              "Pacific/Apia"

/* The hour begins with *: each instant whose local time fits. */
static void
test_any_hour(void)
{
	static const times rows[] = {
		{NEW_YORK, "*/30 * * * *", "2027-11-07 05:00Z",
		 "2027-11-07 05:30Z, 2027-11-07 06:00Z, 2027-11-07 06:30Z, 2027-11-07 07:00Z"},
		{NEW_YORK, "30 * * * *", "2027-03-14 06:00Z",
		 "2027-03-14 06:30Z, 2027-03-14 07:30Z, 2027-03-14 08:30Z"},
		{NEW_YORK, "0 */2 * * *", "2027-03-14 05:00Z", "2027-03-14 08:00Z, 2027-03-14 10:00Z"},
		{NEW_YORK, "30 ?,1 * * *", "2027-11-07 05:00Z", "2027-11-07 05:30Z, 2027-11-07 06:30Z"},
		{BERLIN, "15 * * * *", "2027-10-31 00:00Z",
		 "2027-10-31 00:15Z, 2027-10-31 01:15Z, 2027-10-31 02:15Z"},
		{BERLIN, "15 * * * *", "2027-03-28 00:30Z", "2027-03-28 01:15Z, 2027-03-28 02:15Z"},
		{BERLIN, "0 */2 * * *", "2027-10-30 23:00Z",
		 "2027-10-31 00:00Z, 2027-10-31 01:00Z, 2027-10-31 03:00Z"},
		{LORD_HOWE, "*/15 * * * *", "2027-04-03 14:30Z",
		 "2027-04-03 14:45Z, 2027-04-03 15:00Z, 2027-04-03 15:15Z, 2027-04-03 15:30Z"},
		{LORD_HOWE, "*/15 * * * *", "2027-10-02 15:00Z",
		 "2027-10-02 15:15Z, 2027-10-02 15:30Z, 2027-10-02 15:45Z"},
		{LORD_HOWE, "15 */2 * * *", "2027-10-02 14:00Z", "2027-10-02 17:15Z"},
		{CAIRO, "0 * * * *", "2025-10-30 19:30Z",
		 "2025-10-30 20:00Z, 2025-10-30 21:00Z, 2025-10-30 22:00Z"},
		{CAIRO, "0 * * * *", "2025-04-24 21:00Z", "2025-04-24 22:00Z, 2025-04-24 23:00Z"},
		{CAIRO, "0 * 25 4 *", "2025-04-24 12:00Z", "2025-04-24 22:00Z"},
		{APIA, "0 * 30 12 *", "2011-12-01 00:00Z", "2012-12-29 10:00Z"},
		{APIA, "0 * * * *", "2011-12-30 08:30Z", "2011-12-30 09:00Z, 2011-12-30 10:00Z"},
	};

	CHECK_TABLE(rows);
}

/* A time of day that does not exist is taken at the jump, once. */
static void
test_missing(void)
{
	static const times rows[] = {
		{NEW_YORK, "30 2 * * *", "2027-03-13 08:00Z", "2027-03-14 07:00Z, 2027-03-15 06:30Z"},
		{NEW_YORK, "0,30 2 * * *", "2027-03-13 08:00Z", "2027-03-14 07:00Z, 2027-03-15 06:00Z"},
		{NEW_YORK, "*/10 2,3 14 3 *", "2027-03-13 08:00Z", "2027-03-14 07:00Z, 2027-03-14 07:10Z"},
		{NEW_YORK, "30 2 14 3 *", "2027-03-14 07:00Z", "2028-03-14 06:30Z"},
		{NEW_YORK, "30 2 14 3 *", "2027-03-14 06:59:59Z", "2027-03-14 07:00Z"},
		{BERLIN, "30 2 * * *", "2027-03-27 12:00Z", "2027-03-28 01:00Z, 2027-03-29 00:30Z"},
		{BERLIN, "0,30 2,3 * * *", "2027-03-28 00:00Z",
		 "2027-03-28 01:00Z, 2027-03-28 01:30Z, 2027-03-29 00:00Z"},
		{BERLIN, "0 30 1-23 * * SUN", "2027-03-28 00:00Z",
		 "2027-03-28 00:30Z, 2027-03-28 01:00Z, 2027-03-28 01:30Z"},
		{LORD_HOWE, "15 2 * * *", "2027-10-02 00:00Z", "2027-10-02 15:30Z, 2027-10-03 15:15Z"},
		{LORD_HOWE, "29,30 2 * * *", "2027-10-02 00:00Z", "2027-10-02 15:30Z, 2027-10-03 15:29Z"},
		{CAIRO, "0 0 * * *", "2025-04-24 12:00Z", "2025-04-24 22:00Z, 2025-04-25 21:00Z"},
		{CAIRO, "59 59 0 25 4 *", "2025-04-24 12:00Z", "2025-04-24 22:00Z, 2026-04-24 21:59:59Z"},
		{APIA, "0 12 30 12 *", "2011-12-01 00:00Z", "2011-12-30 10:00Z, 2012-12-29 22:00Z"},
		{APIA, "0 0,12,23 * * *", "2011-12-30 00:00Z",
		 "2011-12-30 09:00Z, 2011-12-30 10:00Z, 2011-12-30 22:00Z"},
	};

	CHECK_TABLE(rows);
}

/* Of a time of day that occurs twice the first is taken. */
static void
test_twice(void)
{
	static const times rows[] = {
		{NEW_YORK, "30 1 * * *", "2027-11-06 12:00Z", "2027-11-07 05:30Z, 2027-11-08 06:30Z"},
		{NEW_YORK, "*/20 0-2 * * *", "2027-11-07 05:20Z",
		 "2027-11-07 05:40Z, 2027-11-07 07:00Z, 2027-11-07 07:20Z"},
		{NEW_YORK, "30 1 * * *", "2027-11-07 06:15Z", "2027-11-08 06:30Z"},
		{BERLIN, "30 2 * * *", "2027-10-30 12:00Z", "2027-10-31 00:30Z, 2027-11-01 01:30Z"},
		{BERLIN, "30 2 * * *", "2027-10-31 00:45Z", "2027-11-01 01:30Z"},
		{BERLIN, "0 3 * * *", "2027-10-31 00:59Z", "2027-10-31 02:00Z"},
		{LORD_HOWE, "45 1 * * *", "2027-04-03 00:00Z", "2027-04-03 14:45Z, 2027-04-04 15:15Z"},
		{LORD_HOWE, "15 1 * * *", "2027-04-03 00:00Z", "2027-04-03 14:15Z, 2027-04-04 14:45Z"},
		{CAIRO, "30 23 * * *", "2025-10-30 12:00Z", "2025-10-30 20:30Z, 2025-10-31 21:30Z"},
		{CAIRO, "0 0 * * *", "2025-10-30 12:00Z", "2025-10-30 22:00Z, 2025-10-31 22:00Z"},
	};

	CHECK_TABLE(rows);
}

static void
test_calendar(void)
{
	static const times rows[] = {
		{"UTC", "0 0 29 2 *", "2025-01-01 00:00Z", "2028-02-29 00:00Z, 2032-02-29 00:00Z"},
		{"UTC", "0 0 29 2 *", "2096-03-01 00:00Z", "2104-02-29 00:00Z"},
		{"UTC", "0 0 30 2 *", "2025-01-01 00:00Z", "never"},
		{"UTC", "0 0 31 2,4,6,9,11 *", "2025-01-01 00:00Z", "never"},
		{"UTC", "0 9 L * *", "2027-05-01 00:00Z", "2027-05-31 09:00Z, 2027-06-30 09:00Z"},
		{"UTC", "0 9 L-3 2 *", "2027-05-01 00:00Z", "2028-02-26 09:00Z, 2029-02-25 09:00Z"},
		{"UTC", "0 9 L-30 * *", "2027-05-02 00:00Z", "2027-07-01 09:00Z, 2027-08-01 09:00Z"},
		{"UTC", "0 9 15W * *", "2027-05-01 00:00Z", "2027-05-14 09:00Z, 2027-06-15 09:00Z"},
		{"UTC", "0 9 1W * *", "2027-05-01 00:00Z", "2027-05-03 09:00Z, 2027-06-01 09:00Z"},
		{"UTC", "0 9 1w * *", "2027-07-15 00:00Z", "2027-08-02 09:00Z"},
		{"UTC", "0 9 31W * *", "2027-07-01 00:00Z", "2027-07-30 09:00Z, 2027-08-31 09:00Z"},
		{"UTC", "0 9 31W 10 *", "2027-07-01 00:00Z", "2027-10-29 09:00Z"},
		{"UTC", "0 9 31W 4,5 *", "2027-04-01 00:00Z", "2027-05-31 09:00Z"},
		{"UTC", "0 9 LW * *", "2027-07-01 00:00Z", "2027-07-30 09:00Z, 2027-08-31 09:00Z"},
		{"UTC", "0 9 LW 2,10 *", "2027-01-01 00:00Z", "2027-02-26 09:00Z, 2027-10-29 09:00Z"},
		{"UTC", "0 9 1,LW,L-1 2 *", "2027-01-01 00:00Z",
		 "2027-02-01 09:00Z, 2027-02-26 09:00Z, 2027-02-27 09:00Z, 2028-02-01 09:00Z"},
		{"UTC", "0 9 * * MON#5", "2027-05-01 00:00Z", "2027-05-31 09:00Z, 2027-08-30 09:00Z"},
		{"UTC", "0 9 * * mon#2", "2027-05-01 00:00Z", "2027-05-10 09:00Z, 2027-06-14 09:00Z"},
		{"UTC", "0 9 * * 5L", "2027-05-01 00:00Z", "2027-05-28 09:00Z, 2027-06-25 09:00Z"},
		{"UTC", "0 9 ? * 7L", "2027-05-01 00:00Z", "2027-05-30 09:00Z"},
		{"UTC", "0 9 * * friL,Sat#1", "2027-05-01 00:00Z",
		 "2027-05-01 09:00Z, 2027-05-28 09:00Z, 2027-06-05 09:00Z"},
		{"UTC", "0 0 13 * FRI", "2027-08-01 00:00Z",
		 "2027-08-06 00:00Z, 2027-08-13 00:00Z, 2027-08-20 00:00Z, 2027-08-27 00:00Z, "
		 "2027-09-03 00:00Z, 2027-09-10 00:00Z, 2027-09-13 00:00Z"},
		{"UTC", "0 0 */2 * FRI", "2027-08-01 00:00Z", "2027-08-13 00:00Z, 2027-08-27 00:00Z"},
		{"UTC", "0 0 29 2 */7", "2027-01-01 00:00Z", "2032-02-29 00:00Z, 2060-02-29 00:00Z"},
		{"UTC", "* * * * * *", "2027-12-31 23:59:58Z", "2027-12-31 23:59:59Z, 2028-01-01 00:00Z"},
		{"UTC", "* * * * *", "1969-12-31 23:58:30Z", "1969-12-31 23:59Z, 1970-01-01 00:00Z"},
		{"UTC", "15,45 */20 1 * * *", "2027-01-01 01:20:15Z",
		 "2027-01-01 01:20:45Z, 2027-01-01 01:40:15Z, 2027-01-01 01:40:45Z, 2027-01-02 01:00:15Z"},
		{"UTC", "@hourly", "2027-05-01 00:00Z", "2027-05-01 01:00Z"},
		{"UTC", "@daily", "2027-05-01 00:00Z", "2027-05-02 00:00Z"},
		{"UTC", "@midnight", "2027-05-01 00:00Z", "2027-05-02 00:00Z"},
		{"UTC", " @Weekly ", "2027-05-01 00:00Z", "2027-05-02 00:00Z, 2027-05-09 00:00Z"},
		{"UTC", "@monthly", "2027-05-01 00:00Z", "2027-06-01 00:00Z"},
		{"UTC", "@yearly", "2027-05-01 00:00Z", "2028-01-01 00:00Z"},
		{"UTC", "@ANNUALLY", "2027-05-01 00:00Z", "2028-01-01 00:00Z"},
	};

	CHECK_TABLE(rows);
}

/* Clocks go back twice within what occurs twice: of three equal local times the first is taken. */
static void
test_thrice(void)
{
	int64_t change = zone_read("2027-06-01 03:00Z") / TQ_SECOND;

	table = (zone_table){.n = 2, .at = {change, change + 3600}, .offset = {-7200, -10800}};
	check_times("a zone", "30 2 * * *", "2027-05-31 12:00Z",
				"2027-06-01 02:30Z, 2027-06-02 05:30Z");
	check_times("a zone", "30 * * * *", "2027-06-01 02:00Z",
				"2027-06-01 02:30Z, 2027-06-01 03:30Z, 2027-06-01 04:30Z");
}

static void
test_fractions(void)
{
	tq_cron cron = parsed("* * * * * *");
	tq_zone zone = zone_of(&table);

	is_int(tq_cron_next(&cron, &zone, 5 * TQ_SECOND), 6 * TQ_SECOND, "later than a second");
	is_int(tq_cron_next(&cron, &zone, 5 * TQ_SECOND - 1), 5 * TQ_SECOND, "and not than its begin");
	is_int(tq_cron_next(&cron, &zone, -1), 0, "before 1970");
	is_int(tq_cron_next(&cron, &zone, -TQ_SECOND - 1), -TQ_SECOND, "as well");
}

/* ---- texts --------------------------------------------------------------- */

static void
test_same(void)
{
	static const char *const pairs[][2] = {
		{"* * * * *", "0 * * * * *"},
		{"*/15 5-20/3 * * *", "0,15,30,45 5,8,11,14,17,20 * * *"},
		{"7/10 23/1 * * *", "7,17,27,37,47,57 23 * * *"},
		{"0 0 * jan-Mar,DEC sun", "0 0 * 1,2,3,12 0"},
		{"0 0 ? ? ?", "0 0 * * *"},
		{"0 0 * * 7", "0 0 * * 0"},
		{"0 0 * * FRI-SUN", "0 0 * * 0,5,6"},
		{"0 0 * * FRI-0", "0 0 * * 5-7"},
		{"0 0 * * 5/2", "0 0 * * FRI,SUN"},
		{"0 0 * * SUN-SUN", "0 0 * * 0"},
		{"0 0 lw,l,l-1,3w * 5l", "0 0 3W,L-1,L,LW * FRIL"},
		{" \t 1  2\t3 4 5 \n", "1 2 3 4 5"},
		{"00 007 3,3 4 5", "0 7 3 4 5"},
		{"*/60 */24 */31 */12 */8", "0 0 1 1 0"},
	};
	size_t i;

	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
	{
		tq_cron a = parsed(pairs[i][0]);
		tq_cron b = parsed(pairs[i][1]);

		a.values[TQ_CRON_WEEKDAY] &= 127;
		b.values[TQ_CRON_WEEKDAY] &= 127;
		ok(memcmp(&a, &b, offsetof(tq_cron, either)) == 0, "pair %d: %s", (int) i, pairs[i][1]);
	}
}

static void
check_error(const char *text, const char *field, const char *message)
{
	tq_cron cron;
	tq_cron_error error = {.message = ""};

	ok(!tq_cron_parse(text, &cron, &error), "\"%.60s\" is refused", text);
	is_str(error.field, field, "  by its %s", field ? field : "form");
	is_str(error.message, message, "  because it %s", message);
}

static void
test_errors(void)
{
	static const char fields[] = "it must have five or six fields, or be a name with @";
	char longest[TQ_CRON_MAX_LENGTH + 2] = "0 0 1 1 1";
	tq_cron_error error;
	tq_cron cron;

	check_error("", NULL, fields);
	check_error("0 0 * *", NULL, fields);
	check_error("0 0 0 * * * *", NULL, fields);
	check_error("@reboot", NULL,
				"the names are @hourly, @daily, @midnight, @weekly, @monthly, "
				"@yearly and @annually");
	check_error("@daily 5", NULL, fields);
	check_error("@daily * * * *", "minute", "\"@DAILY\" is malformed");
	check_error("60 * * * *", "minute", "\"60\" has a value that is not from 0 to 59");
	check_error("60 * * * * *", "second", "\"60\" has a value that is not from 0 to 59");
	check_error("* 24 * * *", "hour", "\"24\" has a value that is not from 0 to 23");
	check_error("* * 0 * *", "day of month", "\"0\" has a value that is not from 1 to 31");
	check_error("* * * 13 *", "month", "\"13\" has a value that is not from 1 to 12");
	check_error("* * * * 8", "day of week", "\"8\" has a value that is not from 0 to 7");
	check_error("99999999999999999999 * * * *", "minute",
				"\"99999999999999999999\" has a value that is not from 0 to 59");
	check_error("-1 * * * *", "minute", "\"-1\" is malformed");
	check_error("1, * * * *", "minute", "\"\" is malformed");
	check_error(",1 * * * *", "minute", "\"\" is malformed");
	check_error("1,2,,3 * * * *", "minute", "\"\" is malformed");
	check_error("* 1,9-5 * * *", "hour", "\"9-5\" ends before it begins");
	check_error("* * * dec-jan *", "month", "\"DEC-JAN\" ends before it begins");
	check_error("*/0 * * * *", "minute", "\"*/0\" has a step that is not from 1 to 60");
	check_error("*/61 * * * *", "minute", "\"*/61\" has a step that is not from 1 to 60");
	check_error("*/ * * * *", "minute", "\"*/\" is malformed");
	check_error("*5 * * * *", "minute", "\"*5\" is malformed");
	check_error("1-2-3 * * * *", "minute", "\"1-2-3\" is malformed");
	check_error("1/2/3 * * * *", "minute", "\"1/2/3\" is malformed");
	check_error("*-5 * * * *", "minute", "\"*-5\" is malformed");
	check_error("1- * * * *", "minute", "\"1-\" is malformed");
	check_error("1.5 * * * *", "minute", "\"1.5\" is malformed");
	check_error("L * * * *", "minute", "\"L\" is malformed");
	check_error("MON * * * *", "minute", "\"MON\" is malformed");
	check_error("0 0 * monday *", "month",
				"\"MONDAY\" is malformed; names have three letters, such as JAN");
	check_error("0 0 * * monday", "day of week",
				"\"MONDAY\" is malformed; names have three letters, such as SUN");
	check_error("0 0 W * *", "day of month", "\"W\" is malformed");
	check_error("0 0 32W * *", "day of month", "\"32W\" has a value that is not from 1 to 31");
	check_error("0 0 1-5W * *", "day of month", "\"1-5W\" is malformed");
	check_error("0 0 15WW * *", "day of month", "\"15WW\" is malformed");
	check_error("0 0 L-31 * *", "day of month", "\"L-31\" has a distance that is not from 1 to 30");
	check_error("0 0 L-3W * *", "day of month", "\"L-3W\" is malformed");
	check_error("0 0 L- * *", "day of month", "\"L-\" is malformed");
	check_error("0 0 5L * *", "day of month", "\"5L\" is malformed");
	check_error("0 0 * * L", "day of week", "\"L\" is malformed");
	check_error("0 0 * * 8L", "day of week", "\"8L\" has a value that is not from 0 to 7");
	check_error("0 0 * * MON#6", "day of week", "\"MON#6\" has a number that is not from 1 to 5");
	check_error("0 0 * * MON#0", "day of week", "\"MON#0\" has a number that is not from 1 to 5");
	check_error("0 0 * * MON#", "day of week", "\"MON#\" is malformed");
	check_error("0 0 * * #2", "day of week", "\"#2\" is malformed");
	check_error("0 0 * * MON-FRI#2", "day of week", "\"MON-FRI#2\" is malformed");
	check_error("0 0 * * 5LL", "day of week", "\"5LL\" is malformed");
	check_error("0 0 * * m\xc3\xb6n", "day of week", "\"M??N\" is malformed");
	check_error("0 0 * * 12345678901234567890123456789012345678901234567890", "day of week",
				"\"123456789012345678901234567890123456789\" has a value that is not from 0 to 7");
	memset(longest + strlen(longest), ' ', sizeof(longest) - 1 - strlen(longest));
	check_error(longest, NULL, fields);
	longest[TQ_CRON_MAX_LENGTH] = '\0';
	ok(tq_cron_parse(longest, &cron, &error), "1000 bytes are enough");
}

/* ---- random expressions whose meaning is known ----------------------------- */

/* L-n, nW (0: LW), and the n-th weekday (0: the last). */
typedef struct day_rule
{
	char kind; /* 'L', 'W' or '#' */
	int n;
	int weekday;
} day_rule;

typedef struct made
{
	char text[1000];
	bool values[TQ_CRON_FIELDS][64];
	bool begins_all[TQ_CRON_FIELDS];
	day_rule rules[8];
	int nrules;
} made;

static const int low[] = {0, 0, 0, 1, 1, 0};
static const int high[] = {59, 59, 23, 31, 12, 7};

static void __attribute__((format(printf, 2, 3)))
append(made *m, const char *format, ...)
{
	size_t len = strlen(m->text);
	va_list args;

	va_start(args, format);
	vsnprintf(m->text + len, sizeof(m->text) - len, format, args);
	va_end(args);
}

static void
make_values(made *m, int field, int first, int last, int step)
{
	for (; first <= last; first += step)
		m->values[field][field == TQ_CRON_WEEKDAY ? first % 7 : first] = true;
}

static void
make_range(made *m, int field)
{
	int first = between(low[field], high[field]);
	int last = between(first, high[field]);
	int step = between(1, 12 < high[field] ? 12 : high[field]);

	switch (below(6))
	{
		case 0:
			append(m, "%d-%d", first, last);
			make_values(m, field, first, last, 1);
			break;
		case 1:
			append(m, "%d-%d/%d", first, last, step);
			make_values(m, field, first, last, step);
			break;
		case 2:
			append(m, "%d/%d", first, step);
			make_values(m, field, first, high[field], step);
			break;
		default:
			append(m, "%d", first);
			make_values(m, field, first, first, 1);
			break;
	}
}

static bool
make_rule(made *m, int field)
{
	day_rule *rule = &m->rules[m->nrules];

	if (field < TQ_CRON_DAY || field == TQ_CRON_MONTH || below(2) == 0)
		return false;
	m->nrules++;
	*rule = (day_rule){field == TQ_CRON_WEEKDAY ? '#' : "LW"[below(2)], below(6), below(7)};
	if (rule->kind == 'W')
		rule->n = below(32);
	if (rule->kind == '#')
		append(m, rule->n == 0 ? "%dL" : "%d#%d", rule->weekday, rule->n);
	else if (rule->kind == 'W')
		append(m, rule->n == 0 ? "LW" : "%dW", rule->n);
	else
		append(m, rule->n == 0 ? "L" : "L-%d", rule->n);
	return true;
}

/* all_in_10: how many of ten fields are *. */
static void
make_field(made *m, int field, int all_in_10)
{
	int step = below(3) == 0 ? between(1, 5) : 1;
	int n = between(1, 3);

	append(m, m->text[0] == '\0' ? "" : " ");
	if (below(10) < all_in_10)
	{
		append(m, step == 1 ? "*" : "*/%d", step);
		make_values(m, field, low[field], high[field], step);
		m->begins_all[field] = true;
		return;
	}
	while (n-- > 0)
	{
		if (!make_rule(m, field))
			make_range(m, field);
		append(m, n == 0 ? "" : ",");
	}
}

static bool
fits_rule(const day_rule *rule, int day, int weekday, int length)
{
	int target = rule->n == 0 ? length : rule->n;
	int its_weekday = (weekday + target - day + 70) % 7;

	if (rule->kind == 'L')
		return day == length - rule->n;
	if (rule->kind == '#')
		return weekday == rule->weekday &&
			   (rule->n == 0 ? day + 7 > length : day > 7 * (rule->n - 1) && day <= 7 * rule->n);
	if (target > length)
		return false;
	if (its_weekday == 6)
		target += target == 1 ? 2 : -1;
	if (its_weekday == 0)
		target += target == length ? -2 : 1;
	return day == target;
}

/* Days as the C library has them. */
static bool
fits_date(const made *m, int64_t day)
{
	time_t time = day * DAY_S;
	struct tm tm, next;
	bool by[2] = {false, false};
	int i;

	gmtime_r(&time, &tm);
	next = tm;
	next.tm_mon++;
	next.tm_mday = 0;
	timegm(&next);
	if (!m->values[TQ_CRON_MONTH][tm.tm_mon + 1])
		return false;
	by[0] = m->values[TQ_CRON_DAY][tm.tm_mday];
	by[1] = m->values[TQ_CRON_WEEKDAY][tm.tm_wday];
	for (i = 0; i < m->nrules; i++)
		if (fits_rule(&m->rules[i], tm.tm_mday, tm.tm_wday, next.tm_mday))
			by[m->rules[i].kind == '#'] = true;
	if (m->begins_all[TQ_CRON_DAY] || m->begins_all[TQ_CRON_WEEKDAY])
		return by[0] && by[1];
	return by[0] || by[1];
}

static bool
fits_time(const made *m, int second)
{
	return m->values[TQ_CRON_HOUR][second / 3600] && m->values[TQ_CRON_MINUTE][second / 60 % 60] &&
		   m->values[TQ_CRON_SECOND][second % 60];
}

/* ---- oracles --------------------------------------------------------------- */

static bool
check_croniter(char *line, const tq_zone *zone)
{
	char *rest;
	const char *text = strtok_r(line, "|\n", &rest);
	const char *after = strtok_r(NULL, "|\n", &rest);
	tq_cron cron = parsed(text);
	int64_t time = strtoll(after, NULL, 10) * TQ_SECOND;
	const char *want;

	while (time != TQ_CRON_NEVER && (want = strtok_r(NULL, "|\n", &rest)) != NULL)
	{
		char got[32], wanted[32];
		int64_t oracle = TQ_CRON_NEVER;

		if (strcmp(want, "never") != 0)
			oracle = strtoll(want, NULL, 10) * TQ_SECOND;
		time = tq_cron_next(&cron, zone, time);
		if (time == oracle)
			continue;
		note("%s after %s: got %s, croniter has %s", text, after, zone_write(time, got),
			 zone_write(oracle, wanted));
		return false;
	}
	return true;
}

static void
test_croniter(void)
{
	char command[100];
	char line[1000];
	FILE *oracle;
	tq_zone zone;
	int agree = 0;

	zone_load("UTC", &table);
	zone = zone_of(&table);
	snprintf(command, sizeof(command), "python3 test/unit/cron_oracle.py %d %d", trials, 1);
	oracle = popen(command, "r");
	while (oracle != NULL && fgets(line, sizeof(line), oracle) != NULL)
		agree += check_croniter(line, &zone);
	is_int(oracle == NULL ? -1 : pclose(oracle), 0, "croniter was asked");
	is_int(agree, trials, "random expressions mean the same to croniter");
}

/* One in the next two years or so; later ones are for croniter. */
static bool
check_days(const tq_zone *zone)
{
	made m = {.text = "0 0 0"};
	int64_t day = between(-20000, 40000);
	int64_t last = day + 800;
	tq_cron cron;
	int64_t time;
	int field;

	for (field = TQ_CRON_DAY; field < TQ_CRON_FIELDS; field++)
		make_field(&m, field, 4);
	cron = parsed(m.text);
	time = tq_cron_next(&cron, zone, day * DAY_S * TQ_SECOND);
	do
		day++;
	while (day < last && !fits_date(&m, day));
	if (day < last ? time == day * DAY_S * TQ_SECOND : time >= last * DAY_S * TQ_SECOND)
		return true;
	note("%s: got %lld, want %lld", m.text, (long long) time, (long long) day * DAY_S * TQ_SECOND);
	return false;
}

static void
test_days(void)
{
	tq_zone zone = zone_of(&table);
	int agree = 0;
	int i;

	for (i = 0; i < trials; i++)
		agree += check_days(&zone);
	is_int(agree, trials, "random rules for days mean the same day by day");
}

/* Half a day on both sides of a change. */
#define WINDOW DAY_S

typedef struct window
{
	int64_t begin;
	int64_t local[WINDOW]; /* of each second */
	bool times[WINDOW];
} window;

static void
open_window(window *w, int64_t change)
{
	int i;

	w->begin = change - WINDOW / 2;
	for (i = 0; i < WINDOW; i++)
		w->local[i] = zone_local(w->begin + i);
}

/* Which seconds are times, by the words of the rules. */
static void
reckon(window *w, const made *m)
{
	static bool fits[4 * DAY_S], seen[4 * DAY_S];
	int64_t first_day = w->local[0] / DAY_S - 1;
	int i, l;

	for (l = 0; l < 4 * DAY_S; l += DAY_S)
	{
		bool date = fits_date(m, first_day + l / DAY_S);

		for (i = 0; i < DAY_S; i++)
			fits[l + i] = date && fits_time(m, i);
	}
	memset(seen, 0, sizeof(seen));
	for (i = 0; i < WINDOW; i++)
	{
		int this = (int) (w->local[i] - first_day * DAY_S);

		w->times[i] = fits[this];
		if (m->begins_all[TQ_CRON_HOUR])
			continue;
		w->times[i] &= !seen[this];
		seen[this] = true;
		for (l = i == 0 ? this : (int) (w->local[i - 1] - first_day * DAY_S) + 1; l < this; l++)
			w->times[i] |= fits[l];
	}
}

static bool
check_next(const window *w, const tq_cron *cron, const tq_zone *zone, int after, int *next)
{
	int64_t time = tq_cron_next(cron, zone, (w->begin + after) * TQ_SECOND);
	int want = after + 1;
	char text[32];

	while (want < WINDOW && !w->times[want])
		want++;
	*next = want;
	if (time == (w->begin + want) * TQ_SECOND ||
		(want == WINDOW && time > (w->begin + want) * TQ_SECOND))
		return true;
	note("after %s:", zone_write((w->begin + after) * TQ_SECOND, text));
	note("got %s", zone_write(time, text));
	note("want %s", zone_write((w->begin + want) * TQ_SECOND, text));
	return false;
}

/* Times one after the other, across the change, and after random instants. */
static bool
check_window(window *w, const tq_zone *zone)
{
	made m = {.text = ""};
	bool five = below(2) == 0;
	bool agree = true;
	int field, i, after;
	tq_cron cron;

	m.values[TQ_CRON_SECOND][0] = five;
	for (field = five; field < TQ_CRON_FIELDS; field++)
		make_field(&m, field, field < TQ_CRON_HOUR ? 2 : field == TQ_CRON_HOUR ? 4
																			   : 7);
	cron = parsed(m.text);
	reckon(w, &m);
	for (i = 0, after = WINDOW / 2 - 3 * 3600; i < 300 && agree && after < WINDOW; i++)
		agree = check_next(w, &cron, zone, after, &after);
	for (i = 0; i < 50 && agree; i++)
		agree = check_next(w, &cron, zone, below(WINDOW), &after);
	if (!agree)
		note("%s", m.text);
	return agree;
}

/* The first two changes after an instant, which go in both directions where there is a summer. */
static void
test_windows(void)
{
	static const struct
	{
		const char *zone;
		const char *from;
	} changes[] = {
		{NEW_YORK, "2027-01-01 00:00Z"},
		{BERLIN, "2027-01-01 00:00Z"},
		{LORD_HOWE, "2027-01-01 00:00Z"},          /* half an hour */
		{CAIRO, "2025-01-01 00:00Z"},              /* at midnight */
		{APIA, "2011-12-01 00:00Z"},               /* a day */
		{"America/St_Johns", "2010-01-01 00:00Z"}, /* a minute after midnight */
		{"America/Havana", "2025-01-01 00:00Z"},   /* midnight is missing, and occurs twice */
		{"America/Santiago", "2025-01-01 00:00Z"},
		{"Africa/Casablanca", "2025-01-01 00:00Z"}, /* the winter is the exception */
		{"Antarctica/Troll", "2025-01-01 00:00Z"},  /* two hours */
		{"Asia/Pyongyang", "2015-01-01 00:00Z"},    /* zones that moved for ever */
		{"Asia/Kathmandu", "1985-01-01 00:00Z"},
		{"Pacific/Kwajalein", "1993-01-01 00:00Z"},
		{"Europe/Dublin", "2027-01-01 00:00Z"},
	};
	static window w;
	size_t i;
	int c, n, windows;

	for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
	{
		int agree = 0;
		tq_zone zone;

		zone_load(changes[i].zone, &table);
		zone = zone_of(&table);
		windows = 0;
		for (c = 0; c < table.n && windows < 2; c++)
			if (table.at[c] >= zone_read(changes[i].from) / TQ_SECOND)
			{
				open_window(&w, table.at[c]);
				for (n = 0; n < trials / 400; n++)
					agree += check_window(&w, &zone);
				windows++;
			}
		is_int(agree, windows * (trials / 400), "%s: random expressions, second by second",
			   changes[i].zone);
		ok(windows > 0, "  at %d changes", windows);
	}
}

/* ---- how long it takes ----------------------------------------------------- */

/* How often the zone is asked. */
static int asked;

static int32_t
count_asked(const void *data, int64_t at, int64_t *until)
{
	const tq_zone *zone = data;

	asked++;
	return zone->offset(zone->data, at, until);
}

static void
test_bounds(void)
{
	tq_cron cron = parsed("* * * 31 2,4,6,9,11 *");
	tq_zone inner;
	tq_zone zone = {count_asked, &inner};
	char text[32];
	int64_t begin;

	zone_load("Africa/Casablanca", &table);
	inner = zone_of(&table);
	begin = clock_ms();
	is_str(zone_write(tq_cron_next(&cron, &zone, zone_read("2027-01-01 00:00Z")), text), "never",
		   "what never comes true is given up");
	ok(asked < 200, "after %d questions", asked);
	note("%d ms", (int) (clock_ms() - begin));
}

int
main(void)
{
	const char *number = getenv("TASKQ_CRON_EXPRESSIONS");

	trials = number == NULL ? 10000 : atoi(number);
	test_any_hour();
	test_missing();
	test_twice();
	test_calendar();
	test_thrice();
	test_fractions();
	test_same();
	test_errors();
	test_croniter();
	test_days();
	test_windows();
	test_bounds();
	return done();
}

/*
 * cron.c
 *		Cron expressions: what they mean, and when they come true next.  Pure functions.
 *
 * The next time is looked for stretch by stretch of the zone: within one, local time is a straight
 * line, so the next local time that fits is found field by field, days first.  Stepping through
 * local times instead would loop or lose days where clocks are changed.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/cron.h"
#include "core/text.h"

#define BLANKS      " \t\n\r\f\v"
#define NAME_LENGTH 3 /* of months and days */
#define AHEAD_S     (14610 * TQ_DAY_S)

enum
{
	SUNDAY,
	MONDAY,
	FRIDAY = 5,
	SATURDAY
};

static const struct
{
	const char *name;
	int min;
	int max;
	const char *names; /* of min and the values after it, three letters each */
} fields[TQ_CRON_FIELDS] = {
	[TQ_CRON_SECOND] = {"second", 0, 59, ""},
	[TQ_CRON_MINUTE] = {"minute", 0, 59, ""},
	[TQ_CRON_HOUR] = {"hour", 0, 23, ""},
	[TQ_CRON_DAY] = {"day of month", 1, 31, ""},
	[TQ_CRON_MONTH] = {"month", 1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"},
	[TQ_CRON_WEEKDAY] = {"day of week", 0, 7, "SUNMONTUEWEDTHUFRISAT"},
};

static const struct
{
	const char *name;
	const char *text;
} shorthands[] = {
	{"@HOURLY", "0 * * * *"},
	{"@DAILY", "0 0 * * *"},
	{"@MIDNIGHT", "0 0 * * *"},
	{"@WEEKLY", "0 0 * * 0"},
	{"@MONTHLY", "0 0 1 * *"},
	{"@YEARLY", "0 0 1 1 *"},
	{"@ANNUALLY", "0 0 1 1 *"},
};

/* An element of a field's list while it is read.  It is in upper case. */
typedef struct reader
{
	const char *element;
	const char *at; /* what is read next */
	int field;
	tq_cron *cron;
	tq_cron_error *error;
} reader;

static bool
has(uint64_t set, int value)
{
	return set >> value & 1;
}

static void
add(uint64_t *set, int value)
{
	*set |= UINT64_C(1) << value;
}

/* ---- reading ------------------------------------------------------------- */

/* Notes what is wrong with the element.  Always false. */
static bool __attribute__((format(printf, 2, 3)))
refuse(reader *r, const char *format, ...)
{
	char quoted[40];
	char what[80];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	tq_text_printable(r->element, quoted, sizeof(quoted));
	snprintf(r->error->message, sizeof(r->error->message), "\"%s\" %s", quoted, what);
	r->error->field = fields[r->field].name;
	return false;
}

/* Says how names are written if that may be the mistake. */
static bool
malformed(reader *r)
{
	const char *names = fields[r->field].names;
	const char *c;

	for (c = r->element; *names != '\0' && *c != '\0'; c++)
		if (strspn(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") > NAME_LENGTH)
			return refuse(r, "is malformed; names have three letters, such as %.3s", names);
	return refuse(r, "is malformed");
}

/* Reads a letter or sign, if it comes next. */
static bool
skip_over(reader *r, char sign)
{
	bool is_next = *r->at == sign;

	r->at += is_next;
	return is_next;
}

/* Reads a number; what: that which it is, for the message. */
static bool
read_number(reader *r, const char *what, int min, int max, int *value)
{
	size_t len = strspn(r->at, "0123456789");

	if (len == 0)
		return malformed(r);
	*value = 0;
	while (len-- > 0)
		*value = (int) tq_sooner(*value * 10 + *r->at++ - '0', max + 1);
	return (*value >= min && *value <= max) ||
		   refuse(r, "has a %s that is not from %d to %d", what, min, max);
}

static bool
read_value(reader *r, int *value)
{
	const char *name;

	*value = fields[r->field].min;
	for (name = fields[r->field].names; *name != '\0'; name += 3, (*value)++)
		if (strncmp(r->at, name, 3) == 0)
		{
			r->at += 3;
			return true;
		}
	return read_number(r, "value", fields[r->field].min, fields[r->field].max, value);
}

/* Reads all, a value, or a range.  A single value with a step means: from it on. */
static bool
read_bounds(reader *r, int *first, int *last)
{
	*first = fields[r->field].min;
	*last = fields[r->field].max;
	if (skip_over(r, '*') || skip_over(r, '?'))
		return true;
	if (!read_value(r, first))
		return false;
	if (*r->at != '-' && *r->at != '/')
		*last = *first;
	if (skip_over(r, '-') && !read_value(r, last))
		return false;
	if (r->field == TQ_CRON_WEEKDAY && *last == SUNDAY && *first > *last)
		*last = 7;
	return *first <= *last || refuse(r, "ends before it begins");
}

/* Reads what every field may have. */
static bool
read_range(reader *r)
{
	int size = fields[r->field].max - fields[r->field].min + 1;
	int step = 1;
	int value;
	int last;

	if (!read_bounds(r, &value, &last) ||
		(skip_over(r, '/') && !read_number(r, "step", 1, size, &step)))
		return false;
	for (; value <= last; value += step)
		add(&r->cron->values[r->field], value);
	return true;
}

/* Reads L, L-3, LW, 15W, or a range. */
static bool
read_day(reader *r)
{
	int value = 0;

	if (skip_over(r, 'L'))
	{
		if (skip_over(r, 'W'))
			add(&r->cron->days_nearest, 0);
		else if (skip_over(r, '-') && !read_number(r, "distance", 1, 30, &value))
			return false;
		else
			add(&r->cron->days_before, value);
		return true;
	}
	if (strchr(r->at, 'W') == NULL)
		return read_range(r);
	if (!read_value(r, &value))
		return false;
	add(&r->cron->days_nearest, value);
	return skip_over(r, 'W') || malformed(r);
}

/* Reads 5L, MON#2, or a range. */
static bool
read_weekday(reader *r)
{
	int weekday;
	int n = 0;

	if (strpbrk(r->at, "#L") == NULL)
		return read_range(r);
	if (!read_value(r, &weekday) || (skip_over(r, '#') && !read_number(r, "number", 1, 5, &n)))
		return false;
	if (n == 0 && !skip_over(r, 'L'))
		return malformed(r);
	add(&r->cron->nth[n], weekday % 7);
	return true;
}

/* Reads a field's list. */
static bool
read_field(char *list, int field, tq_cron *cron, tq_cron_error *error)
{
	reader r = {.field = field, .cron = cron, .error = error};
	char *element;

	while ((element = strsep(&list, ",")) != NULL)
	{
		r.element = r.at = element;
		if (!(field == TQ_CRON_DAY       ? read_day(&r)
			  : field == TQ_CRON_WEEKDAY ? read_weekday(&r)
										 : read_range(&r)))
			return false;
		if (*r.at != '\0')
			return malformed(&r);
	}
	return true;
}

/* Letters are compared as ASCII, whatever the locale of the process is. */
static void
copy_upper(const char *text, char *copy)
{
	do
		*copy++ = *text >= 'a' && *text <= 'z' ? *text - 'a' + 'A' : *text;
	while (*text++ != '\0');
}

/* Splits a text at blanks, in place.  Returns the number of words, but at most `max`. */
static int
split(char *text, char **words, int max)
{
	char *rest;
	char *word = strtok_r(text, BLANKS, &rest);
	int n;

	for (n = 0; word != NULL && n < max; word = strtok_r(NULL, BLANKS, &rest))
		words[n++] = word;
	return n;
}

/* Splits an expression into its fields.  Returns their number, as split(). */
static int
split_fields(const char *text, char *copy, char **words)
{
	size_t i;
	int n;

	copy_upper(text, copy);
	n = split(copy, words, TQ_CRON_FIELDS + 1);
	for (i = 0; n == 1 && i < sizeof(shorthands) / sizeof(shorthands[0]); i++)
		if (strcmp(words[0], shorthands[i].name) == 0)
		{
			strcpy(copy, shorthands[i].text);
			n = split(copy, words, TQ_CRON_FIELDS + 1);
		}
	return n;
}

static bool
is_all(const char *list)
{
	return *list == '*' || *list == '?';
}

bool
tq_cron_parse(const char *text, tq_cron *cron, tq_cron_error *error)
{
	char copy[TQ_CRON_MAX_LENGTH + 1];
	char *lists[TQ_CRON_FIELDS + 1] = {NULL};
	int field;
	int n = 0;

	*error = (tq_cron_error){.message = "it must have five or six fields, or be a name with @"};
	*cron = (tq_cron){0};
	if (strnlen(text, sizeof(copy)) < sizeof(copy))
		n = split_fields(text, copy, lists);
	if (n == 1 && *lists[0] == '@')
		*error = (tq_cron_error){.message = "the names are @hourly, @daily, @midnight, @weekly, "
											"@monthly, @yearly and @annually"};
	if (n != TQ_CRON_FIELDS && n != TQ_CRON_FIELDS - 1)
		return false;
	if (n < TQ_CRON_FIELDS)
		add(&cron->values[TQ_CRON_SECOND], 0);
	cron->any_hour = is_all(lists[n - 4]);
	cron->either = !is_all(lists[n - 3]) && !is_all(lists[n - 1]);
	for (field = TQ_CRON_FIELDS - n; field < TQ_CRON_FIELDS; field++)
		if (!read_field(lists[field - TQ_CRON_FIELDS + n], field, cron, error))
			return false;
	if (has(cron->values[TQ_CRON_WEEKDAY], 7))
		add(&cron->values[TQ_CRON_WEEKDAY], SUNDAY);
	return true;
}

/* ---- the next time ------------------------------------------------------- */

/* The first member from a value on; 64 if there is none. */
static int
next_of(uint64_t set, int from)
{
	uint64_t rest = set >> from << from;

	return rest == 0 ? 64 : __builtin_ctzll(rest);
}

/* The first time of day that fits, from a second of the day on; TQ_DAY_S if there is none. */
static int
first_time(const tq_cron *cron, int from)
{
	const uint64_t *values = cron->values;
	int hour, minute, second;

	for (hour = next_of(values[TQ_CRON_HOUR], from / 3600); hour < 24;
		 hour = next_of(values[TQ_CRON_HOUR], hour + 1))
	{
		minute = hour == from / 3600 ? from / 60 % 60 : 0;
		for (minute = next_of(values[TQ_CRON_MINUTE], minute); minute < 60;
			 minute = next_of(values[TQ_CRON_MINUTE], minute + 1))
		{
			second = hour * 60 + minute == from / 60 ? from % 60 : 0;
			second = next_of(values[TQ_CRON_SECOND], second);
			if (second < 60)
				return hour * 3600 + minute * 60 + second;
		}
	}
	return TQ_DAY_S;
}

/* Whether a day from Monday to Friday is one of these days, or stands for one at a weekend. */
static bool
is_nearest(uint64_t days, int day, int weekday, int length)
{
	if (has(days, 0))
		add(&days, length);
	if (weekday == SUNDAY || weekday == SATURDAY)
		return false;
	return has(days, day) || (weekday == MONDAY && day > 1 && has(days, day - 1)) ||
		   (weekday == MONDAY && day == 3 && has(days, 1)) ||
		   (weekday == FRIDAY && day < length && has(days, day + 1)) ||
		   (weekday == FRIDAY && day + 2 == length && has(days, length));
}

static bool
fits_day(const tq_cron *cron, int day, int weekday, int length)
{
	bool by_date = has(cron->values[TQ_CRON_DAY], day) || has(cron->days_before, length - day) ||
				   is_nearest(cron->days_nearest, day, weekday, length);
	bool by_week = has(cron->values[TQ_CRON_WEEKDAY], weekday) ||
				   has(cron->nth[(day + 6) / 7], weekday) ||
				   (day > length - 7 && has(cron->nth[0], weekday));

	return cron->either ? by_date || by_week : by_date && by_week;
}

/* The first day that fits, from one day on; if there is none before end, one from end on. */
static int64_t
first_day(const tq_cron *cron, int64_t day, int64_t end)
{
	while (day < end)
	{
		tq_date date = tq_date_of(day);
		int64_t next = tq_month_begin(date.month + 1);
		int length = (int) (next - tq_month_begin(date.month));
		int month = (int) (date.month - 12 * tq_floor_div(date.month, 12)) + 1;

		if (!has(cron->values[TQ_CRON_MONTH], month))
			day = next;
		for (; day < next; day++, date.day++)
			if (fits_day(cron, date.day, tq_weekday(day), length))
				return day;
	}
	return day;
}

/* The first local time that fits, from one on; if there is none before end, one from end on. */
static int64_t
first_fit(const tq_cron *cron, int64_t from, int64_t end)
{
	int64_t today = tq_floor_div(from, TQ_DAY_S);
	int64_t end_day = tq_floor_div(end, TQ_DAY_S) + 1;
	int64_t day = first_day(cron, today, end_day);
	int time = day == today ? first_time(cron, (int) (from - today * TQ_DAY_S)) : TQ_DAY_S;

	if (time == TQ_DAY_S)
	{
		day = first_day(cron, tq_later(day, today + 1), end_day);
		time = first_time(cron, 0);
	}
	return day * TQ_DAY_S + time;
}

/*
 * If the hour is not any, `shown` keeps the second of two equal local times from being taken, and
 * makes a jump stand for the local times that it leaves out: earlier stretches have shown local
 * time up to there.  The walk begins two days ago, because two offsets differ by less.
 */
int64_t
tq_cron_next(const tq_cron *cron, const tq_zone *zone, int64_t after_us)
{
	int64_t after = tq_floor_div(after_us, TQ_SECOND);
	int64_t limit = after + AHEAD_S;
	tq_stretch s = tq_stretch_from(zone, after - 2 * TQ_DAY_S);
	int64_t shown = s.begin + s.offset;

	for (; s.begin < limit; s = tq_stretch_from(zone, s.end))
	{
		int64_t end = tq_sooner(s.end, limit) + s.offset;
		int64_t local = cron->any_hour ? s.begin + s.offset : shown;

		if (s.begin <= after)
			local = tq_later(local, after + 1 + s.offset);
		if (local < end)
			local = first_fit(cron, local, end);
		if (local < end)
			return tq_later(s.begin, local - s.offset) * TQ_SECOND;
		shown = tq_later(shown, s.end + s.offset);
	}
	return TQ_CRON_NEVER;
}

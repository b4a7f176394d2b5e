/*
 * zone.c
 *		The time zones of this machine, for tests of what the core sees through a tq_zone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "zone.h"

/* 1970 and 2080. */
#define BEGIN INT64_C(0)
#define END   INT64_C(3471292800)
#define STEP  INT64_C(43200)

int64_t
zone_local(int64_t instant)
{
	time_t time = instant;
	struct tm tm;

	if (localtime_r(&time, &tm) == NULL)
		abort();
	return instant + tm.tm_gmtoff;
}

static int32_t
offset_at(int64_t instant)
{
	return (int32_t) (zone_local(instant) - instant);
}

/* Between two instants with different offsets there is one change. */
static int64_t
find_change(int64_t before, int64_t after)
{
	while (after - before > 1)
	{
		int64_t middle = before + (after - before) / 2;

		if (offset_at(middle) == offset_at(before))
			before = middle;
		else
			after = middle;
	}
	return after;
}

void
zone_load(const char *name, zone_table *table)
{
	char path[100];
	int64_t t;

	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	if (access(path, R_OK) != 0)
	{
		printf("Bail out! %s cannot be read\n", path);
		exit(1);
	}
	setenv("TZ", name, 1);
	tzset();
	table->n = 0;
	table->first = offset_at(BEGIN);
	for (t = BEGIN; t < END; t += STEP)
	{
		if (offset_at(t) == offset_at(t + STEP))
			continue;
		if (table->n == ZONE_MAX_CHANGES)
			abort();
		table->at[table->n] = find_change(t, t + STEP);
		table->offset[table->n++] = offset_at(t + STEP);
	}
}

/* As pg_next_dst_boundary() it knows the end of a stretch, and not its begin. */
static int32_t
offset_of(const void *data, int64_t at, int64_t *until)
{
	const zone_table *table = data;
	int low = 0;
	int high = table->n;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (table->at[middle] <= at)
			low = middle + 1;
		else
			high = middle;
	}
	*until = low < table->n ? table->at[low] : INT64_MAX;
	return low == 0 ? table->first : table->offset[low - 1];
}

tq_zone
zone_of(const zone_table *table)
{
	return (tq_zone){offset_of, table};
}

int64_t
zone_read(const char *text)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%d %H:%M", &tm);

	if (rest != NULL && *rest == ':')
		rest = strptime(rest, ":%S", &tm);
	if (rest == NULL || strcmp(rest, "Z") != 0)
		abort();
	return timegm(&tm) * TQ_SECOND;
}

const char *
zone_write(int64_t us, char text[32])
{
	time_t time = tq_floor_div(us, TQ_SECOND);
	struct tm tm;

	if (us == INT64_MAX || gmtime_r(&time, &tm) == NULL)
		return strcpy(text, "never");
	strftime(text, 32, tm.tm_sec == 0 ? "%Y-%m-%d %H:%MZ" : "%Y-%m-%d %H:%M:%SZ", &tm);
	if (us % TQ_SECOND != 0)
		snprintf(text + strlen(text), 10, "+%dus", (int) (us - time * TQ_SECOND));
	return text;
}

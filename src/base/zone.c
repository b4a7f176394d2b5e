/*
 * zone.c
 *		The server's time zones, as the core sees them.
 *
 * The server reads the data of a zone once in a process.  New time zone data is seen by sessions
 * that begin later.
 */
#include "postgres.h"

#include "pgtime.h"

#include "base/zone.h"

/* The names that contain digits, beside those that begin with Etc/. */
static const char *const names_with_digits[] = {
	"GMT0",
	"GMT+0",
	"GMT-0",
	"EST5EDT",
	"CST6CDT",
	"MST7MDT",
	"PST8PDT",
};

/* pg_tzset() reads what is no name as a POSIX specification, which always has digits. */
static bool
may_be_name(const char *name)
{
	if (strpbrk(name, "0123456789") == NULL || pg_strncasecmp(name, "Etc/", 4) == 0)
		return true;
	for (int i = 0; i < (int) lengthof(names_with_digits); i++)
	{
		if (pg_strcasecmp(name, names_with_digits[i]) == 0)
			return true;
	}
	return false;
}

static int32_t
offset_at(const void *data, int64_t at, int64_t *until)
{
	pg_time_t time = at;
	pg_time_t boundary;
	long before;
	long after;
	int before_dst;
	int after_dst;
	int found = pg_next_dst_boundary(&time, &before, &before_dst, &boundary, &after, &after_dst,
									 (const pg_tz *) data);

	*until = found > 0 ? boundary : INT64_MAX;
	return found >= 0 ? (int32_t) before : 0;
}

const char *
zone_find(const char *name, tq_zone *zone)
{
	pg_tz *tz = may_be_name(name) ? pg_tzset(name) : NULL;

	/* Those with leap seconds do not fit the server's own times. */
	if (tz == NULL || !pg_tz_acceptable(tz))
		return NULL;
	*zone = (tq_zone){.offset = offset_at, .data = tz};
	return pg_get_timezone_name(tz);
}

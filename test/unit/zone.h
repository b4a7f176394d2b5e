/*
 * zone.h
 *		The time zones of this machine, for tests of what the core sees through a tq_zone.
 */
#ifndef ZONE_H
#define ZONE_H

#include "core/calendar.h"

#define ZONE_MAX_CHANGES 1000

/* The changes of offset from 1970 to 2080. */
typedef struct zone_table
{
	int n;
	int64_t at[ZONE_MAX_CHANGES];
	int32_t offset[ZONE_MAX_CHANGES]; /* from there on */
	int32_t first;                    /* before the first change */
} zone_table;

/* Makes this the zone of the process, and reads its changes.  Ends the program if there is none. */
extern void zone_load(const char *name, zone_table *table);

/* What the clocks of the zone of the process show, by the C library. */
extern int64_t zone_local(int64_t instant);

/* The view that the core has of a table. */
extern tq_zone zone_of(const zone_table *table);

/* Times as text: "2027-03-14 07:00:00Z", the seconds may be left out.  Microseconds since 1970. */
extern int64_t zone_read(const char *text);
extern const char *zone_write(int64_t us, char text[32]); /* "never" for INT64_MAX */

#endif

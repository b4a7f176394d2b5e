/*
 * zone.h
 *		The server's time zones, as the core sees them.
 */
#ifndef TASKQ_ZONE_H
#define TASKQ_ZONE_H

#include "core/calendar.h"

/*
 * Finds a time zone by its full name, in upper or lower case.  Returns the name as the time zone
 * data has it, which is valid for the session as the zone is; NULL if there is no such zone.
 * Abbreviations and POSIX specifications, such as UTC+3, are no names.
 */
extern const char *zone_find(const char *name, tq_zone *zone);

#endif

/*
 * meter.h
 *		How far a command is that can last, on standard error.
 *
 * On a terminal it is a line that comes after half a second and is drawn anew; elsewhere there is a
 * line each ten seconds.  Times are those of tq_clock_ms().
 */
#ifndef CLI_METER_H
#define CLI_METER_H

#include <stdbool.h>
#include <stdint.h>

/* Begins with the name of the command and that of a queue or file.  quiet: nothing is shown. */
extern void cli_meter_begin(const char *command, const char *what, bool quiet, int64_t now_ms);

/*
 * done: tasks so far; total: of how many, 0: not known; part: of the whole, from 0 to 1, -1: not
 * known.
 */
extern void cli_meter_show(long done, long total, double part, int64_t now_ms);

/* For what cannot tell how far it is: how long it has taken. */
extern void cli_meter_show_time(int64_t now_ms);

/* Takes the line away, so that something else can be printed. */
extern void cli_meter_clear(void);

#endif

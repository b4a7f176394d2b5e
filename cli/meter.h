/*
 * meter.h
 *		How far a command is that can last, on standard error.
 *
 * On a terminal it is a line that comes after half a second and is drawn anew; elsewhere there is a
 * line each ten seconds.  With --quiet there is none.
 */
#ifndef CLI_METER_H
#define CLI_METER_H

/* Begins with the name of the command and that of a queue. */
extern void cli_meter_begin(const char *command, const char *queue);

/*
 * done: tasks so far; total: of how many, 0: not known; part: of the whole, from 0 to 1, -1: not
 * known.
 */
extern void cli_meter_show(long done, long total, double part);

/* Takes the line away, so that something else can be printed. */
extern void cli_meter_clear(void);

#endif

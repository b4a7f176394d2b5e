/*
 * conffile.h
 *		Files of settings: NAME = VALUE on each line.
 */
#ifndef CLIENT_CONFFILE_H
#define CLIENT_CONFFILE_H

#include <stdio.h>

/*
 * Gets a setting, without the blanks at both ends of its name and of its value, which are valid
 * during the call.  value: NULL if the line has no "=", or begins with "[": it is the heading of a
 * section then.  number: of the line, from 1.
 */
typedef void tq_conffile_taker(void *arg, int number, const char *name, const char *value);

/* Gives each line to take(), except empty ones and those that begin with #. */
extern void tq_conffile_read(FILE *file, tq_conffile_taker *take, void *arg);

#endif

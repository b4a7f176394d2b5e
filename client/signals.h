/*
 * signals.h
 *		The signals of a program that waits in one place: a handler notes them and ends the wait.
 */
#ifndef CLIENT_SIGNALS_H
#define CLIENT_SIGNALS_H

#include <stdbool.h>

/*
 * Takes SIGTERM and SIGINT, and ignores SIGPIPE.  After so many of the two the next one ends the
 * program at once, with status 128 + its number.  False: no descriptors.
 */
extern bool tq_signals_take(int patience);

/* Takes one more signal, of which tq_signals_came() tells. */
extern bool tq_signals_add(int number);

/* Becomes readable with each signal; reading is left to tq_signals_clear(). */
extern int tq_signals_fd(void);
extern void tq_signals_clear(void);

/* How many of SIGTERM and SIGINT came. */
extern int tq_signals_stops(void);

/* Whether the signal came since the last call. */
extern bool tq_signals_came(int number);

#endif

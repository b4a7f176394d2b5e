/*
 * clock_watch.h
 *		Tells when the system clock is set.
 */
#ifndef TASKQ_CLOCK_WATCH_H
#define TASKQ_CLOCK_WATCH_H

/* A descriptor that becomes readable when the clock is set; -1: this system has none. */
extern int clock_watch(void);

/* To be called when it is readable, so that it waits for the next time. */
extern void clock_watch_again(void);

#endif

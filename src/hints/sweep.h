/*
 * sweep.h
 *		Looks for pending tasks that no session has offered.
 */
#ifndef TASKQ_SWEEP_H
#define TASKQ_SWEEP_H

/*
 * Makes a whole sweep, if a transaction has asked for one.  If it fails half-way, the next
 * caller makes it.
 */
extern void sweep_if_wanted(void);

#endif

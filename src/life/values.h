/*
 * values.h
 *		The values of a task while it runs.
 */
#ifndef TASKQ_VALUES_H
#define TASKQ_VALUES_H

#include "tables/queue.h"

/*
 * The greatest number above "after" of a value of the task; 0: there is none, or the caller may not
 * read it.
 */
extern int value_newest(int64 id, int after);

/* Up to which number values of the task are wanted. */
extern int value_wanted(int64 id);

/* Writes a value, unless there is one of that number already, which stays. */
extern void value_write(int64 id, const Queue *queue, int n, Datum value);

/*
 * Both are for the call that this process makes.  The first one, for a call on demand, waits until
 * a value is wanted that is not there yet.  The second one tells the executor a value (n: its
 * number, or 0 for the next one), returns its number, and waits, on demand, until the next one is
 * wanted; TQ006 for a value that is too large.
 */
extern void value_wait_for_first(void);
extern int value_tell(int n, Datum value);

#endif

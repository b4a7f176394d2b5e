/*
 * values.h
 *		The values of a task while it runs.
 */
#ifndef TASKQ_VALUES_H
#define TASKQ_VALUES_H

/*
 * The greatest number above "after" of a value of the task; 0: there is none, or the caller may not
 * read it.
 */
extern int value_newest(int64 id, int after);

/* Up to which number values of the task are wanted. */
extern int value_wanted(int64 id);

#endif

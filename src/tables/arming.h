/*
 * arming.h
 *		Whether this database sends: it must have been armed here, not in its original.
 */
#ifndef TASKQ_ARMING_H
#define TASKQ_ARMING_H

/* The first submit in a database arms it: see sql/74_arming.sql. */
extern void arming_arm_if_new(void);

#endif

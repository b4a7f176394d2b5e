/*
 * arming.h
 *		Whether this database may send requests: arm() must have been called for it.
 */
#ifndef TASKQ_ARMING_H
#define TASKQ_ARMING_H

typedef enum ArmState
{
	ARM_NEW,     /* no task was submitted yet */
	ARM_REFUSED, /* disarmed, or a copy of a database that was armed */
	ARM_ARMED
} ArmState;

/* Reads the latest committed state and this transaction's own changes. */
extern ArmState arming_state(void);

/* Whether this database may be a copy that is not complete yet. */
extern bool arming_is_copy(void);

/* The first submit in a database arms it: see sql/74_arming.sql. */
extern void arming_arm_if_new(void);

#endif

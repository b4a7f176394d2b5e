/*
 * arming.h
 *		Whether this database sends: it must have been armed here, not in its original.
 */
#ifndef TASKQ_ARMING_H
#define TASKQ_ARMING_H

typedef enum ArmState
{
	ARM_NEW,     /* nothing was submitted here yet */
	ARM_REFUSED, /* disarmed, or a copy of a database that was armed */
	ARM_ARMED
} ArmState;

/* As the latest committed state has it, and this transaction's own changes. */
extern ArmState arming_state(void);

/* The first submit in a database arms it: see sql/74_arming.sql. */
extern void arming_arm_if_new(void);

#endif

/*
 * state.h
 *		The states of a task.
 */
#ifndef TASKQ_STATE_H
#define TASKQ_STATE_H

/* In the order of the SQL type taskq.state.  No other successors are legal. */
typedef enum TaskState
{
	STATE_PENDING,   /* next: RUNNING (acquire), CANCELLED, EXPIRED */
	STATE_RUNNING,   /* next: FINISHED, PENDING (retry, release, lost lease), DEAD, CANCELLED */
	STATE_FINISHED,  /* the end */
	STATE_DEAD,      /* next: PENDING by retry(), which starts a new life */
	STATE_CANCELLED, /* the same */
	STATE_EXPIRED    /* the same */
} TaskState;

#define NENDED (STATE_EXPIRED - STATE_FINISHED + 1) /* states in which a task has ended */

/* Its name in SQL. */
extern const char *state_label(TaskState state);

/* The value of the SQL type taskq.state. */
extern Datum state_datum(TaskState state);

#endif

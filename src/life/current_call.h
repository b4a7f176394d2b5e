/*
 * current_call.h
 *		The call that this process makes, for the function that is called.
 */
#ifndef TASKQ_CURRENT_CALL_H
#define TASKQ_CURRENT_CALL_H

#include "postgres.h"

/* What a function tells while it runs.  call_claim.c writes it. */
typedef enum CallMessageKind
{
	MESSAGE_PROGRESS = 1,
	MESSAGE_VALUE
} CallMessageKind;

/*
 * Sends a jsonb to the executor, which writes it in a transaction of its own.  n: the number of a
 * value, otherwise 0.
 */
typedef void (*CallTeller)(CallMessageKind kind, int n, Datum content);

/* A call that is being made. */
typedef struct MadeCall
{
	int64 id; /* of its task */
	bool on_demand;
	int last; /* the greatest number of its values; -1: it is not known yet */
	CallTeller tell;
} MadeCall;

/* The process begins a call, which stays there until the process ends it (NULL). */
extern void current_call_set(MadeCall *call);

/* The call that this process makes, if it is that of the task; otherwise NULL. */
extern MadeCall *current_call_of(int64 id);

/* The same of whichever task. */
extern MadeCall *current_call(void);

#endif

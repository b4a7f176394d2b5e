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
	MESSAGE_PROGRESS = 1
} CallMessageKind;

/* Sends a jsonb to the executor, which writes it in a transaction of its own. */
typedef void (*CallTeller)(CallMessageKind kind, Datum content);

/* The process begins, or ends (0, NULL), the call of a task. */
extern void current_call_set(int64 id, CallTeller tell);

/* Whether this process makes the call of that task. */
extern bool is_current_call(int64 id);

/* For the current call. */
extern void current_call_tell(CallMessageKind kind, Datum content);

#endif

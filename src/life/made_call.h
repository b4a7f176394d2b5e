/*
 * made_call.h
 *		What the process that makes a call does for its task.
 *
 * Each function runs as taskq_owner and belongs to the transaction that is open; the role is back
 * when it returns.
 */
#ifndef TASKQ_MADE_CALL_H
#define TASKQ_MADE_CALL_H

#include "life/call.h"

/* Reads the call of a running task into the current memory context.  False: its lease is lost. */
extern bool made_call_read(int64 id, int64 token, CallParts *parts);

/*
 * Finishes the task; result: jsonb, or 0.  If its lease is lost, an error rolls back what the
 * function did.  TQ006 for a result that is too large.
 */
extern void made_call_finish(int64 id, int64 token, Datum result);

/* The attempt fails with the error of the function, unless the lease is lost. */
extern void made_call_fail(int64 id, int64 token, const ErrorData *error, bool timed_out);

/* The task is dead: the call cannot be made at all. */
extern void made_call_refuse(int64 id, int64 token, const char *reason);

#endif

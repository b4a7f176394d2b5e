/*
 * run_call.h
 *		Calls a function, as a client's statement would.
 */
#ifndef TASKQ_RUN_CALL_H
#define TASKQ_RUN_CALL_H

#include "life/call.h"

/*
 * Calls the function, whose arguments are bound, in the transaction that is open.  A procedure may
 * end that and leave another one.  label: the text of the statement.  Memory that outlasts
 * transactions must be current, in which the result, a jsonb, is allocated; 0: none.  The rows of a
 * set are told as values.
 */
extern Datum run_call(const Callee *callee, const char *label);

#endif

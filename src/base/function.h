/*
 * function.h
 *		Calls of our own SQL functions without a statement.
 */
#ifndef TASKQ_FUNCTION_H
#define TASKQ_FUNCTION_H

#include "executor/tuptable.h"

#define FUNCTION_MAX_ARGS 16

/* A function of the extension's private schema; argtypes end with InvalidOid. */
typedef struct Function
{
	const char *name;
	Oid argtypes[FUNCTION_MAX_ARGS + 1];
} Function;

/*
 * Calls the function as a statement of the current user would: the user needs the same privileges,
 * and an administrator may have replaced it.  Its result must not be NULL.
 */
extern Datum function_call(const Function *function, const NullableDatum *args);

/*
 * The same for a function that returns rows: calls see() with each of them.  The slot is valid
 * during that call only, and so is the memory that see() allocates.
 */
typedef void (*SlotSeer)(TupleTableSlot *slot, void *arg);
extern void function_rows(const Function *function, const NullableDatum *args, SlotSeer see,
						  void *arg);

#endif

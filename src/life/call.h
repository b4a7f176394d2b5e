/*
 * call.h
 *		Calls of functions as values: which function, with which arguments, as which role.
 */
#ifndef TASKQ_CALL_H
#define TASKQ_CALL_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* The parameters of a function that can be called, without those that only return something. */
typedef struct Callee
{
	Oid function;
	bool procedure;
	bool set;
	bool variadic;
	Oid result_type;
	int nargs;
	Oid types[FUNC_MAX_ARGS];
	const char *names[FUNC_MAX_ARGS]; /* empty: it has none */
	List *defaults;                   /* expressions, of the last parameters */

	/* The arguments, once they are bound. */
	bool given[FUNC_MAX_ARGS]; /* otherwise its default */
	Datum values[FUNC_MAX_ARGS];
	bool nulls[FUNC_MAX_ARGS];
} Callee;

/*
 * The column "call" of a task.  args: an array; kwargs: an object.  The texts are those of the
 * types' output functions.
 */
typedef struct CallParts
{
	const char *function; /* its signature */
	Jsonb *args;
	Jsonb *kwargs;
	const char *role;
	int32 caller;   /* number of a row in caller */
	bool on_demand; /* it waits for want() */
} CallParts;

/* The function with that signature; TQ004 if there is none. */
extern Oid call_find_function(const char *signature);

/* Its signature, palloc'd, which names it whatever the search_path is. */
extern char *call_signature(Oid function);

/* TQ004 for a function that cannot be called. */
extern void call_look_up(Callee *callee, Oid function);

/*
 * Converts the arguments to the types of the parameters; NULL: there are none.  TQ004 for what does
 * not fit.  stored: they are from a task, and do not depend on the settings of the session.
 */
extern void call_bind(Callee *callee, Jsonb *args, Jsonb *kwargs, bool stored);

/* The arguments of a bound call as they are stored. */
extern Jsonb *call_args(const Callee *callee, Jsonb *args);
extern Jsonb *call_kwargs(const Callee *callee, Jsonb *kwargs);

/* Both convert between the column and its parts; TQ004 for a column that was changed by hand. */
extern Datum call_make(const CallParts *parts);
extern void call_read(Datum call, CallParts *parts);

extern Datum call_without_arguments(Datum call);

/* A value as jsonb. */
extern Datum call_result(Oid type, Datum value);

/*
 * The number of a role in caller, which gets a row if it has none.  Runs as taskq_owner.
 */
extern int32 caller_number(Oid role, const char *name);

/* The role of that number; InvalidOid: the role of this name is another one now. */
extern Oid caller_role(int32 number, const char *name);

/* Why no function can be called as the role, and in *hint what to do; NULL: it can. */
extern const char *caller_fault(Oid role, const char **hint);

#endif

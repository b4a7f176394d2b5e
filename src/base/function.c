/*
 * function.c
 *		Calls of our own SQL functions without a statement.
 *
 * The executor calls some functions for each few tasks that it sends.  A statement around such a
 * call costs more than the call: planner, query executor, a tuple for each result.  Here the
 * function manager calls the function as the query executor would, so whatever a statement could
 * call is called: the function is looked up by its name, and the privileges of the current user
 * are checked.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/tuplestore.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/function.h"

static int
nargs_of(const Function *function)
{
	int nargs = 0;

	while (OidIsValid(function->argtypes[nargs]))
		nargs++;
	return nargs;
}

static void
look_up(const Function *function, FmgrInfo *info)
{
	List *name = list_make2(makeString(TASKQ_PRIVATE_SCHEMA), makeString(pstrdup(function->name)));
	Oid oid = LookupFuncName(name, nargs_of(function), function->argtypes, false);

	if (!compat_may_execute(oid, GetUserId()))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, function->name);
	fmgr_info(oid, info);
}

static Datum
invoke(const Function *function, FmgrInfo *info, const NullableDatum *args, ReturnSetInfo *rows,
	   bool *isnull)
{
	LOCAL_FCINFO(fcinfo, FUNCTION_MAX_ARGS);
	Datum result;

	InitFunctionCallInfoData(*fcinfo, info, nargs_of(function), InvalidOid, NULL, (Node *) rows);
	memcpy(fcinfo->args, args, fcinfo->nargs * sizeof(NullableDatum));
	result = FunctionCallInvoke(fcinfo);
	*isnull = fcinfo->isnull;
	return result;
}

Datum
function_call(const Function *function, const NullableDatum *args)
{
	FmgrInfo info;
	bool isnull;
	Datum result;

	look_up(function, &info);
	result = invoke(function, &info, args, NULL, &isnull);
	if (isnull)
		elog(ERROR, "function %s returned NULL", function->name);
	return result;
}

static void
see_rows(const ReturnSetInfo *rows, SlotSeer see, void *arg)
{
	TupleTableSlot *slot;

	if (rows->setResult == NULL)
		return;
	slot = MakeSingleTupleTableSlot(rows->setDesc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(rows->setResult, true, false, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(rows->econtext->ecxt_per_tuple_memory);

		slot_getallattrs(slot);
		see(slot, arg);
		MemoryContextSwitchTo(old);
		ResetExprContext(rows->econtext);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(rows->setResult);
}

void
function_rows(const Function *function, const NullableDatum *args, SlotSeer see, void *arg)
{
	ReturnSetInfo rows = {
		.type = T_ReturnSetInfo,
		.econtext = CreateStandaloneExprContext(),
		.allowedModes = SFRM_Materialize,
		.returnMode = SFRM_Materialize,
	};
	FmgrInfo info;
	bool isnull;

	look_up(function, &info);
	(void) get_func_result_type(info.fn_oid, NULL, &rows.expectedDesc);
	(void) invoke(function, &info, args, &rows, &isnull);
	see_rows(&rows, see, arg);
	FreeExprContext(rows.econtext, true);
}

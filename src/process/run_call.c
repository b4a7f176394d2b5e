/*
 * run_call.c
 *		Calls a function, as a client's statement would.
 *
 * The statement is made of nodes, not of text: the function is named by its number, and the
 * arguments are parameters.  So nothing that a user wrote is parsed here, and no log or view has
 * the arguments.  It runs in a portal, because code that functions call expects one.
 *
 * A function that returns a set stands in the target list, where the executor asks it for one row
 * after the other, as far as its language gives them so.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "parser/parse_collate.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "life/values.h"
#include "process/run_call.h"

/* ---- the statement ---------------------------------------------------------------- */

static Node *
parameter(const Callee *callee, int n)
{
	Param *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = n + 1;
	param->paramtype = callee->types[n];
	param->paramtypmod = -1;
	param->paramcollid = get_typcollation(callee->types[n]);
	param->location = -1;
	return (Node *) param;
}

/* The default of a parameter that has one. */
static Node *
default_of(const Callee *callee, int n)
{
	return list_nth(callee->defaults, n - (callee->nargs - list_length(callee->defaults)));
}

static FuncExpr *
expression_of(const Callee *callee)
{
	FuncExpr *expr;
	List *args = NIL;

	for (int i = 0; i < callee->nargs; i++)
		args = lappend(args, callee->given[i] ? parameter(callee, i) : default_of(callee, i));
	expr = makeFuncExpr(callee->function, callee->result_type, args, InvalidOid, InvalidOid,
						COERCE_EXPLICIT_CALL);
	expr->funcretset = callee->set;
	expr->funcvariadic = callee->variadic;
	assign_expr_collations(NULL, (Node *) expr);
	return expr;
}

static ParamListInfo
parameters_of(const Callee *callee)
{
	ParamListInfo params = makeParamList(callee->nargs);

	for (int i = 0; i < callee->nargs; i++)
	{
		params->params[i].value = callee->values[i];
		params->params[i].isnull = !callee->given[i] || callee->nulls[i];
		params->params[i].pflags = 0;
		params->params[i].ptype = callee->types[i];
	}
	return params;
}

/* SELECT function(...) */
static PlannedStmt *
plan_function(const Callee *callee, const char *label)
{
	Query *query = makeNode(Query);
	PlannedStmt *plan;

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->hasTargetSRFs = callee->set;
	query->jointree = makeFromExpr(NIL, NULL);
	query->targetList = list_make1(
		makeTargetEntry((Expr *) expression_of(callee), 1, pstrdup("result"), false));
	PushActiveSnapshot(GetTransactionSnapshot());
	plan = pg_plan_query(query, label, 0, NULL);
	PopActiveSnapshot();
	return plan;
}

/* The output parameters, of which only the types matter. */
static List *
outputs_of(Oid procedure)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(procedure));
	Oid *types;
	char **names;
	char *modes;
	int count;
	List *outputs = NIL;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", procedure);
	count = get_func_arg_info(tuple, &types, &names, &modes);
	for (int i = 0; i < count && modes != NULL; i++)
	{
		if (modes[i] == PROARGMODE_OUT || modes[i] == PROARGMODE_INOUT)
			outputs = lappend(outputs, makeNullConst(types[i], -1, get_typcollation(types[i])));
	}
	ReleaseSysCache(tuple);
	return outputs;
}

/* CALL procedure(...) */
static PlannedStmt *
plan_procedure(const Callee *callee)
{
	CallStmt *call = makeNode(CallStmt);
	PlannedStmt *plan = makeNode(PlannedStmt);

	call->funcexpr = expression_of(callee);
	call->outargs = outputs_of(callee->function);
	plan->commandType = CMD_UTILITY;
	plan->canSetTag = true;
	plan->utilityStmt = (Node *) call;
	plan->stmt_location = -1;
	return plan;
}

/* ---- the result ------------------------------------------------------------------- */

typedef struct ResultReceiver
{
	DestReceiver receiver;
	const Callee *callee;
	MemoryContext context;
	MemoryContext row_context; /* reset for each row */
	Datum result;              /* jsonb, or 0 */
} ResultReceiver;

/* The output parameters of a procedure as a row. */
static Datum
row_of(TupleTableSlot *slot)
{
	TupleDesc desc = BlessTupleDesc(CreateTupleDescCopy(slot->tts_tupleDescriptor));

	slot_getallattrs(slot);
	return HeapTupleGetDatum(heap_form_tuple(desc, slot->tts_values, slot->tts_isnull));
}

static Datum
row_value(const Callee *callee, TupleTableSlot *slot, bool *isnull)
{
	Oid type = TupleDescAttr(slot->tts_tupleDescriptor, 0)->atttypid;

	*isnull = false;
	if (callee->procedure)
		return call_result(RECORDOID, row_of(slot));
	(void) slot_getattr(slot, 1, isnull);
	*isnull = *isnull || type == VOIDOID;
	return *isnull ? (Datum) 0 : call_result(type, slot_getattr(slot, 1, isnull));
}

static Datum
json_null(void)
{
	JsonbValue null = {.type = jbvNull};

	return JsonbPGetDatum(JsonbValueToJsonb(&null));
}

/* Rows of a set are values; anything else is the result. */
static bool
receive_result(TupleTableSlot *slot, DestReceiver *self)
{
	ResultReceiver *r = (ResultReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(r->row_context);
	bool isnull;
	Datum value = row_value(r->callee, slot, &isnull);

	if (r->callee->set)
		(void) value_tell(0, isnull ? json_null() : value);
	MemoryContextSwitchTo(r->context);
	if (!r->callee->set && !isnull)
		r->result = JsonbPGetDatum(DatumGetJsonbPCopy(value));
	MemoryContextSwitchTo(old);
	MemoryContextReset(r->row_context);
	return true;
}

static void
start_up(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
shut_down(DestReceiver *self)
{
}

/* ---- the call --------------------------------------------------------------------- */

static ResultReceiver
result_receiver(const Callee *callee)
{
	ResultReceiver r = {
		.receiver = {
			.receiveSlot = receive_result,
			.rStartup = start_up,
			.rShutdown = shut_down,
			.rDestroy = shut_down,
			.mydest = DestNone,
		},
		.callee = callee,
		.context = CurrentMemoryContext,
	};

	r.row_context = AllocSetContextCreate(r.context, "taskq row", ALLOCSET_DEFAULT_SIZES);
	return r;
}

Datum
run_call(const Callee *callee, const char *label)
{
	ResultReceiver result = result_receiver(callee);
	PlannedStmt *plan = callee->procedure ? plan_procedure(callee) : plan_function(callee, label);
	Portal portal = CreatePortal("", true, true);
	QueryCompletion completion;

	portal->visible = false;
	PortalDefineQuery(portal, NULL, label, callee->procedure ? CMDTAG_CALL : CMDTAG_SELECT,
					  list_make1(plan), NULL);
	PortalStart(portal, parameters_of(callee), 0, InvalidSnapshot);
	compat_portal_run(portal, &result.receiver, &completion);
	PortalDrop(portal, false);
	return result.result;
}

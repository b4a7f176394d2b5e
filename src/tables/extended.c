/*
 * extended.c
 *		Writing rows of a table to which an administrator has added something.
 *
 * The parts of PostgreSQL's executor that INSERT and UPDATE use are called for one row.  The
 * expressions of indexes, checks and defaults are not ours.  They run with the rights of the
 * table's owner, as in CREATE INDEX, and neither the caller's search_path nor the caller's rights
 * reach them.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/sql.h"
#include "tables/extended.h"

typedef struct Writing
{
	OwnerRights before;
	Relation table;
	EState *estate;
	ResultRelInfo *target;
	TupleTableSlot *slot; /* the row to be written */
} Writing;

/* speculative: insert_speculatively() will be called. */
static void
begin_writing(Writing *w, Relation table, bool speculative)
{
	sql_begin_as_owner(&w->before, SECURITY_RESTRICTED_OPERATION);
	w->table = table;
	w->estate = CreateExecutorState();
	w->target = makeNode(ResultRelInfo);
	InitResultRelInfo(w->target, table, 0, NULL, 0);
	ExecOpenIndices(w->target, speculative);
	w->slot = table_slot_create(table, NULL);
}

static void
end_writing(Writing *w)
{
	ExecCloseIndices(w->target);
	ExecDropSingleTupleTableSlot(w->slot);
	FreeExecutorState(w->estate);
	sql_end_as(&w->before);
}

/* ---- the row ----------------------------------------------------------------------------- */

static Datum
default_value(Writing *w, AttrNumber column, bool *isnull)
{
	Expr *expression = (Expr *) build_column_default(w->table, column);

	*isnull = true;
	if (expression == NULL)
		return (Datum) 0;
	return ExecEvalExpr(ExecPrepareExpr(expression, w->estate),
						GetPerTupleExprContext(w->estate), isnull);
}

/* Column i, from zero, which is not ours.  Generated ones are computed later. */
static Datum
other_value(Writing *w, int i, TupleTableSlot *old, bool *isnull)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(w->table), i);

	*isnull = true;
	if (att->attisdropped || att->attgenerated != '\0')
		return (Datum) 0;
	if (old != NULL)
		return slot_getattr(old, i + 1, isnull);
	return default_value(w, i + 1, isnull);
}

/* No message shows the row, because it can hold what must not be in a log. */
static void
check_not_null(Writing *w)
{
	TupleDesc desc = RelationGetDescr(w->table);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attnotnull && w->slot->tts_isnull[i])
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("null value in column \"%s\" of relation \"%s\" violates not-null "
							"constraint",
							NameStr(att->attname), RelationGetRelationName(w->table)),
					 errdetail("An administrator has added the constraint to a table of taskq."),
					 errhint("Drop the constraint, or give the column a default.")));
	}
}

static void
check_constraints(Writing *w)
{
	const TupleConstr *constr = RelationGetDescr(w->table)->constr;
	ExprContext *context = GetPerTupleExprContext(w->estate);

	context->ecxt_scantuple = w->slot;
	for (int i = 0; i < constr->num_check; i++)
	{
		const ConstrCheck *check = &constr->check[i];

		if (compat_is_enforced(check) &&
			!ExecCheck(ExecPrepareExpr(stringToNode(check->ccbin), w->estate), context))
			ereport(ERROR,
					(errcode(ERRCODE_CHECK_VIOLATION),
					 errmsg("new row for relation \"%s\" violates check constraint \"%s\"",
							RelationGetRelationName(w->table), check->ccname),
					 errdetail("An administrator has added the constraint to a table of taskq."),
					 errhint("Submit another task, or drop the constraint.")));
	}
}

/* Makes the row and checks it.  old: the row it replaces, or NULL. */
static void
make_row(Writing *w, const OwnColumns *own, TupleTableSlot *old)
{
	const TupleConstr *constr = RelationGetDescr(w->table)->constr;
	TupleTableSlot *slot = w->slot;

	ExecClearTuple(slot);
	for (int i = 0; i < RelationGetNumberOfAttributes(w->table); i++)
	{
		slot->tts_isnull[i] = i < own->count ? own->nulls[i] : true;
		slot->tts_values[i] = i < own->count
								  ? own->values[i]
								  : other_value(w, i, old, &slot->tts_isnull[i]);
	}
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(w->table);
	if (constr == NULL)
		return;
	if (constr->has_generated_stored)
		ExecComputeStoredGenerated(w->target, w->estate, slot, CMD_INSERT);
	slot_getallattrs(slot);
	check_not_null(w);
	check_constraints(w);
}

/* ---- writing it ---------------------------------------------------------------------------- */

void
extended_insert(Relation table, TupleTableSlot *old, const OwnColumns *own, ItemPointer tid)
{
	Writing w;

	begin_writing(&w, table, false);
	make_row(&w, own, old);
	table_tuple_insert(table, w.slot, GetCurrentCommandId(true), 0, NULL);
	compat_insert_index_tuples(w.target, w.slot, w.estate, false, NULL, NIL, false);
	*tid = w.slot->tts_tid;
	end_writing(&w);
}

void
extended_update(Relation table, TupleTableSlot *old, const OwnColumns *own, ItemPointer tid)
{
	Writing w;
	ItemPointerData place = old->tts_tid;
	TM_FailureData failure;
	LockTupleMode lock;
	CompatIndexes indexes;
	TM_Result result;

	begin_writing(&w, table, false);
	make_row(&w, own, old);
	result = table_tuple_update(table, &place, w.slot, GetCurrentCommandId(true), InvalidSnapshot,
								InvalidSnapshot, true, &failure, &lock, &indexes);
	if (result != TM_Ok)
		elog(ERROR, "unexpected result %d of an update of a locked row", result);
	if (compat_any_index(indexes))
		compat_insert_index_tuples(w.target, w.slot, w.estate, false, NULL, NIL,
								   compat_summarizing_only(indexes));
	*tid = w.slot->tts_tid;
	end_writing(&w);
}

bool
insert_speculatively(ResultRelInfo *target, EState *estate, TupleTableSlot *slot, Oid index)
{
	List *arbiter = list_make1_oid(index);
	TransactionId xid;
	ItemPointerData other;
	uint32 token;
	bool conflict = false;

	if (!compat_check_index_constraints(target, slot, estate, &other, arbiter))
		return false;
	xid = GetCurrentTransactionId();
	token = SpeculativeInsertionLockAcquire(xid);
	table_tuple_insert_speculative(target->ri_RelationDesc, slot, GetCurrentCommandId(true), 0,
								   NULL, token);
	compat_insert_index_tuples(target, slot, estate, true, &conflict, arbiter, false);
	table_tuple_complete_speculative(target->ri_RelationDesc, slot, token, !conflict);
	SpeculativeInsertionLockRelease(xid);
	return !conflict;
}

bool
extended_insert_unique(Relation table, Oid index, const OwnColumns *own, ItemPointer tid)
{
	Writing w;
	bool inserted;

	begin_writing(&w, table, true);
	make_row(&w, own, NULL);
	inserted = insert_speculatively(w.target, w.estate, w.slot, index);
	*tid = w.slot->tts_tid;
	end_writing(&w);
	return inserted;
}

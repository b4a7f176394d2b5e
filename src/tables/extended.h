/*
 * extended.h
 *		Writing rows of a table to which an administrator has added something.
 */
#ifndef TASKQ_EXTENDED_H
#define TASKQ_EXTENDED_H

#include "executor/tuptable.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

struct EState;
struct ResultRelInfo;

/* The columns that taskq has created of a row to be written; those that were added follow them. */
typedef struct OwnColumns
{
	const Datum *values;
	const bool *nulls;
	int count;
} OwnColumns;

/*
 * Each does for one row what a statement of the table's owner would: defaults of the other
 * columns, checks, entries in every kind of index.  An expression that fails makes the call fail.
 * *tid becomes the place of the row.  old: a row whose other columns the new one gets, or NULL.
 */
extern void extended_insert(Relation table, TupleTableSlot *old, const OwnColumns *own,
							ItemPointer tid);

/* Replaces the row in old, which the transaction has locked, and keeps its other columns. */
extern void extended_update(Relation table, TupleTableSlot *old, const OwnColumns *own,
							ItemPointer tid);

/* As INSERT ... ON CONFLICT DO NOTHING with that unique index; false: the row is there already. */
extern bool extended_insert_unique(Relation table, Oid index, const OwnColumns *own,
								   ItemPointer tid);

/*
 * The last part of the above, for a table as it was created: inserts the row in slot, with
 * entries in the indexes that target has open.  Fails for rows that the snapshot does not show.
 */
extern bool insert_speculatively(struct ResultRelInfo *target, struct EState *estate,
								 TupleTableSlot *slot, Oid index);

#endif

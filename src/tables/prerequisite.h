/*
 * prerequisite.h
 *		Which tasks wait for which: the rows of the table "prerequisite".
 */
#ifndef TASKQ_PREREQUISITE_H
#define TASKQ_PREREQUISITE_H

#include "tables/rows.h"

/* A row.  Its values need no memory of their own. */
typedef struct Prerequisite
{
	int64 task_id;
	int64 dependent;
	bool ended; /* it has ended and not finished; state is how */
	Datum state;
	ItemPointerData tid;
} Prerequisite;

typedef void (*PrerequisiteSeer)(HotRelation *r, const Prerequisite *p, void *arg);

/*
 * Both call see() with each committed row: those in which others wait for a task, or those of one
 * dependent.  see() may delete or change the row.
 */
extern void prerequisites_of_task(HotRelation *r, int64 task_id, PrerequisiteSeer see, void *arg);
extern void prerequisites_of_dependent(HotRelation *r, int64 dependent, PrerequisiteSeer see,
									   void *arg);

/* The first committed row of the dependent with a state; false: there is none. */
extern bool prerequisite_first_ended(HotRelation *r, int64 dependent, Prerequisite *p);

/* Whether there is such a row, also of an open transaction. */
extern bool prerequisite_exists(HotRelation *r, int64 task_id, int64 dependent);

/* Whether a row says that others wait for the task, also one of an open transaction. */
extern bool prerequisite_waited_for(HotRelation *r, int64 task_id);

/* Whether there is a committed row at all, or one of this dependent. */
extern bool prerequisite_any(HotRelation *r);
extern bool prerequisite_any_of(HotRelation *r, int64 dependent);

/*
 * A walk through the rows of a dependent without a state, in the order of task_id, from this one
 * on.  Rows that open transactions have inserted or deleted are among them.
 */
typedef struct PrerequisiteWalk
{
	HotRelation *r;
	Relation index;
	struct SnapshotData *dirty;
	struct IndexScanDescData *scan;
	TupleTableSlot *slot;
} PrerequisiteWalk;

extern void prerequisite_walk_begin(PrerequisiteWalk *w, HotRelation *r, int64 dependent,
									int64 from);
extern bool prerequisite_walk_next(PrerequisiteWalk *w, Prerequisite *p, Hands *hands);
extern void prerequisite_walk_end(PrerequisiteWalk *w);

/* Neither waits for another transaction, and neither fails because of one. */
extern RowResult prerequisite_delete(HotRelation *r, const Prerequisite *p);
extern RowResult prerequisite_set_state(HotRelation *r, const Prerequisite *p, Datum state);

#endif

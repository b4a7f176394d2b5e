/*
 * looks.h
 *		Looks at tasks that wait for others: which are wanted, and whether any task waits at all.
 *
 * A session that adds prerequisites, or ends a task for which others wait, asks for a look at the
 * dependent; life/look.c performs it.
 */
#ifndef TASKQ_LOOKS_H
#define TASKQ_LOOKS_H

#include "base/shmem.h"

/* Asks for a look at the task when this transaction commits.  added: it has added prerequisites. */
extern void look_at_commit(int64 dependent, bool added);

/*
 * Asks for a look at all tasks that wait, now.  Never fails if database_mine() was called before.
 */
extern void looks_at_all(void);

/*
 * Takes up to max of the tasks at which a look is wanted; returns their number.  If this
 * transaction rolls back, all of them are looked at.
 */
extern int looks_take(int64 *ids, int max);

/* Whether a look at all tasks is wanted, which the caller then performs; as above. */
extern bool looks_take_all(void);

/*
 * Whether committed prerequisites may exist.  To be asked after the row of a task was deleted: if
 * prerequisites were added at the same time, either this is true or the look for which their
 * commit asks finds that the task has gone.
 */
extern bool looks_in_use(void);

/*
 * The caller calls looks_begin_check(), looks for committed prerequisites, and if there are none
 * passes the result to looks_not_in_use().
 */
extern uint32 looks_begin_check(void);
extern void looks_not_in_use(uint32 begun);

/* Those that are wanted. */
extern HintTable looks_table;

#endif

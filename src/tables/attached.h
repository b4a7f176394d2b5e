/*
 * attached.h
 *		What an administrator has attached to the tables that C code writes.
 */
#ifndef TASKQ_ATTACHED_H
#define TASKQ_ATTACHED_H

#include "utils/relcache.h"

/* The tables that C code writes directly. */
typedef enum PrivateTable
{
	TABLE_TASK,
	TABLE_LEASE,
	TABLE_KEY,
	TABLE_START_LIMIT,
	TABLE_PREREQUISITE,
	TABLE_WAITING,
	TABLE_ATTEMPT,
	TABLE_HISTORY, /* any table of the history */
	TABLE_EVENT    /* any table of events */
} PrivateTable;

/* How many columns the extension creates; with any other number a table is extended. */
#define TASK_COLUMNS    27
#define LEASE_COLUMNS   17
#define HISTORY_COLUMNS 37
#define EVENT_COLUMNS   8

/* The number of the column group_id of tasks, from one. */
#define TASK_GROUP_ID_NUMBER 22

typedef enum TableState
{
	TABLE_AS_CREATED, /* rows can be written directly */
	TABLE_EXTENDED,   /* it has further columns, checks or indexes: see extended.h */
	TABLE_REFUSED     /* it has something else: nothing may be written, see table_refuse() */
} TableState;

/*
 * The state of an open and locked table.  It is remembered until the table changes, so asking
 * costs nothing.  TQ009 if a column is not what it was when the extension was created: then
 * nothing may be read either.
 */
extern TableState table_state(Relation relation, PrivateTable table);

/* Raises TQ009, and tells what the table has that keeps it from being written. */
extern void table_refuse(Relation relation, PrivateTable table);

/*
 * TQ009 if any of the tables is refused, as far as that can be seen without waiting for a lock.
 * For calls that begin something which other calls have to end.
 */
extern void tables_require(void);

#endif

/*
 * pass.h
 *		Work on many rows that goes in passes, each bounded.
 */
#ifndef TASKQ_PASS_H
#define TASKQ_PASS_H

#include "access/htup_details.h"
#include "fmgr.h"
#include "hints/lanes.h"
#include "tables/group_scan.h"
#include "tables/rows.h"

#define BATCH_ROWS MaxHeapTuplesPerPage /* room in a batch; a page of leases fits */
#define BATCH      64                   /* rows of a batch that does not come from a page */

/*
 * Where the next pass goes on.  A round of passes looks at everything once; its memory lives in
 * the process.
 */
typedef struct Round
{
	bool under_way;
	TimestampTz next; /* when more will be due; DT_NOEND: never */
	bool failed;      /* the end of a row has */

	/* Leases. */
	bool by_table; /* else by what shared memory knows */
	int at;        /* block of the table, or place in shared memory */
	TimestampTz began;

	/* Start limits and keys. */
	TimePlace place;

	/* Dropped queues: behind this entry of the queue's lane. */
	int32 queue_id; /* 0: before the first queue */
	bool within;    /* the queue; else behind it */
	bool forgotten; /* by all transactions when the round of this queue began */
	bool any;       /* tasks were found in it */
	int lane;
	Position position;
	GroupPlace group; /* when the lanes are done: behind this task with a group */
} Round;

typedef struct Pass
{
	const struct Kind *kind;
	Round *round;
	int64 until_ms; /* on the monotonic clock; PG_INT64_MAX: not limited by time */
	int seen;       /* rows that were gathered, and entries that were read for nothing */
	int ended;      /* those of them that this pass has ended */
	bool broken_off;

	/* The batch. */
	TimestampTz now; /* when it was gathered */
	int count;
	Row rows[BATCH_ROWS];
} Pass;

/* A kind of rows that are to be ended. */
typedef struct Kind
{
	const char *purpose; /* completes "could not ... task N" */
	int id_column;

	/* Gathers the next rows, perhaps none.  False: the round is over. */
	bool (*gather)(Pass *pass);

	/* Ends what the rows stand for.  Returns how many it has ended. */
	int (*end)(Row *rows, int count);

	/* The row is due so much later.  NULL: the round itself sees to that. */
	void (*put_off)(Row *row, int64 by_us);
} Kind;

/* max_ms: as long as the pass may take; -1: not limited.  The result is palloc'd. */
extern Pass *pass_begin(const Kind *kind, Round *round, int64 max_ms);

/*
 * Runs a pass.  A crash may undo it: what is to be ended is found again, so the commit need not
 * be durable.
 */
extern void pass_run(Pass *pass);

/* The milliseconds until there is more to end: 0 at once, -1 if nothing is known. */
extern int64 pass_due_in_ms(const Pass *pass);

/*
 * A pass as an SQL function.  Its argument limits the pass to so many milliseconds; NULL: only
 * the number of rows limits it.  Returns when it is due again, NULL where nothing is known.
 */
extern Datum pass_call(FunctionCallInfo fcinfo, const char *function, const Kind *kind,
					   Round *round);

/* Ends these rows, but not those whose end fails, which is logged. */
extern void pass_try_rows(const Kind *kind, Row *rows, int count);

#endif

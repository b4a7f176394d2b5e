/*
 * lanes.h
 *		Positions and candidates of each queue's lanes.
 *
 * A slot holds the positions and candidates of one queue.  With shared memory there are as
 * many slots as fit into taskq.dispatch_memory; without it each session has its own.
 * "Locked" means: until slot_unlock().  dispatch.c and sweep.c use slots;
 * dispatch.c explains them.
 */
#ifndef TASKQ_LANES_H
#define TASKQ_LANES_H

#include "access/genam.h"
#include "access/skey.h"
#include "base/shmem.h"
#include "tables/backlog.h"

#define NLANES         32 /* priorities -16 to 15 */
#define LANE_OF(c)     ((c)->priority + 16)
#define PRIORITY_OF(n) ((int16) ((n) -16))
#define MAX_CANDIDATES 1024

typedef struct Position
{
	TimestampTz run_at;
	int64 id;
} Position;

typedef struct Lane
{
	Position read;        /* entries up to this one were read */
	TimestampTz next_due; /* run_at of the first unread row; in the past: read on */
	TimestampTz told_due; /* the earliest run_at that was offered while scanning */
} Lane;

typedef struct LaneSlot
{
	HintEntry entry; /* its key is the queue's id */
	uint32 relfile;  /* of the table of tasks when it was read */
	uint64 version;  /* a new one after each slot_forget() */
	bool scanning;
	uint32 lowered;        /* lanes whose position went back while scanning */
	TimestampTz timer;     /* the executor has been told that a row becomes due at this time */
	TimestampTz announced; /* rows that became due before this time were announced */
	bool marked;           /* sessions are to be notified */
	int count;
	Lane lanes[NLANES];
	Candidate heap[MAX_CANDIDATES]; /* the first one is the next */
} LaneSlot;

extern HintTable lanes_table;

/* Whether slots are in shared memory. */
extern bool slots_are_shared(void);

/* One of the slots in shared memory; not locked. */
extern LaneSlot *slot_at(int n);
extern int slot_count(void);

/* The lock of the one session that reads on; only for shared slots. */
extern LWLock *slot_refill_lock(const LaneSlot *s);

/* The queue's slot, locked; NULL if it has none.  Never fails. */
extern LaneSlot *slot_lock(int32 queue_id);

/* The same; makes the slot if there is none. */
extern LaneSlot *slot_lock_or_make(Relation tasks, int32 queue_id);

extern void slot_unlock(LaneSlot *s);

/* Resets the slot: all lanes will be read from their left edge. */
extern void slot_forget(LaneSlot *s, uint32 relfile);

/* ---- for a locked slot; none of these fails ---------------------------------- */

/* Removes and returns the first candidate; there must be one. */
extern Candidate slot_pop(LaneSlot *s);

/* Adds a candidate; if there is no room, all candidates are forgotten and will be read again. */
extern void slot_push(LaneSlot *s, const Candidate *c);

/* Moves the position back to before this row, so that it is read again. */
extern void slot_lower(LaneSlot *s, const Candidate *c);

/* Whether this row is a candidate of the slot. */
extern bool slot_has(const LaneSlot *s, const Candidate *c);

/*
 * Offers a row that has become visible or can be claimed again.  many: this row and others
 * after it in its lane.  again: the row may still be a candidate, if it was taken in another
 * way than by popping it.  Locks the slot; never fails.
 */
extern void slot_offer(uint32 relfile, int32 queue_id, const Candidate *c, bool many, bool again);

/* ---- order ---------------------------------------------------------------------- */

/* Compares (run_at, id) with the position; the result is that of a qsort() comparison. */
extern int position_compare(TimestampTz run_at, int64 id, const Position *p);

/* Whether a is acquired before b. */
extern bool candidate_before(const Candidate *a, const Candidate *b);

/* Whether both are the same version of the same row. */
extern bool candidate_same(const Candidate *a, const Candidate *b);

/* ---- reading -------------------------------------------------------------------- */

/* A walk through the index entries of one lane after the other. */
typedef struct LaneScan
{
	IndexScanDesc scan;
	ScanKeyData position[2]; /* the members of the row comparison */
} LaneScan;

/* Opens a scan, which the caller ends with index_endscan(). */
extern void lane_scan_open(LaneScan *ls, Backlog *b);

/* Begins a lane after a position: (run_at, id) > from. */
extern void lane_scan_begin(LaneScan *ls, int32 queue_id, int lane, const Position *from);

/* The next entry, whether or not its row is visible; false: there is none. */
extern bool lane_scan_next(LaneScan *ls, int lane, Candidate *c);

/* ---- notifications -------------------------------------------------------------- */

/* Marks the queue, or all queues of this database.  Never fails. */
extern void lanes_mark(int32 queue_id);
extern void lanes_mark_all(void);

/* Returns the number of marked queues of this database, at most max, and clears their marks. */
extern int lanes_take_marks(int32 *ids, int max);

/*
 * Finds the queues of this database in which a task has become due by time since the last
 * call, and marks them.  Returns their number, at most max; *next is when to call it again.
 */
extern int lanes_become_due(TimestampTz now, int32 *ids, int max, TimestampTz *next);

#endif

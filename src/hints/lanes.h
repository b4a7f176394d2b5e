/*
 * lanes.h
 *		What is remembered of each queue's lanes.
 *
 * A slot is what is remembered of one queue.  With shared memory there are as
 * many as taskq.dispatch_memory holds; without it each session has its own.
 * "Locked" means: until slot_unlock().  dispatch.c and sweep.c use this;
 * dispatch.c says what it is for.
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
	TimestampTz next_due; /* of the first unread row; in the past: read on */
	TimestampTz told_due; /* the earliest that was offered behind the position while scanning */
} Lane;

typedef struct LaneSlot
{
	HintEntry entry; /* its number is the queue's id */
	uint32 relfile;  /* of the table of tasks when it was read */
	uint64 version;  /* another one when it has forgotten everything */
	bool scanning;
	uint32 lowered;        /* lanes whose position went back while scanning */
	TimestampTz timer;     /* when the first row becomes due that was offered for later */
	TimestampTz announced; /* sessions were told of what became due by time until then */
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

/* One session reads on at a time: the lock it holds then; of shared slots only. */
extern LWLock *slot_refill_lock(const LaneSlot *s);

/* The queue's slot, locked; NULL if it has none.  Never fails. */
extern LaneSlot *slot_lock(int32 queue_id);

/* The same, and made if need be. */
extern LaneSlot *slot_lock_or_make(Relation tasks, int32 queue_id);

extern void slot_unlock(LaneSlot *s);

/* Nothing is known any more: all is to be read. */
extern void slot_forget(LaneSlot *s, uint32 relfile);

/* ---- of a locked slot; none of these fails ----------------------------------- */

/* Takes the first candidate off, of at least one. */
extern Candidate slot_pop(LaneSlot *s);

/* One more candidate; where there is no room, all of them will be read again. */
extern void slot_push(LaneSlot *s, const Candidate *c);

/* The position goes back to before this row, so that it is read again. */
extern void slot_lower(LaneSlot *s, const Candidate *c);

/* Whether it is a candidate. */
extern bool slot_has(const LaneSlot *s, const Candidate *c);

/*
 * Offers a row that can be seen from now on, or is free again.  many: this one,
 * and others of its lane behind it.  again: it may have been a candidate all
 * the time, having been taken by another way.  Locks the slot; never fails.
 */
extern void slot_offer(uint32 relfile, int32 queue_id, const Candidate *c, bool many, bool again);

/* ---- order ---------------------------------------------------------------------- */

/* As qsort() has it: (run_at, id) against the position. */
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
	ScanKeyData position[2]; /* what the row comparison points to */
} LaneScan;

/* Until index_endscan(). */
extern void lane_scan_open(LaneScan *ls, Backlog *b);

/* Begins a lane behind a position: (run_at, id) > from. */
extern void lane_scan_begin(LaneScan *ls, int32 queue_id, int lane, const Position *from);

/* The next entry, whether or not its row is visible to anybody. */
extern bool lane_scan_next(LaneScan *ls, int lane, Candidate *c);

/* ---- queues of which sessions are to be notified -------------------------------- */

/* Marks the queue, or all queues of this database.  Never fails. */
extern void lanes_mark(int32 queue_id);
extern void lanes_mark_all(void);

/* The queues of this database that are marked, no more than max; their marks are gone. */
extern int lanes_take_marks(int32 *ids, int max);

/*
 * The queues of this database of which a task has become due by time since the
 * last call; they are marked, too.  *next is when that will happen next.
 */
extern int lanes_become_due(TimestampTz now, int32 *ids, int max, TimestampTz *next);

#endif

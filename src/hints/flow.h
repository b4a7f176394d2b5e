/*
 * flow.h
 *		Shared memory of flow control: a block for each queue, and cells for groups and lines.
 *
 * The word of a queue counts its leases.  It is changed without a lock, for every lease of a
 * preloaded server, whether or not the queue has a limit: so a limit that is set later finds the
 * count right.
 *
 *		running: leases that may exist.  Never too low once the leases were counted (running.c).
 *		inflight: notes of open transactions that will change or keep it (permits.c)
 *		version: counts the changes
 *
 * All else of a block, and the cells of its groups, is protected by the lock of the block.
 */
#ifndef TASKQ_FLOW_H
#define TASKQ_FLOW_H

#include "base/shmem.h"
#include "core/gcra.h"
#include "core/leftist.h"
#include "port/atomics.h"

#define NO_LIMIT (-1)

/* What keeps a line: the heap in which it stands. */
typedef enum LinePlace
{
	LINE_NOWHERE, /* nothing waits, or its group is full */
	LINE_READY,   /* a task may be claimed */
	LINE_DUE,     /* until "at", when a task becomes due */
	LINE_OPENING, /* until "at", when the rate allows another start */
	NLINE_PLACES
} LinePlace;

typedef enum CellKind
{
	CELL_FREE,
	CELL_GROUP,
	CELL_LINE
} CellKind;

/* Begins each cell. */
typedef struct CellHead
{
	uint8 kind;
	uint16 queue; /* the number of its block */
	uint32 next;  /* free: the next free cell; a line: the next line of its group */
} CellHead;

/* A group that has waiting or running tasks, or had some not long ago. */
typedef struct FlowGroup
{
	CellHead head;
	int64 id;
	uint32 child[2]; /* in the tree of the queue's groups */
	uint32 lines;    /* the first one */
	uint32 older;    /* in the list of idle groups, if is_idle */
	uint32 newer;
	bool is_idle;
	bool is_limited; /* by a limit of its own or by that of every group, or by order */
	bool is_ordered;
	int32 running;
	int32 inflight;
	int32 max_running; /* NO_LIMIT: none */
	int32 weight;
	uint32 limits; /* the generation of limits of which these are */
	tq_gcra_limit rate;
	int64 tat;
	uint64 turn; /* when it had its last one */
} FlowGroup;

/* The tasks of a group that have the same priority. */
typedef struct FlowLine
{
	CellHead head;
	uint32 group;
	tq_leftist_node node;
	uint8 place; /* LinePlace */
	int16 priority;
	uint32 offers;            /* counts offers, so that a claimer sees whether one came meanwhile */
	TimestampTz after_run_at; /* entries up to this place were handed out, ... */
	int64 after_id;           /* ... or will be offered again */
	TimestampTz due;          /* the earliest time of what waits; DT_NOEND: nothing */
	int64 at;                 /* its key in the heap of place */
} FlowLine;

typedef union Cell
{
	CellHead head;
	FlowGroup group;
	FlowLine line;
} Cell;

typedef struct FlowQueue
{
	pg_atomic_uint64 tag;    /* of the queue; 0: the block is free */
	pg_atomic_uint64 word;   /* see above */
	pg_atomic_uint32 limits; /* the generation of its limits */

	LWLock lock;
	Oid database;
	Oid generation; /* of the extension */
	int32 queue_id;

	/* Counting, see running.c. */
	bool counted;
	TimestampTz counted_at;

	/* The queue as the last claimer has seen it. */
	bool push;
	int32 max_running;
	tq_gcra_limit rate;
	int64 tat;

	/* What the executor is to announce: see groups_become_due(). */
	TimestampTz rate_opens; /* a claimer has found the rate closed until then; DT_NOEND: none has */
	TimestampTz timer;      /* the executor has been told of this time */

	/* Groups. */
	uint32 sweeps;        /* flow_sweeps() when all lines were last set to be read again */
	uint32 uncounted;     /* flow_uncounted() then */
	uint32 placed_limits; /* the generation of limits by which all lines were placed */
	int ngroups;
	int64 ungrouped_turn;
	uint64 turns;
	int32 grouped_running;
	uint32 tree; /* the first node */
	uint32 heaps[NLINE_PLACES];
	uint32 oldest_idle;
	uint32 newest_idle;
	int64 listed;    /* groups up to this one were found in the index, unless all_listed */
	bool all_listed; /* groups with waiting tasks are known */
	bool no_room;    /* a group found no cell */
} FlowQueue;

extern const SharedPart flow_part;

/* The block of the queue; NULL: it has none.  Never fails. */
extern FlowQueue *flow_find(int32 queue_id);

/* The same; takes one if it has none.  NULL: there is no shared memory, or no free block. */
extern FlowQueue *flow_make(int32 queue_id);

/* Frees the block of a queue that was dropped, when all transactions that knew it have ended. */
extern void flow_forget(int32 queue_id);

/* All blocks, as numbers from 0; those of other databases and free ones too. */
extern int flow_count(void);
extern FlowQueue *flow_at(int n);

extern void flow_lock(FlowQueue *q);
extern void flow_unlock(FlowQueue *q);

/* ---- words ---- */

extern int32 flow_running(const FlowQueue *q);
extern uint64 flow_word(const FlowQueue *q);
extern int32 flow_inflight_of(uint64 word);

/*
 * Adds to both numbers of the word.  False, and nothing is added: running would become greater than
 * most.
 */
extern bool flow_add(FlowQueue *q, int32 running, int32 inflight, int32 most);

/* Sets running if the word has not changed. */
extern bool flow_set_running(FlowQueue *q, uint64 word, int32 running);

/* ---- cells: the queue is locked ---- */

extern Cell *flow_cell(uint32 n);
extern uint32 flow_cells(void); /* their numbers are less than this, and not 0 */

/* A cell, all zero but its head; 0: none is free. */
extern uint32 flow_take_cell(FlowQueue *q, CellKind kind);
extern void flow_free_cell(uint32 n);

/* Whether the cell is one of the queue, of this kind. */
extern bool flow_owns(const FlowQueue *q, uint32 n, CellKind kind);

/* Whether an open transaction will change one of its groups. */
extern bool flow_groups_in_flight(const FlowQueue *q);

/*
 * Rows have come to this database that no commit offers: all lines are to be read again.
 * uncounted: leases may be among them, so they are to be counted before a limit counts on their
 * number.
 */
extern void flow_sweep(bool uncounted);

/* How often both have happened. */
extern uint32 flow_sweeps(void);
extern uint32 flow_uncounted(void);

#endif

/*
 * groups.h
 *		The groups of a queue that have waiting or running tasks, and their turns.
 *
 * All functions with a block lock it, never fail, and need no transaction, unless said otherwise.
 */
#ifndef TASKQ_GROUPS_H
#define TASKQ_GROUPS_H

#include "hints/flow.h"
#include "tables/backlog.h"

/* What limits a group. */
typedef struct GroupLimits
{
	int32 max_running; /* NO_LIMIT: none */
	int32 weight;
	bool ordered;
	tq_gcra_limit rate;
	int64 tat; /* of its bucket, if that is not known */
} GroupLimits;

/* A look at the line of a group from which a claimer takes tasks. */
typedef struct LineLook
{
	FlowQueue *queue;
	uint32 group; /* cells */
	uint32 line;
	int64 group_id;
	int16 priority;
	bool ordered;
	TimestampTz after_run_at; /* it begins behind this place */
	int64 after_id;
	uint32 offers;
	int permits; /* so many tasks may be taken */
	tq_gcra_limit rate;
	int64 tat; /* of the group's bucket, these starts included */
} LineLook;

/* How such a look has ended. */
typedef struct LineSeen
{
	TimestampTz after_run_at; /* the last entry that was taken or passed, if any was seen */
	int64 after_id;
	bool at_end;          /* nothing else is due */
	TimestampTz next_due; /* then: when the next entry is, DT_NOEND if there is none */
	int taken;
} LineSeen;

typedef enum Turn
{
	TURN_NOBODY, /* no line is ready */
	TURN_LANES,  /* the tasks without a group are next */
	TURN_LINE,   /* a line is next: *look has permits and starts of its group */
	TURN_LIMITS  /* look->group_id: its limits must be read first */
} Turn;

#define NO_LANES PG_INT16_MAX /* no task without a group is due */

/*
 * The state of a bucket of which shared memory knows nothing.  One that fills soon is as a start of
 * the server has left it, one that takes long as its newest mark says.
 */
extern int64 groups_tat_of_unknown(const tq_gcra_limit *rate, int64 mark);

/* Whether the queue may have groups with waiting tasks.  A look without the lock. */
extern bool groups_any(const FlowQueue *q);

/*
 * Chooses from which line, or whether from the lanes, the next task is claimed, at most max.
 * lanes: the priority of the first due task without a group, or NO_LANES.  group_id: only of this
 * group, 0: any.
 */
extern Turn groups_begin(FlowQueue *q, int64 group_id, int16 lanes, int max, LineLook *look);

/* The same for one task of a group in which this transaction has ended one: its permit goes on. */
extern Turn groups_begin_handed(FlowQueue *q, int64 group_id, LineLook *look);

/*
 * Ends the look.  Of the permits that were not used, so many come back.  If none was used, no note
 * is open.
 */
extern void groups_end(const LineLook *look, const LineSeen *seen, int back);

/*
 * A lease of the group is being ended by an open transaction.  Returns the group's cell, which
 * stays in its place then; 0: the group is not known.
 */
extern uint32 groups_ending(FlowQueue *q, int64 group_id);

/*
 * The transaction has ended: running changes by this, and the note is closed.  Returns how many
 * waiters may find a task now.
 */
extern int groups_told(FlowQueue *q, uint32 group, int32 running);

/* A task waits, or waits again, in the group: it may be claimed from "due" on. */
extern void groups_offer(int32 queue_id, int64 group_id, const Candidate *c, TimestampTz due);

/* Many tasks of any groups of the queue wait. */
extern void groups_offer_many(int32 queue_id);

/* Sets the limits of a group, read at this generation of limits. */
extern void groups_set_limits(FlowQueue *q, int64 group_id, uint32 generation,
							  const GroupLimits *limits);

/*
 * Collects groups that wait and whose limits are of an older generation, from cell *cursor on, 0
 * at the beginning; 0: there are no others.
 */
extern int groups_stale(FlowQueue *q, uint32 *cursor, uint32 generation, int64 *ids, int max);

/* All groups were placed by limits of this generation. */
extern void groups_placed(FlowQueue *q, uint32 generation);

/*
 * The rate of the queue is closed until then: the executor announces it when it opens.  The block
 * is locked by the caller.
 */
extern void groups_rate_opens(FlowQueue *q, TimestampTz at);

/*
 * Finds the queues of this database in which time has made a task possible since the last call.
 * Returns their number, at most max; lowers *next to when to call it again.
 */
extern int groups_become_due(TimestampTz now, int32 *ids, int max, TimestampTz *next);

/* When the first line becomes ready by time; DT_NOEND: none does. */
extern TimestampTz groups_next_due(FlowQueue *q, TimestampTz now);

/* Whether a line is ready; moves those there whose time has come. */
extern bool groups_ready(FlowQueue *q);

/* What is known of a group. */
typedef struct KnownGroup
{
	int64 group_id;
	int32 running;
	int32 max_running; /* NO_LIMIT: none */
	bool ordered;
	TimestampTz due;   /* when its first task is; DT_NOBEGIN: now; DT_NOEND: none waits */
	TimestampTz opens; /* when its rate lets it start; DT_NOBEGIN: now */
} KnownGroup;

/* The groups that are not idle, or only this one unless it is 0; palloc'd. */
extern KnownGroup *groups_states(FlowQueue *q, int64 group_id, int *count);

/* ---- reading on in the index: see listing.c ---- */

/* A group with a waiting task of this priority was found.  False: there is no room. */
extern bool groups_found(FlowQueue *q, int64 group_id, int16 priority);

/* From where on the index is to be read; false: all groups with waiting tasks are known. */
extern bool groups_to_list(FlowQueue *q, int64 *behind);

/* It was read from there up to this group; at_end: to the end. */
extern void groups_listed(FlowQueue *q, int64 behind, int64 up_to, bool at_end);

/* After a sweep: all lines will be read again, and the leases will be counted again. */
extern void groups_begin_anew(FlowQueue *q);

/* ---- counting: see running.c ---- */

/* So many leases of a group were counted. */
typedef struct GroupCount
{
	int64 group_id; /* first, as the key of a hash table */
	int32 running;
} GroupCount;

/*
 * Sets the numbers of running tasks of the queue, whose word was this before they were counted, and
 * of its groups; the other groups have none.  False: an open transaction will change one of them,
 * or has changed it meanwhile, or there is no room.
 */
extern bool groups_set_running(FlowQueue *q, uint64 word, int32 running, const GroupCount *groups,
							   int ngroups);

#endif

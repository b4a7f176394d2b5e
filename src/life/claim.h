/*
 * claim.h
 *		A claim under way: holds tasks, and gives leases for those that it holds.
 */
#ifndef TASKQ_CLAIM_H
#define TASKQ_CLAIM_H

#include "hints/own.h"
#include "tables/backlog.h"
#include "tables/rows.h"

typedef struct Claim
{
	Row task;
	Row lease;
} Claim;

/* A claim under way. */
typedef struct Claiming
{
	TimestampTz now;
	int64 lease_us;
	text *worker;
	bool push; /* who sends the request, or makes the call, enforces the timeout */
	Claim *claims;
	int count;
	int max;
	bool permitted; /* permits of the queue were taken for the tasks up to max */
	Row *late;      /* MAX_LATE of them, or NULL */
	int nlate;
} Claiming;

/*
 * Claims the held tasks, which stand in claims[] after the claimed ones, except those that are too
 * late to start, and ends their holds.
 */
extern void claim_held(Backlog *b, Claiming *c, int held);

/* Holds these candidates, which dispatch_take() has returned, and claims them. */
extern void claim_taken(Backlog *b, int32 queue_id, Claiming *c, const Candidate *taken, int n);

/*
 * Claims tasks without a group, up to c->max.  If there are fewer, *next_due is when the next one
 * becomes due, DT_NOEND if that is not known.
 */
extern void claim_candidates(Backlog *b, int32 queue_id, Claiming *c, TimestampTz *next_due);

/* The same if this transaction has made such tasks pending itself. */
extern void claim_with_own(Backlog *b, OwnTasks *own, Claiming *c, TimestampTz *next_due);

#endif

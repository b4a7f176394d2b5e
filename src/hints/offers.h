/*
 * offers.h
 *		The tasks with a group that this transaction has made pending, or taken.
 */
#ifndef TASKQ_OFFERS_H
#define TASKQ_OFFERS_H

#include "tables/backlog.h"
#include "utils/timestamp.h"

/* A task of the group waits: it is offered when the transaction commits, and due from then on. */
extern void offers_made(int32 queue_id, int64 group_id, const Candidate *c, TimestampTz due);

/*
 * A task that waits was taken: it is offered again if this part of the transaction rolls back.
 * passes: claimers stop at it while it is being deleted, so the line is looked at again at commit.
 */
extern void offers_taken(int32 queue_id, int64 group_id, const Candidate *c, bool passes);

#endif

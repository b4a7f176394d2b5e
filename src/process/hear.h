/*
 * hear.h
 *		What a call tells while it runs: the executor writes it.
 */
#ifndef TASKQ_HEAR_H
#define TASKQ_HEAR_H

#include "process/call_segment.h"

#define MESSAGES_A_RUN 64

/* The messages of one process that makes calls.  All zero: there is no process. */
typedef struct Hearing
{
	CallSegment *segment;
	shm_mq_handle *queue;
	uint32 heard; /* what "told" was when all messages were read */

	/* Values that were received and are not written yet; in their own context. */
	MemoryContext context;
	CallMessage values[MESSAGES_A_RUN];
	int nvalues;
	uint64 size; /* of these, for "settled" */

	int64 retry_at; /* the last write failed; 0: it did not */
} Hearing;

/* From now on the messages that come through the segment are heard; raises errors. */
extern void hearing_begin(Hearing *h, dsm_segment *mapping);

/*
 * Writes what the call has told; what other calls have told is dropped.  True: there may be more.
 * Never raises an error.
 */
extern bool hear(Hearing *h, int64 id, int64 token);

/* Whether hear() would do something now. */
extern bool hearing_is_due(const Hearing *h);

/* The same if there is something new, which is no rest of a message. */
extern bool hearing_has_news(const Hearing *h);

/* When it is to be called even if nobody says so; PG_INT64_MAX: it need not be. */
extern int64 hearing_due_at(const Hearing *h);

/* The call is over: values that could not be written are dropped. */
extern void hearing_forget(Hearing *h);

/* The process has gone. */
extern void hearing_end(Hearing *h);

#endif

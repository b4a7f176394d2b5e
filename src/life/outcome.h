/*
 * outcome.h
 *		The outcome of a task, as its follow-ups get it.
 */
#ifndef TASKQ_OUTCOME_H
#define TASKQ_OUTCOME_H

#include "utils/timestamp.h"

/* Datums are 0, and pointers NULL, for what is missing. */
typedef struct Outcome
{
	int64 id;
	const char *queue;
	Datum kind;      /* text */
	Datum key;       /* text */
	Datum group_key; /* text */
	Datum trace;     /* text; follow-ups inherit it, it is not in their payload */
	const char *state;
	int32 attempt;
	TimestampTz submitted_at;
	TimestampTz ended_at;
	Datum result; /* jsonb */
	Datum error;  /* text */
	int32 status; /* of HTTP; 0: none */
	bool finished;
	Datum payload;  /* jsonb; left out of a finished task */
	bool truncated; /* the payload is missing, because it is too large or cannot be read */
} Outcome;

/*
 * The payload of a follow-up, a jsonb: the outcome, or, if its template has an object as payload,
 * that object with the outcome as its key "task".  of_template: that object, or 0.  What makes it
 * larger than taskq.max_payload is left out of the outcome.
 */
extern Datum outcome_payload(const Outcome *outcome, Datum of_template);

#endif

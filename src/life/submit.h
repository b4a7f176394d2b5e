/*
 * submit.h
 *		How a task comes: what submit(), submit_many() and submit_http() share.
 */
#ifndef TASKQ_SUBMIT_H
#define TASKQ_SUBMIT_H

#include "fmgr.h"
#include "tables/queue.h"
#include "tables/rows.h"

/* The numbers of the arguments that the submitting functions share; -1: it has none such. */
typedef struct SubmitArguments
{
	int key;
	int priority;
	int run_at;
	int delay;
	int start_within;
	int timeout;
	int retry;
	int max_attempts;
	int kind;
	int on_duplicate;
} SubmitArguments;

typedef enum OnDuplicate
{
	DUPLICATE_KEEP,
	DUPLICATE_REPLACE,
	DUPLICATE_RAISE
} OnDuplicate;

/* A task to be submitted; its id and key are set when it is placed. */
typedef struct Submission
{
	const Queue *queue;
	OnDuplicate on_duplicate;
	Row task;
} Submission;

/* Reads and judges the shared arguments but the key. */
extern void submission_init(Submission *s, FunctionCallInfo fcinfo, const SubmitArguments *args,
							const Queue *queue);

/* Sets payload or body; TQ006.  isnull: there is none. */
extern void submission_set_content(Submission *s, int column, Datum value, bool isnull,
								   const char *name);

/* When a task becomes due: a time gone by is now, so due tasks keep the order of submission. */
extern TimestampTz not_before(TimestampTz at, TimestampTz now);

/* Inserts the task, or finds the one that has the key.  Returns its id. */
extern int64 submission_place(Submission *s, text *key);

#endif

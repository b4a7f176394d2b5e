/*
 * submit.h
 *		The part that submit(), submit_many() and submit_http() share.
 */
#ifndef TASKQ_SUBMIT_H
#define TASKQ_SUBMIT_H

#include "fmgr.h"
#include "life/prerequisites.h"
#include "life/template.h"
#include "tables/queue.h"
#include "tables/rows.h"

#define MIN_PRIORITY (-16)
#define MAX_PRIORITY 15

/* The numbers of the arguments that the submitting functions share; -1: no such argument. */
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
	int on_finish;
	int on_dead;
	int group_key;
	int unique_for;
	int max_wait;
	int trace;
	int after;
	int after_failure;
} SubmitArguments;

typedef enum OnDuplicate
{
	DUPLICATE_KEEP,
	DUPLICATE_REPLACE,
	DUPLICATE_RAISE
} OnDuplicate;

/* A task to be submitted; its id, key and group become columns when it is placed. */
typedef struct Submission
{
	const Queue *queue;
	OnDuplicate on_duplicate;
	text *key;                  /* or NULL */
	text *group_key;            /* or NULL */
	int64 unique_us;            /* unique_for; -1: none */
	int64 max_wait_us;          /* -1: none */
	const Prerequisites *after; /* NULL: it waits for no other task */
	WaitTerms wait;
	Row task;
} Submission;

/* Reads and checks the shared arguments. */
extern void submission_init(Submission *s, FunctionCallInfo fcinfo, const SubmitArguments *args,
							const Queue *queue);

/* Sets payload or body; TQ006 if it is too large.  isnull: there is none. */
extern void submission_set_content(Submission *s, int column, Datum value, bool isnull,
								   const char *name);

/* The later of both: a run_at in the past becomes now, so due tasks keep their submission order. */
extern TimestampTz not_before(TimestampTz at, TimestampTz now);

/* Who has submitted the task, if its queue keeps that; 0: the session, which is so already. */
extern void submission_set_origin(Submission *s, Datum origin);

/*
 * TQ004 if the task would expire before it is due, if it has a priority in an ordered queue, if it
 * lacks a key that unique_for or max_wait needs, or if it has max_wait and waits for others.
 */
extern void submission_check(const Submission *s);

/* TQ004 if that is not the priority of a task of the queue, which is ordered. */
extern void submission_check_priority(const Queue *queue, int32 priority);

/* Checks all that, and inserts the task, or finds the one that has the key.  Returns its id. */
extern int64 submission_place(Submission *s);

/* Templates with the key "queue". */
extern const TemplateTarget submit_to_queue;

#endif

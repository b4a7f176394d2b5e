/*
 * tallies.h
 *		What became of the attempts of each queue, and how long they took.
 */
#ifndef TASKQ_TALLIES_H
#define TASKQ_TALLIES_H

#include "base/shmem.h"
#include "core/outcome.h"

/* Classes of failed attempts; from FAILED_CORE on they are those of core/outcome.h. */
typedef enum FailedClass
{
	FAILED_WORKER, /* a worker has called fail(), with or without a class of its own */
	FAILED_LEASE_LOST,
	FAILED_NO_ROUTE,
	FAILED_CORE,
	NFAILED_CLASSES = FAILED_CORE + TQ_CLASS_INTERNAL + 1
} FailedClass;

/* Classes of HTTP answers.  Too Many Requests is counted for itself, and not as a 4xx. */
typedef enum AnswerClass
{
	ANSWER_2XX,
	ANSWER_3XX,
	ANSWER_4XX,
	ANSWER_429,
	ANSWER_5XX,
	NANSWER_CLASSES
} AnswerClass;

/* The upper bounds of all buckets but the last one, which has none. */
#define NBOUNDS 16
extern const int64 tally_bounds_us[NBOUNDS];

typedef struct Histogram
{
	int64 buckets[NBOUNDS + 1]; /* each without those below it */
	int64 sum_us;
} Histogram;

/* Of the attempts of a queue that have ended: finished, failed, cancelled or lost. */
typedef struct Tally
{
	int64 failed[NFAILED_CLASSES];
	int64 answers[NANSWER_CLASSES];
	Histogram wait; /* from when the task was due until it was claimed */
	Histogram run;  /* from the claim to the end of the attempt */
} Tally;

/* An attempt that this transaction ends. */
typedef struct TalliedAttempt
{
	int32 queue_id;
	int64 wait_us;
	int64 run_us;
	bool failed;
	const char *class; /* as it is stored; NULL: none */
	int status;        /* of the HTTP answer; 0: there is none */
} TalliedAttempt;

extern HintTable tallies_table;

/* Counts the attempt when this transaction commits. */
extern void tally_attempt(const TalliedAttempt *attempt);

/* The same for an answer that ends no attempt. */
extern void tally_answer(int32 queue_id, int status);

/* Whether there is shared memory, without which nothing is counted. */
extern bool tallies_are_possible(void);

/* The tally of a queue; all zero if nothing was counted. */
extern void tally_read(int32 queue_id, Tally *tally);

extern void tally_add(Tally *to, const Tally *from);

/* The names of the classes. */
extern const char *failed_class_name(int class);
extern const char *answer_class_name(int class);

#endif

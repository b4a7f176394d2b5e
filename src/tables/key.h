/*
 * key.h
 *		Keys: at most one live task of a queue has a given key.
 */
#ifndef TASKQ_KEY_H
#define TASKQ_KEY_H

#include "tables/queue.h"
#include "tables/rows.h"

/* What a submit wants of its key besides.  DT_NOBEGIN: nothing. */
typedef struct KeyTerms
{
	TimestampTz hold_until; /* the key stays taken at least until then: unique_for */
	TimestampTz since;      /* from when max_wait counts */
} KeyTerms;

#define KEY_NO_TERMS ((KeyTerms){DT_NOBEGIN, DT_NOBEGIN})

/*
 * Takes the key for task id.  Returns 0, or the id of the task that has the key.  The key
 * of an ended task can be taken when its time is over.  It can be taken at once if of_ended is
 * true, or by that same task, when retry() brings it back: then it stays held as long as it was.
 */
extern int64 key_take(const Queue *queue, text *key, int64 id, bool of_ended,
					  const KeyTerms *terms);

/*
 * The content of the live task that has the key is replaced: the later of both times stands to
 * which it is held, and the former "since" if there is one, unless anew is true.  Sets *terms to
 * what the row has then.  The caller has taken the task, so no other transaction writes the row.
 */
extern void key_renew(int32 queue_id, text *key, KeyTerms *terms, bool anew);

/* The id of the live task that has the key; 0 if none has. */
extern int64 key_holder(const Queue *queue, text *key);

/* Compares two keys in the order in which a call takes several of them; as a qsort comparator. */
extern int key_compare(const text *a, const text *b);

/* The task has ended: its key, if it has it, stays taken for so long, or as long as it is held. */
extern void key_let_go(int32 queue_id, int64 keep_us, const Row *task);

#endif

/*
 * key.h
 *		Keys: at most one live task of a queue has a given one.
 */
#ifndef TASKQ_KEY_H
#define TASKQ_KEY_H

#include "tables/queue.h"
#include "tables/rows.h"

/*
 * Takes the key for task id.  0: done; else the id of the task that has it.  The key
 * of a task that has ended is taken over when its time is up, or at once: if of_ended, and
 * by that task itself when it comes back.
 */
extern int64 key_take(const Queue *queue, text *key, int64 id, bool of_ended);

/* The live task that has the key; 0 if none has. */
extern int64 key_holder(const Queue *queue, text *key);

/* The task has ended: its key stays taken for the queue's keep_key. */
extern void key_let_go(const Queue *queue, const Row *task);

#endif

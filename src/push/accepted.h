/*
 * accepted.h
 *		Tasks whose receivers report the outcome themselves: accept_202 of create_queue().
 */
#ifndef TASKQ_ACCEPTED_H
#define TASKQ_ACCEPTED_H

#include "life/acquire.h"
#include "tables/queue.h"

#define ACCEPTED 202 /* the status of a receiver that will report */

/* Remembers tasks that this session has claimed, if their receivers may report. */
extern void accepted_remember(const Queue *queue, const Claim *claims, int count);

/* The queue of a task that was remembered; NULL: it was not, or is forgotten. */
extern const Queue *accepted_queue(int64 id);

#endif

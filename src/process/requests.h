/*
 * requests.h
 *		How far the executor is with each request that it holds, for the view taskq.requests.
 */
#ifndef TASKQ_REQUESTS_H
#define TASKQ_REQUESTS_H

#include "base/shmem.h"
#include "core/deliver.h"

extern HintTable requests_table;

/* The request of the task has come to that phase now.  Never fails. */
extern void request_note(int64 id, int64 token, tq_phase phase);

/* The executor does not hold the task any more. */
extern void request_over(int64 id);

/* An executor begins, and holds nothing. */
extern void requests_forget(void);

#endif

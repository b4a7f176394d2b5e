/*
 * acquire.h
 *		Claims tasks: the same way for pull and for push tasks.
 */
#ifndef TASKQ_ACQUIRE_H
#define TASKQ_ACQUIRE_H

#include "fmgr.h"
#include "life/claim.h"
#include "tables/queue.h"

/*
 * Claims up to max due tasks of the queue, or of one of its groups unless group_id is 0, for
 * worker (text or NULL) into claims[]; returns their number.  If it is less than max, *next_due
 * becomes the time when the next task will be due, DT_NOEND if that is not known.
 */
extern int task_claim(const Queue *queue, int64 group_id, int max, int64 lease_us, text *worker,
					  Claim *claims, TimestampTz *next_due);

/*
 * Ends the attempt of a claimed task that cannot be given to its worker.  permanent: the task
 * ends as well.
 */
extern void claim_set_aside(const Claim *claim, const char *class, const char *error,
							bool permanent);

/*
 * The same after an error: "what" cannot be "done".  The task ends, unless such an error may pass
 * by itself.
 */
extern void claim_set_aside_failed(const Claim *claim, const char *what, const char *done,
								   int sqlstate);

/*
 * The queue of that name: TQ005 for a push or call queue, TQ009 if the isolation level of the
 * transaction keeps one snapshot.
 */
extern const Queue *queue_to_acquire(text *name);

/*
 * Returns the rows of acquire(); max_tasks, lease_for and worker are arguments n to n + 2.
 * group_id: as of task_claim().  max_bytes: no more tasks are claimed when the payloads have so
 * many bytes as text, which they exceed by one payload at most; 0: no bound.
 */
extern void acquire_into(FunctionCallInfo fcinfo, const Queue *queue, int64 group_id, int n,
						 Size max_bytes);

#endif

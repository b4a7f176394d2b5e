/*
 * empty.h
 *		Queues that were dropped: what is left of them is ended.
 */
#ifndef TASKQ_EMPTY_H
#define TASKQ_EMPTY_H

/*
 * A pass, for sessions where no executor runs.  True: the next pass has more to do at once.
 */
extern bool empty_some(void);

/*
 * Ends a task of a dropped queue before its turn.  False: there is no such task, or a running one
 * is in another transaction's hands.
 */
extern bool empty_task(int64 id);

#endif

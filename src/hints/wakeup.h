/*
 * wakeup.h
 *		What a committed transaction tells other processes.
 */
#ifndef TASKQ_WAKEUP_H
#define TASKQ_WAKEUP_H

/*
 * At this transaction's commit the database wants these things done (bits of DatabaseWant),
 * and the processes that see to them are woken.
 */
extern void wakeup_at_commit(uint32 wants);

/*
 * What sessions wait for, as a number that is never 0.  Two topics may have the
 * same number by chance: a session that is woken looks again.
 */
extern uint64 topic_of_task(int64 id);
extern uint64 topic_of_queue(int32 id);

/* At commit the sessions that wait for the task's end are woken. */
extern void wakeup_task_ended_at_commit(int64 id);

/* At commit one more waiter of the pull queue is woken, and the queue is marked: see notify.c. */
extern void wakeup_arrival_at_commit(int32 queue_id);

/* All sessions that wait for the queue are woken now. */
extern void wakeup_waiters(int32 queue_id);

/* This session waits for a topic from now on.  It stops when its transaction fails, too. */
extern void wakeup_wait_for(uint64 topic);

/* It waits no more.  found: what it was woken for, if it was, is its own now. */
extern void wakeup_stop_waiting(bool found);

/* Called once, while the library is preloaded. */
extern void wakeup_install(void);

#endif

/*
 * wakeup.h
 *		Wakes other processes when a transaction commits.
 */
#ifndef TASKQ_WAKEUP_H
#define TASKQ_WAKEUP_H

/*
 * Sets these wants of the database (bits of DatabaseWant) when this transaction commits, and
 * wakes the processes that fulfil them.
 */
extern void wakeup_at_commit(uint32 wants);

/*
 * A topic stands for an event for which sessions wait.  It is never 0.  Two topics may be equal
 * by chance, so a session that is woken looks again.
 */
extern uint64 topic_of_task(int64 id);
extern uint64 topic_of_queue(int32 id);
extern uint64 topic_of_events(void);

/*
 * Stands for these topics together, for this session: at most MAX_TOPICS of database.h.  It is
 * valid until the next call, and the session waits for nothing meanwhile.
 */
extern uint64 topic_of_list(const uint64 *topics, int count);

/* At commit, wakes the sessions that wait for the task: for its end, a value, or a want. */
extern void wakeup_task_at_commit(int64 id);

/* At commit, has the executor tell the sessions that wait for events: see notify.c. */
extern void wakeup_events_at_commit(void);

/* At commit, wakes one more waiter of the pull queue, and marks the queue: see notify.c. */
extern void wakeup_arrival_at_commit(int32 queue_id);

/* Wakes all sessions that wait for the queue, or for events, now. */
extern void wakeup_waiters(int32 queue_id);
extern void wakeup_event_waiters(void);

/*
 * Wakes so many of them, now, and marks the queue: see notify.c.  For the hooks of base/xact.h:
 * never fails if database_mine() was called before.
 */
extern void wakeup_some(int32 queue_id, int count);

/* Makes this session a waiter for the topic, until wakeup_stop_waiting() or a rollback. */
extern void wakeup_wait_for(uint64 topic);

/*
 * Ends the waiting.  found: the topic whose event the session has found, 0 if none.  If another
 * topic has woken the session, another waiter of that topic is woken instead.
 */
extern void wakeup_stop_waiting(uint64 found);

/* Called once, while the library is preloaded. */
extern void wakeup_install(void);

#endif

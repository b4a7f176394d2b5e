/*
 * durability.h
 *		Decides which commits need not wait for the disk.
 *
 * Changes between the first two calls may be lost in a crash.  A transaction that writes nothing
 * else commits asynchronously, unless durability_require() was called in it.
 */
#ifndef TASKQ_DURABILITY_H
#define TASKQ_DURABILITY_H

extern void durability_begin_weak(void);
extern void durability_end_weak(void);

/* Something between the two calls is more than that: the caller's synchronous_commit applies. */
extern void durability_apply(void);

/*
 * The commit of this transaction waits for the disk of this server even if the caller's
 * synchronous_commit is off.  A subtransaction that rolls back does not take this back.
 */
extern void durability_require(void);

/* Makes all that was written to the log so far durable. */
extern void durability_flush(void);

#endif

/*
 * locks.h
 *		Numbers of our advisory locks.
 *
 * They stand in the fourth field of the lock's tag, where SQL's advisory locks have 1 or 2.
 */
#ifndef TASKQ_LOCKS_H
#define TASKQ_LOCKS_H

#include "storage/lock.h"

typedef enum LockNumber
{
	/* Session level; the key is the database. */
	LOCK_EXECUTOR_RUNS = 0x5451,  /* its executor holds it for life, which keeps a second one out */
	LOCK_EXECUTOR_STOPS = 0x5452, /* a session that stops it: it is not to come back */

	/* Until the transaction ends; the key is the queue. */
	LOCK_CLAIM = 0x5453 /* a session that claims for an endpoint */
} LockNumber;

/* key: what the lock is of, in the current database unless the key is a database. */
static inline LOCKTAG
lock_tag(LockNumber number, Oid database, uint32 key)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, database, key, 0, number);
	return tag;
}

#endif

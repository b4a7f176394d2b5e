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
	/* Session locks; the key is the database. */
	LOCK_EXECUTOR_RUNS = 0x5451,  /* held by its executor, so that no second one runs */
	LOCK_EXECUTOR_STOPS = 0x5452, /* held by a session that stops it: it must not start again */

	LOCK_TOKENS_JUMP = 0x5454, /* held for a moment by a session that moves the counter of tokens */

	/* Held by a session that called serve(); the key is the number of its row in serving. */
	LOCK_SERVES = 0x5455,

	/* A transaction lock; the key is the queue. */
	LOCK_CLAIM = 0x5453 /* held by a session that claims tasks of an endpoint */
} LockNumber;

/* key: the locked object in that database; 0 if the object is the database. */
static inline LOCKTAG
lock_tag(LockNumber number, Oid database, uint32 key)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, database, key, 0, number);
	return tag;
}

#endif

/*
 * transaction.h
 *		The transactions of the executor's process.
 */
#ifndef TASKQ_TRANSACTION_H
#define TASKQ_TRANSACTION_H

/* A piece of the executor's work, as the log and pg_stat_activity name it. */
typedef struct Operation
{
	const char *name; /* completes "could not ..." */
	bool failing;     /* the last time it failed: failures.c knows the rest */
} Operation;

typedef void (*Work)(void *arg);

/*
 * Runs work(arg) in a transaction of its own, with SPI connected and a snapshot;
 * work may be NULL.  False: it failed, or the extension is gone.  A failure is remembered for
 * status(); the log has the first one, and each one whose number has doubled.  Never raises an
 * error.
 */
extern bool transact(Operation *op, Work work, void *arg);

/* Remembers the extension that is served.  False: it is gone, or the lookup failed. */
extern bool transaction_open(void);

/* True once the extension was dropped, even if it was created again: nothing is left to serve. */
extern bool extension_gone(void);

/* Whether the last failure may pass by itself, so that the same work may succeed later. */
extern bool failure_may_pass(void);

#endif

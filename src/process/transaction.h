/*
 * transaction.h
 *		The transactions of the executor's process.
 */
#ifndef TASKQ_TRANSACTION_H
#define TASKQ_TRANSACTION_H

/* What the executor does, as the log and pg_stat_activity name it. */
typedef struct Operation
{
	const char *name; /* completes "could not ..." */
	int failure_level;
	bool failing; /* the last time it failed, and the log says so */
} Operation;

typedef void (*Work)(void *arg);

/*
 * Runs work(arg) in a transaction of its own, with SPI connected and a snapshot;
 * work may be NULL.  False: it failed, which the log says once until it works
 * again, or the extension is gone.  Never raises an error.
 */
extern bool transact(Operation *op, Work work, void *arg);

/* Remembers the extension that is served.  False: it is gone, or could not be looked for. */
extern bool transaction_open(void);

/* The extension was dropped, maybe made anew: there is nothing to serve any more. */
extern bool extension_gone(void);

/* Whether the last failure may pass without anything being changed. */
extern bool failure_may_pass(void);

/*
 * A look that found nothing finds nothing again until a transaction has ended,
 * anywhere in the cluster, or the time has come that it was told of.  It is not
 * repeated until then, so that an idle queue costs nothing.
 */
typedef struct Quiet
{
	uint64 endings; /* before the look */
	int64 until;    /* on the monotonic clock */
	int64 due_at;   /* what the look was told of; -1: nothing */
} Quiet;

/* To be read before the look. */
extern uint64 quiet_endings(void);

/* True: the look need not be repeated; *next_ms is what it was told of, -1: nothing. */
extern bool still_quiet(const Quiet *quiet, int64 *next_ms);

/* The look found nothing, and was told of something in next_ms; -1: of nothing. */
extern Quiet quiet_after(uint64 endings, int64 next_ms);

#endif

/*
 * subxact.h
 *		Work that may fail without failing the transaction.
 */
#ifndef TASKQ_SUBXACT_H
#define TASKQ_SUBXACT_H

/*
 * Runs work(arg) in a subtransaction, in the current memory context.  Returns 0, or the SQLSTATE
 * of the error that has undone it.  A cancel is not caught: it ends the transaction.
 */
extern int subxact_try(void (*work)(void *arg), void *arg);

/* The same; *message becomes that of the error, in the current memory context. */
extern int subxact_try_for_message(void (*work)(void *arg), void *arg, char **message);

#endif

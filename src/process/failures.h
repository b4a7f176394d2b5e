/*
 * failures.h
 *		What the executor of a database could not do, for status().
 */
#ifndef TASKQ_FAILURES_H
#define TASKQ_FAILURES_H

#include "base/shmem.h"

extern HintTable failures_table;

/*
 * The work has failed: work is what "could not" is followed by, such as "claim tasks".  Returns
 * how many times in a row.  Never fails.
 */
extern uint32 failure_note(const char *work, int sqlstate, const char *message);

/*
 * The same, and logs the first failure in a row and each one whose number has doubled.  Never logs
 * the detail or the context: they may contain the content of a task.
 */
extern void failure_tell(const char *work, const ErrorData *failure);

/* The work was done. */
extern void failure_over(const char *work);

/* An executor begins: it will find out itself what fails. */
extern void failures_forget(void);

#endif

/*
 * tell.h
 *		What a call tells while it runs, in the process that makes it.
 */
#ifndef TASKQ_TELL_H
#define TASKQ_TELL_H

#include "process/call_segment.h"

/* The process tells of the call that stands in the segment. */
extern void tell_begin(CallSegment *segment, shm_mq_handle *queue);

/* A CallTeller.  An error if a value before this one could not be written. */
extern void tell_executor(CallMessageKind kind, int n, Datum content);

/*
 * The function has returned.  Waits until its values are written, with the same error; from now on
 * each value, of a trigger at the commit, is waited for when it is told.
 */
extern void tell_end(void);

/* The call has failed.  The same without an error, and not for long. */
extern void tell_end_failed(void);

#endif

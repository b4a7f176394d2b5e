/*
 * notify.h
 *		Tells sessions about due tasks.
 */
#ifndef TASKQ_NOTIFY_H
#define TASKQ_NOTIFY_H

/* Sends the notifications that are due. */
extern void notify_run(void);

/* Milliseconds until notify_run() has something to do. */
extern int64 notify_due_in(void);

#endif

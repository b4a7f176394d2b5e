/*
 * look.h
 *		Looks at tasks that wait for others.
 */
#ifndef TASKQ_LOOK_H
#define TASKQ_LOOK_H

/* One pass of looks, where no executor runs.  True: there is more to look at. */
extern bool look_some(void);

#endif

/*
 * launcher.h
 *		The process that starts an executor for each database that wants one.
 */
#ifndef TASKQ_LAUNCHER_H
#define TASKQ_LAUNCHER_H

/* Called once, while the library is preloaded. */
extern void launcher_register(void);

#endif

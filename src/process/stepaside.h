/*
 * stepaside.h
 *		Executors make room for commands that need their database to themselves.
 */
#ifndef TASKQ_STEPASIDE_H
#define TASKQ_STEPASIDE_H

/* Called once, while the library is preloaded. */
extern void stepaside_install(void);

#endif

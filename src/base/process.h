/*
 * process.h
 *		Signals, interrupts and settings of our background processes.
 */
#ifndef TASKQ_PROCESS_H
#define TASKQ_PROCESS_H

#include <signal.h>

/*
 * SIGTERM sets worker_stopping and cancels the running query of the process; it does not end
 * the process.
 */
extern volatile sig_atomic_t worker_stopping;
extern void worker_signals(void);

/* Between transactions: answers barriers and the like, and forgets a query cancel. */
extern void worker_absorb_interrupts(void);

/* Reads the configuration files again if SIGHUP came; true if it did. */
extern bool worker_reload_config(void);

#endif

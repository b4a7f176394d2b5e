/*
 * supervisor.h
 *		What a service tells systemd, as sd_notify() does: a datagram, without the library.
 */
#ifndef CLIENT_SUPERVISOR_H
#define CLIENT_SUPERVISOR_H

#include <stdint.h>

/* Sends a state, "READY=1" for example.  Does nothing if no supervisor asked for it. */
extern void tq_supervisor_tell(const char *state);

/* How often "WATCHDOG=1" is wanted, in milliseconds; -1: never. */
extern int64_t tq_supervisor_watchdog_ms(void);

#endif

/*
 * keepalive.h
 *		For how long connections to a receiver may be idle and used again.
 */
#ifndef TQ_KEEPALIVE_H
#define TQ_KEEPALIVE_H

#include <stdint.h>

/* For a receiver that does not say how long it keeps a connection, and at most. */
#define TQ_IDLE_MAX_S 15

#define TQ_KEEPALIVE_SLOTS 1024

/*
 * What receivers have said: one slot a hash value, the newer receiver wins.  All zero: nothing.
 * A receiver that is mistaken for another one has its connections given up earlier or later.
 */
typedef struct tq_keepalive
{
	uint32_t hash[TQ_KEEPALIVE_SLOTS];
	int timeout_s[TQ_KEEPALIVE_SLOTS];
} tq_keepalive;

/*
 * How many seconds the receiver keeps an idle connection, at most TQ_IDLE_MAX_S, by the value of
 * its header Keep-Alive; -1: it does not say.
 */
extern int tq_keepalive_timeout(const char *value);

/* The receiver keeps idle connections for so long. */
extern void tq_keepalive_note(tq_keepalive *k, const char *host, const char *port, int timeout_s);

/* How many seconds a connection to the receiver may have been idle to be used again. */
extern int tq_keepalive_idle_s(const tq_keepalive *k, const char *host, const char *port);

#endif

/*
 * store_pq.h
 *		The engine's store on a connection to the database.
 *
 * Connecting never blocks: the owner waits for the descriptor and calls
 * tq_pq_step().  The statements themselves do, for at most STATEMENT_TIMEOUT_S
 * and what TCP takes to notice a peer that is gone.  While there is no
 * connection every call of the store answers "not now", and the engine keeps
 * what it has.
 */
#ifndef STORE_PQ_H
#define STORE_PQ_H

#include <stdbool.h>
#include <stdint.h>

#include "core/deliver.h"

typedef struct tq_pq tq_pq;

typedef struct tq_pq_config
{
	const char *conninfo;      /* a libpq connection string or URI */
	const char *name;          /* of this worker, as taskq.workers shows it */
	const char *const *queues; /* nqueues names; none: all that are external */
	int nqueues;
	void (*log)(const char *line); /* a state change: one line, no secrets */
} tq_pq_config;

/* Everything in config must outlive it.  NULL: out of memory. */
extern tq_pq *tq_pq_new(const tq_pq_config *config);

/* The store; its self is the tq_pq. */
extern tq_store tq_pq_store(tq_pq *pq);

/* The descriptor to wait for, -1 if none, and the events of poll(). */
extern int tq_pq_fd(const tq_pq *pq, short *events);

/* Milliseconds until tq_pq_step() is due even if nothing happens; -1: never. */
extern int64_t tq_pq_timeout(const tq_pq *pq);

/*
 * Connects, again where need be, and reads notifications.  True: tasks may be
 * due, because somebody said so or because the connection is new.
 */
extern bool tq_pq_step(tq_pq *pq);

extern bool tq_pq_is_up(const tq_pq *pq);

extern void tq_pq_free(tq_pq *pq);

#endif

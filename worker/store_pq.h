/*
 * store_pq.h
 *		The engine's store on a connection to the database.
 *
 * While there is no connection every call of the store fails for the moment, and
 * the engine keeps what it has.
 */
#ifndef STORE_PQ_H
#define STORE_PQ_H

#include "client/connection.h"
#include "client/hooks.h"
#include "core/store.h"

typedef struct tq_pq tq_pq;

/* Everything in it must outlive the store. */
typedef struct tq_pq_config
{
	const char *conninfo;      /* a libpq connection string or URI */
	const char *name;          /* of this worker, as taskq.workers shows it */
	const char *const *queues; /* nqueues names; none: all that are external */
	int nqueues;
	const tq_hooks *hooks;
	bool once;                     /* the owner tries only once to connect */
	void (*log)(const char *line); /* a state change: one line, no secrets */
} tq_pq_config;

/* NULL: out of memory. */
extern tq_pq *tq_pq_new(const tq_pq_config *config);

/*
 * Its connection, for the owner to wait for and step.  A step that returns true means that tasks
 * may be due.
 */
extern tq_connection *tq_pq_connection(tq_pq *pq);

/* How many of the named queues could not be served when the connection was made. */
extern int tq_pq_missing(const tq_pq *pq);

/* The store; its self is the tq_pq. */
extern tq_store tq_pq_store(tq_pq *pq);

extern void tq_pq_free(tq_pq *pq);

#endif

/*
 * pipeline.h
 *		Statements that do not block: those that are sent together are one transaction.
 *
 * One batch is under way at a time; what comes up meanwhile makes the next one.  So the more there
 * is to do, the more of it goes into one transaction.
 */
#ifndef CLIENT_PIPELINE_H
#define CLIENT_PIPELINE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "client/connection.h"

#define TQ_PIPELINE_MAX 256 /* statements in a batch */

typedef struct tq_pipeline tq_pipeline;

/* What became of a batch. */
typedef struct tq_batch_end
{
	bool committed;
	bool connected;          /* false: the connection was lost, so it may have been committed */
	const PGresult *failure; /* the first error of a batch that was not committed; may be NULL */
} tq_batch_end;

/*
 * Gets the answer to a statement when its batch has ended.  result: NULL if that was not
 * committed.
 */
typedef void tq_pipeline_taker(void *arg, const PGresult *result, const tq_batch_end *end);

/* The connection must outlive it.  NULL: out of memory. */
extern tq_pipeline *tq_pipeline_new(tq_connection *connection);

/* Whether a batch can be begun or is being made: there is a connection, and none is under way. */
extern bool tq_pipeline_is_free(tq_pipeline *p);

/*
 * Adds one of the connection's statements to the batch.  Values are texts; they need not outlive
 * the call.  take() is called once for certain if this returns true.  False: the batch is full, or
 * there is no connection.
 */
extern bool tq_pipeline_add(tq_pipeline *p, const tq_statement *statement,
							const char *const *values, tq_pipeline_taker *take, void *arg);

/* How many statements the batch has. */
extern int tq_pipeline_count(const tq_pipeline *p);

/* Sends the batch, if it has statements. */
extern void tq_pipeline_send(tq_pipeline *p);

/* Whether the owner should wait until the connection can be written to as well. */
extern bool tq_pipeline_wants_write(const tq_pipeline *p);

/* Goes on with sending and receiving; may call takers.  To be called after tq_connection_step(). */
extern void tq_pipeline_step(tq_pipeline *p);

/* p may be NULL. */
extern void tq_pipeline_free(tq_pipeline *p);

#endif

/*
 * request.h
 *		A claimed push task as the request that is to be sent.
 */
#ifndef TASKQ_REQUEST_H
#define TASKQ_REQUEST_H

#include "life/acquire.h"
#include "nodes/execnodes.h"
#include "utils/jsonb.h"

/* What the requests of an endpoint carry, as it is at a claim; all zero: nothing. */
typedef struct Secrets
{
	char *url; /* that they are for */
	Jsonb *headers;
	bytea *secret;
	bytea *old_secret; /* signs, too */
} Secrets;

/* The secrets of the queue.  False: there are none, though there should be. */
extern bool request_read_secrets(const Queue *queue, Secrets *secrets);

/* Adds the request of a claim to the rows that push_claim() returns. */
extern void request_return(ReturnSetInfo *rsinfo, const Queue *queue, const Claim *claim,
						   const Secrets *secrets);

#endif

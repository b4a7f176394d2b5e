/*
 * request.h
 *		Makes the HTTP request of a claimed push task.
 */
#ifndef TASKQ_REQUEST_H
#define TASKQ_REQUEST_H

#include "life/acquire.h"
#include "nodes/execnodes.h"
#include "push/signature.h"
#include "utils/jsonb.h"

/* The url, headers and secrets of an endpoint at the time of a claim; all zero: it has none. */
typedef struct Secrets
{
	char *url; /* the only one to which the rest may be sent */
	Jsonb *headers;
	bytea *secret;
	bytea *old_secret;   /* signs as well, while it is valid */
	pg_hmac_ctx *signer; /* while requests are made, if there is a secret */
	int sqlstate;        /* not 0: they could not be read, and no request can be made */
} Secrets;

/*
 * Reads the secrets of the queue into *secrets, which is all zero before.  False: they are missing,
 * although the queue needs them.
 */
extern bool request_read_secrets(const Queue *queue, Secrets *secrets);

/*
 * Adds the requests of the claims to the rows that push_claim() returns.  A task of which there
 * can be no request is set aside.  Returns how many rows were added.
 */
extern int requests_return(ReturnSetInfo *rsinfo, const Queue *queue, const Claim *claims,
						   int count, const Secrets *secrets);

#endif

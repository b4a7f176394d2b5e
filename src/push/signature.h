/*
 * signature.h
 *		Signs requests as Standard Webhooks does.
 */
#ifndef TASKQ_SIGNATURE_H
#define TASKQ_SIGNATURE_H

#include "common/hmac.h"

/* For any number of signatures; what an error leaves of it ends with the transaction. */
extern pg_hmac_ctx *signer_begin(void);
extern void signer_end(pg_hmac_ctx *signer);

/* Returns the value of the header webhook-signature, palloc'd; body may be NULL. */
extern char *signature_make(pg_hmac_ctx *signer, const bytea *secret, const char *id,
							int64 unix_time, const bytea *body);

#endif

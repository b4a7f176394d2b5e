/*
 * signature.h
 *		Signs requests as Standard Webhooks does.
 */
#ifndef TASKQ_SIGNATURE_H
#define TASKQ_SIGNATURE_H

/* Returns the value of the header webhook-signature, palloc'd; body may be NULL. */
extern char *signature_make(const bytea *secret, const char *id, int64 unix_time,
							const bytea *body);

#endif

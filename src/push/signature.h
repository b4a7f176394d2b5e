/*
 * signature.h
 *		Standard Webhooks: signatures of requests.
 */
#ifndef TASKQ_SIGNATURE_H
#define TASKQ_SIGNATURE_H

/* The signature of a message, palloc'd, as it stands in the header; body may be NULL. */
extern char *signature_make(const bytea *secret, const char *id, int64 unix_time,
							const bytea *body);

#endif

/*
 * call_claim.h
 *		What the executor does for calls.  Its functions are called from SQL.
 */
#ifndef TASKQ_CALL_CLAIM_H
#define TASKQ_CALL_CLAIM_H

/* The columns of taskq_private.call_claim(), from zero. */
typedef enum ClaimedColumn
{
	CLAIMED_ID,
	CLAIMED_TOKEN,
	CLAIMED_LEASE_MS,
	CLAIMED_TIMEOUT_MS, /* 0: none */
	CLAIMED_ROLE,
	CLAIMED_ROLE_NAME,
	CLAIMED_NCOLUMNS
} ClaimedColumn;

#endif

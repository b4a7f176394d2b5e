/*
 * report.h
 *		How results reach the store, also those that it refuses.
 *
 * All results are reported together.  If the store refuses that, each is reported by
 * itself, so that one that cannot be stored does not block the others.  A result that
 * is refused alone is reported once more without what the receiver sent, which may
 * be what cannot be stored.  If that is refused as well, the result is given up: the
 * task runs again when its lease has expired.
 */
#ifndef TQ_REPORT_H
#define TQ_REPORT_H

#include "core/attempts.h"

/* A claim in the same transaction; it is left out when results have to be reported one by one. */
typedef struct tq_claim_beside
{
	int max; /* 0: none */
	tq_claim claim;
	bool done; /* the claim was made */
} tq_claim_beside;

/*
 * Reports all results of the attempts, of which there must be one, and frees those that are
 * through.  LATER: some are kept, to be reported again.  Never REFUSED.  A result that is given up
 * is told to log, in one line.
 */
extern tq_store_status tq_report(tq_attempts *as, const tq_store *store, tq_claim_beside *beside,
								 void (*log)(void *self, const char *line), void *self);

#endif

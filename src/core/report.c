/*
 * report.c
 *		How results reach the store, also those that it refuses.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/report.h"

/* Takes away what the receiver sent: the database may be unable to store it. */
static void
make_bare(tq_attempt *a)
{
	tq_response *r = a->result.response;

	free(r->headers);
	free(r->body);
	r->headers = r->body = NULL;
	r->headers_len = r->body_len = 0;
	r->truncated = true;
	snprintf(r->error, sizeof(r->error), "the response could not be stored");
	a->bare = true;
}

/* Reports the result of one attempt by itself, at last without what the receiver sent. */
static tq_store_status
report_alone(const tq_store *store, tq_attempt *a, tq_result *result)
{
	tq_store_status status = store->report(store->self, result, 1);

	if (status != TQ_STORE_REFUSED || a->bare)
		return status;
	make_bare(a);
	return store->report(store->self, result, 1);
}

static void
tell_given_up(const tq_attempt *a, void (*log)(void *self, const char *line), void *self)
{
	char line[128];

	snprintf(line, sizeof(line),
			 "cannot store the result of task %" PRId64 ", which runs again when its lease expires",
			 a->task->id);
	log(self, line);
}

/* Results are the copies of all results.  Returns the number of those that are through. */
static int
report_each(const tq_attempts *as, tq_result *results, const tq_store *store,
			void (*log)(void *self, const char *line), void *self)
{
	tq_attempt *a;
	int n = 0;

	for (a = as->first_result; a != NULL; a = a->next_result, n++)
	{
		tq_store_status status = report_alone(store, a, &results[n]);

		if (status == TQ_STORE_LATER)
			break;
		if (status == TQ_STORE_REFUSED)
			tell_given_up(a, log, self);
	}
	return n;
}

static tq_store_status
report_together(const tq_store *store, tq_result *results, int n, tq_claim_beside *beside)
{
	tq_store_status status;

	if (beside->max == 0)
		return store->report(store->self, results, n);
	status = store->report_and_claim(store->self, results, n, beside->max, &beside->claim);
	beside->done = status == TQ_STORE_DONE;
	return status;
}

tq_store_status
tq_report(tq_attempts *as, const tq_store *store, tq_claim_beside *beside,
		  void (*log)(void *self, const char *line), void *self)
{
	tq_result *results = calloc(as->nresults, sizeof(*results));
	tq_store_status status = TQ_STORE_LATER;
	const tq_attempt *a;
	int n = 0;
	int through = 0;

	for (a = as->first_result; results != NULL && a != NULL; a = a->next_result)
		results[n++] = a->result;
	if (n > 0)
		status = report_together(store, results, n, beside);
	if (status == TQ_STORE_DONE)
		through = n;
	else if (status == TQ_STORE_REFUSED)
		through = report_each(as, results, store, log, self);
	tq_attempts_settle(as, results, through);
	free(results);
	return through == n && n > 0 ? TQ_STORE_DONE : TQ_STORE_LATER;
}

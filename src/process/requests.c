/*
 * requests.c
 *		How far the executor is with each request that it holds, for the view taskq.requests and
 *		for metrics.
 *
 * A lease begins when the executor claims the task, but the request may wait for its host, and
 * only the executor knows that.  It writes a few bytes of shared memory at each step, and no
 * row.  An entry is compared with the lease by its token, so one that was left behind is never
 * taken for the present attempt.  Without preload nothing is noted, because no other session
 * could read it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "process/requests.h"

typedef struct RequestHint
{
	HintEntry entry; /* its number is the id of the task */
	int64 token;
	TimestampTz since;
	tq_phase phase;
} RequestHint;

/* Twice as many as one executor holds at most. */
HintTable requests_table = {
	.name = "taskq requests",
	.entry_size = sizeof(RequestHint),
	.ways = 8,
	.entries = 8192,
};

void
request_note(int64 id, int64 token, tq_phase phase)
{
	TimestampTz now = GetCurrentTimestamp();
	RequestHint *r;

	if (!hint_is_shared(&requests_table))
		return;
	r = (RequestHint *) hint_make(&requests_table, id, NULL);
	r->token = token;
	r->phase = phase;
	r->since = r->entry.used_at = now;
	hint_unlock(&requests_table, &r->entry);
}

void
request_over(int64 id)
{
	HintEntry *entry = hint_find(&requests_table, id);

	if (entry == NULL)
		return;
	hint_free(entry);
	hint_unlock(&requests_table, entry);
}

void
requests_forget(void)
{
	for (int i = 0; i < hint_count(&requests_table); i++)
	{
		HintEntry *entry = hint_lock_if_ours(&requests_table, i);

		if (entry == NULL)
			continue;
		hint_free(entry);
		hint_unlock(&requests_table, entry);
	}
}

/* The copy of the entry; false: there is none for this attempt. */
static bool
look(int64 id, int64 token, RequestHint *copy)
{
	RequestHint *r = (RequestHint *) hint_find(&requests_table, id);

	if (r == NULL)
		return false;
	*copy = *r;
	hint_unlock(&requests_table, &r->entry);
	return copy->token == token;
}

PG_FUNCTION_INFO_V1(taskq_request_phase);
Datum
taskq_request_phase(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		[TQ_PHASE_WAITING] = "waiting",
		[TQ_PHASE_SENDING] = "sending",
		[TQ_PHASE_ANSWERED] = "answered"};
	Datum values[2] = {0};
	bool nulls[2] = {true, true};
	RequestHint hint;
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (look(PG_GETARG_INT64(0), PG_GETARG_INT64(1), &hint))
	{
		values[0] = CStringGetTextDatum(names[hint.phase]);
		values[1] = TimestampTzGetDatum(hint.since);
		nulls[0] = nulls[1] = false;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* The requests that the executor of this database holds. */
typedef struct HeldRequests
{
	int64 in_flight;
	int64 waiting;
} HeldRequests;

static void
count_request(const void *entry, void *arg)
{
	HeldRequests *held = arg;

	if (((const RequestHint *) entry)->phase == TQ_PHASE_WAITING)
		held->waiting++;
	else
		held->in_flight++;
}

PG_FUNCTION_INFO_V1(taskq_held_requests);
Datum
taskq_held_requests(PG_FUNCTION_ARGS)
{
	HeldRequests held = {0};
	Datum values[2];
	bool nulls[2];
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	nulls[0] = nulls[1] = !hint_is_shared(&requests_table);
	if (hint_is_shared(&requests_table))
		hint_for_each(&requests_table, count_request, &held);
	values[0] = Int64GetDatum(held.in_flight);
	values[1] = Int64GetDatum(held.waiting);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

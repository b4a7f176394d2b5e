/*
 * batch.c
 *		finish_many(), heartbeat_many(), finish_and_acquire(): many tasks in one call.
 *
 * A batch does what as many single calls would do in the caller's transaction.  A task whose
 * token is stale is skipped and does not make the others fail, because a worker must be
 * able to finish the rest of its tasks.
 *
 * All leases are taken before the first task row is touched, and in the order of their ids,
 * so that two batches cannot deadlock.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/durability.h"
#include "base/errors.h"
#include "life/acquire.h"
#include "life/finish.h"
#include "life/lease.h"
#include "tables/queue.h"
#include "tables/rows.h"

/* One task of a batch, with the token that proves the caller's ownership. */
typedef struct Ownership
{
	int64 id;
	int64 token;
	Datum result; /* jsonb; 0: none */
} Ownership;

static int
compare_items(const void *a, const void *b)
{
	int64 x = ((const Ownership *) a)->id;
	int64 y = ((const Ownership *) b)->id;

	return x < y ? -1 : x > y;
}

/* Arguments n and n + 1, ordered by id. */
static Ownership *
arg_items(FunctionCallInfo fcinfo, int n, int *count)
{
	int64 *ids;
	int64 *tokens;
	Ownership *items;

	*count = arg_id_arrays(fcinfo, n, &ids, &tokens);
	items = palloc0_array(Ownership, *count);
	for (int i = 0; i < *count; i++)
	{
		items[i].id = ids[i];
		items[i].token = tokens[i];
	}
	return items;
}

/* Argument n: one result for each item, in the order of the arguments. */
static void
arg_results(FunctionCallInfo fcinfo, int n, Ownership *items, int count)
{
	Datum *values;
	bool *nulls;
	int nresults;

	if (PG_ARGISNULL(n))
		return;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), JSONBOID, -1, false, TYPALIGN_INT, &values, &nulls,
					  &nresults);
	if (nresults != count)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("results and ids must have the same length"),
				 errdetail("There are %d results and %d ids.", nresults, count),
				 errhint("Pass one result for each id, NULL where there is none.")));
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			continue;
		check_json(values[i], "result");
		items[i].result = values[i];
	}
}

/* Takes the leases that are not lost; moves their items to the front and returns their number. */
static int
take_leases(Ownership *items, int count, Row *leases)
{
	HotRelation r;
	int n = 0;

	hot_open(&r, HOT_LEASE);
	hot_begin_looks(&r);
	for (int i = 0; i < count; i++)
	{
		if (n > 0 && items[i].id == items[n - 1].id)
			continue; /* the same id again */
		if (lease_take_own_in(&r, items[i].id, items[i].token, &leases[n]))
			items[n++] = items[i];
	}
	hot_end_looks(&r);
	hot_close(&r);
	CommandCounterIncrement();
	return n;
}

/* Whether durable_finish is off in all queues of these leases. */
static bool
may_be_lost(const Row *leases, int count)
{
	for (int i = 0; i < count; i++)
	{
		const Queue *queue = queue_by_id(ROW_INT32(&leases[i], LEASE_QUEUE_ID));

		if (queue == NULL || queue->durable_finish)
			return false;
	}
	return true;
}

/*
 * Finishes the tasks whose lease is not lost; moves their items to the front and returns their
 * number.
 */
static int
finish_items(Ownership *items, int count)
{
	Row *leases = palloc_array(Row, count);
	Finish *finishes;

	qsort(items, count, sizeof(Ownership), compare_items);
	durability_begin_weak();
	count = take_leases(items, count, leases);
	if (count == 0)
		return 0;
	finishes = palloc_array(Finish, count);
	for (int i = 0; i < count; i++)
		finishes[i] = (Finish){.lease = &leases[i], .result = items[i].result};
	tasks_finish(finishes, count);
	if (may_be_lost(leases, count))
		durability_end_weak();
	return count;
}

PG_FUNCTION_INFO_V1(taskq_finish_many);
Datum
taskq_finish_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int count;
	Ownership *items;

	client_call("taskq.finish_many()");
	items = arg_items(fcinfo, 0, &count);
	arg_results(fcinfo, 2, items, count);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	count = finish_items(items, count);
	for (int i = 0; i < count; i++)
	{
		Datum value = Int64GetDatum(items[i].id);
		bool isnull = false;

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(taskq_heartbeat_many);
Datum
taskq_heartbeat_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64 extend_us = arg_interval_us(fcinfo, 2, "extend_by", 0, RANGE_LEASE);
	int count;
	Ownership *items;

	client_call("taskq.heartbeat_many()");
	items = arg_items(fcinfo, 0, &count);
	qsort(items, count, sizeof(Ownership), compare_items);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < count; i++)
	{
		Row lease;
		Datum values[3];
		bool nulls[3] = {false};

		if (!lease_extend_own(items[i].id, items[i].token, extend_us, &lease))
			continue;
		values[0] = Int64GetDatum(items[i].id);
		values[1] = lease.values[LEASE_UNTIL];
		values[2] = lease.values[LEASE_CANCEL_REQUESTED];
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(taskq_finish_and_acquire);
Datum
taskq_finish_and_acquire(PG_FUNCTION_ARGS)
{
	const Queue *queue;
	int count;
	Ownership *items;

	client_call("taskq.finish_and_acquire()");
	queue = queue_to_acquire(arg_name(fcinfo, 0, "queue"));
	items = arg_items(fcinfo, 1, &count);
	arg_results(fcinfo, 3, items, count);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	(void) finish_items(items, count);
	acquire_into(fcinfo, queue, 0, 4, 0);
	return (Datum) 0;
}

/*
 * flow_limit.c
 *		The limits of queues and groups, as they are stored.
 *
 * A queue's own limit and that of all its groups are a part of the session's copy of the queue
 * (queue.c).  There may be very many groups with a limit of their own, so these are read one by
 * one, without a statement: it happens in claims.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/arg.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "tables/flow_limit.h"

/* The columns before max_running: queue_id, scope, group_id, group_key. */
#define COLUMNS_BEFORE 4

FlowLimit
flow_limit_of(const Datum *values, const bool *nulls)
{
	FlowLimit limit = {.max_running = -1, .per_us = USECS_PER_SEC, .burst = 1, .weight = 1};

	if (nulls[LIMIT_PER])
		return limit;
	if (!nulls[LIMIT_MAX_RUNNING])
		limit.max_running = DatumGetInt32(values[LIMIT_MAX_RUNNING]);
	if (!nulls[LIMIT_RATE])
		limit.rate = DatumGetFloat8(values[LIMIT_RATE]);
	limit.per_us = Max(interval_us(DatumGetIntervalP(values[LIMIT_PER])), 1);
	limit.burst = DatumGetInt32(values[LIMIT_BURST]);
	limit.weight = DatumGetInt32(values[LIMIT_WEIGHT]);
	return limit;
}

static FlowLimit
limit_in(TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	return flow_limit_of(slot->tts_values + COLUMNS_BEFORE, slot->tts_isnull + COLUMNS_BEFORE);
}

bool
flow_limit_read(int32 queue_id, char scope, int64 group_id, FlowLimit *limit)
{
	Relation heap = table_open(catalog_relation("flow_limit"), AccessShareLock);
	Relation index = index_open(catalog_relation("flow_limit_pkey"), AccessShareLock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	IndexScanDesc scan = index_beginscan_compat(heap, index, snapshot, 3);
	ScanKeyData keys[3];
	bool found;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(queue_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_CHAREQ, CharGetDatum(scope));
	ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(group_id));
	index_rescan(scan, keys, 3, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	if (found)
		*limit = limit_in(slot);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	index_close(index, NoLock);
	table_close(heap, NoLock);
	return found;
}

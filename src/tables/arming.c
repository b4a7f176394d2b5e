/*
 * arming.c
 *		Whether this database may send requests: arm() must have been called for it.
 *
 * The row that arms a database names the cluster and the database, so that a
 * restored dump or a copy of the database sends nothing.  The row is read at each claim
 * and not remembered.  A restore writes it with COPY, which invalidates no session's memory,
 * and reading a table of one row takes only a microsecond or two.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/sql.h"
#include "tables/arming.h"
#include "tables/queue.h"

/* Columns of taskq.arm, from 1. */
enum ArmColumn
{
	ARM_SYSTEM_IDENTIFIER = 1,
	ARM_DATABASE,
};

static Statement select_copied = {"select taskq_private.copied()", 0, {0}, NULL};
static Statement arm_if_new = {"select taskq_private.arm_if_new()", 0, {0}, NULL};

static bool
is_from_here(TupleTableSlot *row)
{
	bool isnull;

	return DatumGetInt64(slot_getattr(row, ARM_SYSTEM_IDENTIFIER, &isnull)) ==
			   (int64) GetSystemIdentifier() &&
		   DatumGetObjectId(slot_getattr(row, ARM_DATABASE, &isnull)) == MyDatabaseId;
}

/* There may be several rows, by an administrator's doing: every row must name this database. */
ArmState
arming_state(void)
{
	Relation arm = table_open(catalog_relation("arm"), AccessShareLock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *row = table_slot_create(arm, NULL);
	TableScanDesc scan = table_beginscan(arm, snapshot, 0, NULL);
	ArmState state = ARM_NEW;

	while (state != ARM_REFUSED && table_scan_getnextslot(scan, ForwardScanDirection, row))
		state = is_from_here(row) ? ARM_ARMED : ARM_REFUSED;
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(row);
	UnregisterSnapshot(snapshot);
	table_close(arm, AccessShareLock);
	return state;
}

bool
arming_is_copy(void)
{
	Datum copied;
	bool isnull;

	return sql_as_owner(&select_copied, NULL, NULL, &copied, &isnull, 1) && DatumGetBool(copied);
}

/* The session remembers that there is a row, armed or not, until queues or arming change. */
void
arming_arm_if_new(void)
{
	static uint64 seen_at = 0;
	uint64 before = queue_changes();

	if (seen_at == before)
		return;
	if (arming_state() == ARM_NEW)
		(void) sql_as_owner(&arm_if_new, NULL, NULL, NULL, NULL, 0);
	seen_at = before;
}

/* NULL: no task was submitted yet. */
PG_FUNCTION_INFO_V1(taskq_armed);
Datum
taskq_armed(PG_FUNCTION_ARGS)
{
	ArmState state = arming_state();

	if (state == ARM_NEW)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(state == ARM_ARMED);
}

PG_FUNCTION_INFO_V1(taskq_system_identifier);
Datum
taskq_system_identifier(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) GetSystemIdentifier());
}

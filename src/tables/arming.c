/*
 * arming.c
 *		Whether this database sends: it must have been armed here, not in its original.
 *
 * The row that arms a database names the cluster and the database, so that a
 * restored dump or a copy of the database sends nothing.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/sql.h"
#include "tables/arming.h"
#include "tables/queue.h"

static Statement select_armed = {"select taskq_private.armed()", 0, {0}, NULL};
static Statement select_arm_row = {"select from taskq_private.arm", 0, {0}, NULL};
static Statement arm_if_new = {"select taskq_private.arm_if_new()", 0, {0}, NULL};

ArmState
arming_state(void)
{
	Datum armed;
	bool isnull;

	if (!sql_as_owner(&select_armed, NULL, NULL, &armed, &isnull, 1) || isnull)
		return ARM_NEW;
	return DatumGetBool(armed) ? ARM_ARMED : ARM_REFUSED;
}

/* There is a row of some kind: remembered until queues or arming change. */
void
arming_arm_if_new(void)
{
	static uint64 seen_at = PG_UINT64_MAX;
	uint64 before = queue_changes();

	if (seen_at == before)
		return;
	if (!sql_as_owner(&select_arm_row, NULL, NULL, NULL, NULL, 0))
		(void) sql_as_owner(&arm_if_new, NULL, NULL, NULL, NULL, 0);
	seen_at = before;
}

PG_FUNCTION_INFO_V1(taskq_system_identifier);
Datum
taskq_system_identifier(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) GetSystemIdentifier());
}

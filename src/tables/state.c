/*
 * state.c
 *		The values of the SQL type taskq.state.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"

#include "tables/queue.h"
#include "tables/state.h"

static const char *const labels[] = {
	[STATE_PENDING] = "pending",
	[STATE_RUNNING] = "running",
	[STATE_FINISHED] = "finished",
	[STATE_DEAD] = "dead",
	[STATE_CANCELLED] = "cancelled",
	[STATE_EXPIRED] = "expired",
};

static Datum
look_up_state(const char *label)
{
	Oid type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("state"),
							   ObjectIdGetDatum(get_namespace_oid("taskq", false)));

	return DirectFunctionCall2(enum_in, CStringGetDatum(label), ObjectIdGetDatum(type));
}

const char *
state_label(TaskState state)
{
	return labels[state];
}

Datum
state_datum(TaskState state)
{
	static Datum known[lengthof(labels)];
	static Oid generation = InvalidOid;

	if (generation != queue_generation())
	{
		generation = InvalidOid; /* in case a label is not found */
		for (int i = 0; i < (int) lengthof(labels); i++)
			known[i] = look_up_state(labels[i]);
		generation = queue_generation();
	}
	return known[state];
}

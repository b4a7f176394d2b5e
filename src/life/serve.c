/*
 * serve.c
 *		serve(): which kinds of tasks the worker of a session does.
 *
 * A row in a table says it, and a lock that the session holds says that the row is in force.  So
 * a worker that is killed needs no other session to notice, and a worker that runs writes nothing.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"

#include "base/arg.h"
#include "base/locks.h"
#include "base/sql.h"
#include "tables/grant.h"
#include "tables/queue.h"

#define MAX_SERVED_QUEUES 100
#define MAX_PATTERNS      1000

static Statement next_number = {
	"select nextval('taskq_private.serving_number')::int",
	0,
	{0},
	NULL,
};

static Statement write_serving = {
	"select taskq_private.serve($1, $2, $3)",
	3,
	{INT4OID, INT4ARRAYOID, TEXTARRAYOID},
	NULL,
};

/* Of this session's row; 0: it has none yet.  A session has one database. */
static int32 serving_number;

static Datum
ids_of(Datum *names, int n)
{
	Datum *ids = palloc_array(Datum, n);

	for (int i = 0; i < n; i++)
	{
		const Queue *queue = queue_by_name(DatumGetTextPP(names[i]));

		queue_require(queue, PRIVILEGE_WORK);
		queue_refuse_topic(queue);
		ids[i] = Int32GetDatum(queue->id);
	}
	return PointerGetDatum(construct_array(ids, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

static void
take_number(void)
{
	Datum number = 0;
	bool isnull = true;

	(void) sql_as_owner(&next_number, NULL, NULL, &number, &isnull, 1);
	serving_number = DatumGetInt32(number);
}

/*
 * Holds the lock until the session ends; it may be held already.  Another session can hold it if
 * the extension was created again.
 */
static void
hold_lock(void)
{
	LOCKTAG tag;

	if (serving_number == 0)
		take_number();
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		tag = lock_tag(LOCK_SERVES, MyDatabaseId, (uint32) serving_number);
		if (LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL)
			return;
		take_number();
	}
}

PG_FUNCTION_INFO_V1(taskq_serve);
Datum
taskq_serve(PG_FUNCTION_ARGS)
{
	Datum values[3];
	Datum ignored;
	bool isnull;
	int nqueues;
	int npatterns;
	Datum *names;

	client_call("taskq.serve()");
	names = arg_names(fcinfo, 0, "queues", MAX_SERVED_QUEUES, &nqueues);
	(void) arg_names(fcinfo, 1, "kinds", MAX_PATTERNS, &npatterns);
	values[1] = ids_of(names, nqueues);
	values[2] = PG_GETARG_DATUM(1);
	hold_lock();
	values[0] = Int32GetDatum(serving_number);
	(void) sql_as_owner(&write_serving, values, NULL, &ignored, &isnull, 1);
	PG_RETURN_VOID();
}

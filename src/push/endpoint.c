/*
 * endpoint.c
 *		Decides when tasks of an endpoint may be sent: by its circuit.
 *
 * A task that may not be sent stays pending: it is not claimed, so no attempt is used up.
 *
 * The circuit is kept in shared memory, so it holds for all senders of the cluster;
 * without shared_preload_libraries each session has its own.  It is a hint: a restart of
 * the server forgets it, and if more endpoints are in use than the table has room for,
 * that of the least recently used endpoint is evicted.
 *
 * How many requests run, and how many start in a time, is limited as for any queue: see
 * life/limits.c.  Every endpoint has a limit of running requests: its own or else
 * taskq.http_max_per_host.  A claimed task is sent even if the endpoint is found to fail
 * after the claim, so few tasks may be claimed at a time.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "base/arg.h"
#include "base/catalog.h"
#include "base/shmem.h"
#include "base/sql.h"
#include "core/circuit.h"
#include "core/outcome.h"
#include "hints/idle.h"
#include "life/due.h"
#include "push/endpoint.h"
#include "tables/grant.h"
#include "tables/queue.h"

#define LOOK_AGAIN_US (50 * US_PER_MS) /* when another session blocks the endpoint for a moment */

typedef struct EndpointState
{
	HintEntry entry; /* its key is the queue's id */
	tq_circuit circuit;
	int64 gone; /* the task whose answer was 410 Gone; 0: none */
} EndpointState;

HintTable endpoints_table = {
	.name = "taskq endpoints",
	.entry_size = sizeof(EndpointState),
	.ways = 8,
	.entries = 2048,
};

/* ---- states ------------------------------------------------------------------------ */

/* Finds the state or makes it, and locks it.  No error may be raised until unlock_state(). */
static EndpointState *
lock_state(int32 queue_id, TimestampTz now)
{
	EndpointState *s;

	hint_make_local(&endpoints_table);
	s = (EndpointState *) hint_make(&endpoints_table, queue_id, NULL);
	s->entry.used_at = now;
	return s;
}

static void
unlock_state(EndpointState *s)
{
	hint_unlock(&endpoints_table, &s->entry);
}

/* When circuit and Retry-After allow the next request; now: at once. */
static TimestampTz
state_opens(const Queue *queue, TimestampTz now)
{
	EndpointState *s = lock_state(queue->id, now);
	TimestampTz opens = Max(tq_circuit_blocks_until(&s->circuit, now), now);

	if (s->gone != 0)
		opens = Max(opens, now + LOOK_AGAIN_US);
	unlock_state(s);
	return opens;
}

/* ---- claims -------------------------------------------------------------------------------- */

static Statement pause_gone = {
	"select taskq_private.pause_gone($1, $2)",
	2,
	{INT4OID, INT8OID},
	NULL,
};

/* The task whose answer was 410 Gone; it is forgotten once the queue is paused. */
static int64
task_of_gone(const Queue *queue, TimestampTz now)
{
	EndpointState *s = lock_state(queue->id, now);
	int64 task;

	if (queue->paused)
		s->gone = 0;
	task = s->gone;
	unlock_state(s);
	return task;
}

/*
 * Whether the endpoint is gone.  If it is, its queue is paused.  If another session is
 * changing queues now, a later call pauses it: a session that holds locks on rows must not
 * wait here, because the other session could wait for it.
 */
static bool
is_gone(const Queue *queue, TimestampTz now)
{
	int64 task = task_of_gone(queue, now);
	Datum values[2] = {Int32GetDatum(queue->id), Int64GetDatum(task)};
	Datum paused;
	bool isnull;

	if (task == 0)
		return false;
	if (!ConditionalLockRelationOid(catalog_relation("queue"), RowExclusiveLock) ||
		!sql_as_owner(&pause_gone, values, NULL, &paused, &isnull, 1) || !DatumGetBool(paused))
		return true;
	ereport(LOG,
			(errmsg("endpoint \"%s\" answered 410 Gone to task " INT64_FORMAT
					": its queue is paused",
					queue->name, task),
			 errhint("Call taskq.resume_queue() when the endpoint is available again.")));
	return true;
}

/* Returns how many of max requests the circuit allows, and counts them as started. */
static int
allow(EndpointState *s, const Queue *queue, int max, TimestampTz now)
{
	if (s->gone != 0)
		return 0;
	max = tq_circuit_allow(&s->circuit, max, now);
	if (max > 0)
		tq_circuit_reserve(&s->circuit, queue->lease_us, now);
	return max;
}

int
endpoint_allow(const Queue *queue, int max, TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	EndpointState *s;

	if (!queue->endpoint)
		return max;
	/* The cheap checks come first. */
	if (queue->secrets_missing || is_gone(queue, now) || state_opens(queue, now) > now ||
		!task_is_due(queue, now, &next))
		return 0;
	s = lock_state(queue->id, now);
	max = allow(s, queue, max, now);
	unlock_state(s);
	return max;
}

void
endpoint_claimed(const Queue *queue, int allowed, int count, int64 first)
{
	TimestampTz now = GetCurrentTimestamp();
	EndpointState *s;

	if (!queue->endpoint || allowed == 0)
		return;
	s = lock_state(queue->id, now);
	tq_circuit_chosen(&s->circuit, count > 0 ? first : 0, now);
	unlock_state(s);
}

void
endpoint_released(const Queue *queue, int64 task)
{
	TimestampTz now = GetCurrentTimestamp();
	EndpointState *s;

	if (queue == NULL || !queue->endpoint)
		return;
	s = lock_state(queue->id, now);
	tq_circuit_released(&s->circuit, task, now);
	unlock_state(s);
}

TimestampTz
endpoint_opens(const Queue *queue, TimestampTz now)
{
	if (!queue->endpoint)
		return now;
	return queue->secrets_missing ? DT_NOEND : state_opens(queue, now);
}

/* ---- results ------------------------------------------------------------------------------- */

static bool
circuit_is_closed(const EndpointState *s, TimestampTz now)
{
	return tq_circuit_phase_of(&s->circuit, now) == TQ_CIRCUIT_CLOSED;
}

/* Status 0: there was none. */
static void
log_opened(const Queue *queue, const char *class, int status)
{
	ereport(LOG,
			(errmsg("circuit of endpoint \"%s\" has opened: %d attempts in a row have failed",
					queue->name, TQ_CIRCUIT_FAILURES),
			 status != 0 ? errdetail("The last one got status %d.", status)
						 : errdetail("The last one failed with class %s.", class),
			 errhint("See taskq.endpoints, and taskq.attempts for the errors.")));
}

static void
log_closed(const Queue *queue, const char *reason)
{
	ereport(LOG,
			(errmsg("circuit of endpoint \"%s\" has closed: %s", queue->name, reason)));
}

void
endpoint_note(const Queue *queue, int64 task, const char *class, int status, int64 retry_after_us,
			  bool gone)
{
	TimestampTz now = GetCurrentTimestamp();
	tq_health health = tq_health_of(tq_class_of_name(class), status);
	EndpointState *s;
	bool was_closed;
	bool is_closed;

	if (queue == NULL || !queue->endpoint)
		return;
	s = lock_state(queue->id, now);
	was_closed = circuit_is_closed(s, now);
	tq_circuit_note(&s->circuit, task, health, now);
	is_closed = circuit_is_closed(s, now);
	tq_circuit_throttle(&s->circuit, retry_after_us, now);
	if (gone)
		s->gone = task;
	unlock_state(s);
	if (was_closed && !is_closed)
		log_opened(queue, class, status);
	if (!was_closed && is_closed)
		log_closed(queue, "it answers again");
	/* The next claim looks at the endpoint and pauses it, whether or not a task is due. */
	if (gone)
		idle_end(queue->id);
}

/* ---- SQL ------------------------------------------------------------------------------------- */

PG_FUNCTION_INFO_V1(taskq_reset_endpoint);
Datum
taskq_reset_endpoint(PG_FUNCTION_ARGS)
{
	int32 queue_id = PG_GETARG_INT32(0);
	TimestampTz now = GetCurrentTimestamp();
	EndpointState *s = lock_state(queue_id, now);
	bool was_closed = circuit_is_closed(s, now);
	const Queue *queue;

	*s = (EndpointState){.entry = s->entry};
	unlock_state(s);
	queue = was_closed ? NULL : queue_by_id(queue_id);
	if (queue != NULL)
		log_closed(queue, "the endpoint was changed");
	PG_RETURN_VOID();
}

/* Returns a copy of the state without making one; all zero if there is none. */
static EndpointState
look_at_state(int32 queue_id)
{
	EndpointState found = {0};
	EndpointState *s = (EndpointState *) hint_find(&endpoints_table, queue_id);

	if (s != NULL)
	{
		found = *s;
		unlock_state(s);
	}
	return found;
}

/* Returns the state of a new endpoint if the caller may not view this one. */
PG_FUNCTION_INFO_V1(taskq_endpoint_state);
Datum
taskq_endpoint_state(PG_FUNCTION_ARGS)
{
	static const char *const phase_names[] = {
		[TQ_CIRCUIT_CLOSED] = "closed",
		[TQ_CIRCUIT_OPEN] = "open",
		[TQ_CIRCUIT_HALF_OPEN] = "half-open"};
	int32 queue_id = PG_GETARG_INT32(0);
	TimestampTz now = GetCurrentTimestamp();
	const Queue *queue = queue_by_id(queue_id);
	EndpointState s = {0};
	TimestampTz next;
	Datum values[3];
	bool nulls[3] = {false};
	TupleDesc desc;

	if (queue != NULL && queue_may(queue, PRIVILEGE_VIEW))
		s = look_at_state(queue_id);
	next = tq_circuit_blocks_until(&s.circuit, now);
	nulls[2] = next <= now;
	values[0] = CStringGetTextDatum(phase_names[tq_circuit_phase_of(&s.circuit, now)]);
	values[1] = Int32GetDatum(s.circuit.failures);
	values[2] = TimestampTzGetDatum(next);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * Runs the statement as the owner, with the caller's arguments.  Its caller may do so, because
 * it has EXECUTE on the SQL function.  The statement may contain a secret, so an error must
 * not write it into the log.
 */
static Datum
pass_on_secret(FunctionCallInfo fcinfo, const char *function, Statement *statement)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum result = (Datum) 0;

	PG_TRY();
	{
		client_call(function);
		result = sql_pass_on(fcinfo, statement);
	}
	PG_CATCH();
	{
		sql_rethrow_hidden(caller);
	}
	PG_END_TRY();
	return result;
}

static Statement create_endpoint = {
	"select taskq_private.create_endpoint($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
	11,
	{TEXTOID, TEXTOID, JSONBOID, INTERVALOID, INT4OID, FLOAT8OID, TEXTOID, TEXTOID, TEXTOID,
	 TEXTOID, BOOLOID},
	NULL,
};
static Statement alter_endpoint = {
	"select taskq_private.alter_endpoint($1, $2, $3, $4, $5, $6, $7)",
	7,
	{TEXTOID, TEXTOID, JSONBOID, INTERVALOID, INT4OID, FLOAT8OID, TEXTOID},
	NULL,
};
static Statement rotate_secret = {
	"select taskq_private.rotate_secret($1, $2, $3)",
	3,
	{TEXTOID, TEXTOID, INTERVALOID},
	NULL,
};

PG_FUNCTION_INFO_V1(taskq_create_endpoint);
Datum
taskq_create_endpoint(PG_FUNCTION_ARGS)
{
	(void) pass_on_secret(fcinfo, "taskq.create_endpoint()", &create_endpoint);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_alter_endpoint);
Datum
taskq_alter_endpoint(PG_FUNCTION_ARGS)
{
	(void) pass_on_secret(fcinfo, "taskq.alter_endpoint()", &alter_endpoint);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_rotate_secret);
Datum
taskq_rotate_secret(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(pass_on_secret(fcinfo, "taskq.rotate_secret()", &rotate_secret));
}

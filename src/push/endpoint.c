/*
 * endpoint.c
 *		When an endpoint may be sent to: its rate, its circuit, how many at a time.
 *
 * What may not be sent stays pending: it is not claimed, so no attempt is used up.
 * Rate and circuit are kept in shared memory, for all who send in the cluster;
 * without shared_preload_libraries each session has its own.  They are a hint: they
 * are forgotten when the server starts, and when more endpoints are in use than
 * there is room for, that of the one that was used least lately.
 *
 * How many are under way is counted, in what leases.c knows of the leases, by who
 * holds a lock that lasts until the claim has been committed.  Every endpoint has
 * such a limit, if not its own then taskq.http_max_per_host: what has been claimed
 * is sent, whatever becomes known of the endpoint meanwhile, so it must be little.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/catalog.h"
#include "base/settings.h"
#include "base/shmem.h"
#include "base/sql.h"
#include "core/circuit.h"
#include "core/outcome.h"
#include "core/rate.h"
#include "hints/idle.h"
#include "hints/leases.h"
#include "life/due.h"
#include "push/endpoint.h"
#include "tables/grant.h"
#include "tables/queue.h"

#define LOOK_AGAIN_US (50 * US_PER_MS) /* when another session is in the way for a moment */

#define CLAIM_LOCK 0x5453 /* see executor_lock_tag() */

typedef struct EndpointState
{
	HintEntry entry; /* its number is the queue's id */
	tq_circuit circuit;
	tq_rate rate;
	int64 gone;             /* the task that was answered 410; 0: none */
	TimestampTz counted_at; /* when what is under way was last looked at row by row */
} EndpointState;

HintTable endpoints_table = {
	.name = "taskq endpoints",
	.entry_size = sizeof(EndpointState),
	.ways = 8,
	.entries = 2048,
};

/* ---- states ------------------------------------------------------------------------ */

/* Made if need be.  Until unlock_state() nothing may fail. */
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

/* When circuit, Retry-After and rate let the next request start; now: at once. */
static TimestampTz
state_opens(const Queue *queue, TimestampTz now)
{
	EndpointState *s = lock_state(queue->id, now);
	TimestampTz opens = Max(tq_circuit_blocks_until(&s->circuit, now), now);

	if (queue->rate > 0)
		opens = Max(opens, tq_rate_opens(&s->rate, tq_rate_interval_us(queue->rate), now));
	if (s->gone != 0)
		opens = Max(opens, now + LOOK_AGAIN_US);
	unlock_state(s);
	return opens;
}

/* ---- how many at a time ------------------------------------------------------------------ */

/* False: somebody else claims for the endpoint. */
static bool
lock_claims(const Queue *queue, LOCKTAG *tag)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, queue->id, 0, CLAIM_LOCK);
	return LockAcquire(tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* Whether it is time to find out which leases are gone without a word. */
static bool
wants_exact_count(const Queue *queue, TimestampTz now)
{
	EndpointState *s = lock_state(queue->id, now);
	bool wants = now - s->counted_at > USECS_PER_SEC || s->counted_at > now;

	if (wants)
		s->counted_at = now;
	unlock_state(s);
	return wants;
}

/* How many more may be under way. */
static int
room_to_run(const Queue *queue, int max, TimestampTz now)
{
	int limit = queue->max_running > 0 ? queue->max_running : setting_http_max_per_host;
	int running = leases_count_running(queue->id, false);

	if (running >= limit && wants_exact_count(queue, now))
		running = leases_count_running(queue->id, true);
	return Min(max, Max(limit - running, 0));
}

/* ---- claims -------------------------------------------------------------------------------- */

static Statement pause_gone = {
	"select taskq_private.pause_gone($1, $2)",
	2,
	{INT4OID, INT8OID},
	NULL,
};

/* The task that was answered 410; that is forgotten once the queue is seen to be paused. */
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
 * Whether the endpoint is gone.  If so its queue is paused, unless somebody changes
 * queues now: then later.  Nobody waits here who holds a row, for that could be
 * who is waited for.
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
			 errhint("Call taskq.resume_queue() when it is there again.")));
	return true;
}

/* How many of max requests circuit and rate let start; they are taken to have started. */
static int
allow(EndpointState *s, const Queue *queue, int max, TimestampTz now)
{
	if (s->gone != 0)
		return 0;
	max = tq_circuit_allow(&s->circuit, max, now);
	if (max > 0 && queue->rate > 0)
		max = tq_rate_take(&s->rate, tq_rate_interval_us(queue->rate), max, now);
	if (max > 0)
		tq_circuit_reserve(&s->circuit, queue->lease_us, now);
	return max;
}

int
endpoint_allow(const Queue *queue, int max, TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	LOCKTAG tag;
	EndpointState *s;

	if (!queue->endpoint)
		return max;
	/* The cheap questions come first. */
	if (queue->secrets_missing || is_gone(queue, now) || state_opens(queue, now) > now ||
		!task_is_due(queue, now, &next))
		return 0;
	max = lock_claims(queue, &tag) ? room_to_run(queue, max, now) : 0;
	if (max == 0)
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
	if (queue->rate > 0)
		tq_rate_give_back(&s->rate, tq_rate_interval_us(queue->rate), allowed - count);
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

/* Whether and when there is room for another. */
static TimestampTz
room_opens(const Queue *queue, TimestampTz now, bool *limited)
{
	LOCKTAG tag;
	bool room;

	if (!lock_claims(queue, &tag))
		return now + LOOK_AGAIN_US;
	room = room_to_run(queue, 1, now) > 0;
	LockRelease(&tag, ExclusiveLock, false);
	*limited |= !room;
	return room ? now : DT_NOEND;
}

TimestampTz
endpoint_opens(const Queue *queue, TimestampTz now, bool *limited)
{
	TimestampTz opens;

	if (!queue->endpoint)
		return now;
	if (queue->secrets_missing)
		return DT_NOEND;
	opens = state_opens(queue, now);
	return opens > now ? opens : room_opens(queue, now, limited);
}

/* ---- results ------------------------------------------------------------------------------- */

void
endpoint_note(const Queue *queue, int64 task, const char *class, int status, int64 retry_after_us,
			  bool gone)
{
	TimestampTz now = GetCurrentTimestamp();
	tq_health health = tq_health_of(tq_class_of_name(class), status);
	EndpointState *s;

	if (queue == NULL || !queue->endpoint)
		return;
	s = lock_state(queue->id, now);
	tq_circuit_note(&s->circuit, task, health, now);
	tq_circuit_throttle(&s->circuit, retry_after_us, now);
	if (gone)
		s->gone = task;
	unlock_state(s);
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
	EndpointState *s = lock_state(queue_id, GetCurrentTimestamp());

	*s = (EndpointState){.entry = s->entry, .rate = s->rate};
	unlock_state(s);
	PG_RETURN_VOID();
}

/* As it is, without making or keeping it; all zero when there is none. */
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

/* Of an endpoint that the caller may not view, as if nothing were known. */
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

#define MAX_ENDPOINT_ARGS 9

/*
 * Calls it with the caller's arguments.  Who may was decided by EXECUTE.  An error
 * must not bring the statement, which may have a secret in it, into the log.
 */
static Datum
pass_on(FunctionCallInfo fcinfo, const char *function, Statement *statement)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum values[MAX_ENDPOINT_ARGS];
	char nulls[MAX_ENDPOINT_ARGS] = {0};
	Datum result = 0;
	bool isnull;

	for (int i = 0; i < statement->nargs; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	PG_TRY();
	{
		client_call(function);
		(void) sql_as_owner(statement, values, nulls, &result, &isnull, 1);
	}
	PG_CATCH();
	{
		ErrorData *failure;

		MemoryContextSwitchTo(caller);
		failure = CopyErrorData();
		FlushErrorState();
		failure->hide_stmt = true;
		failure->context = NULL;
		ReThrowError(failure);
	}
	PG_END_TRY();
	return result;
}

static Statement create_endpoint = {
	"select taskq_private.create_endpoint($1, $2, $3, $4, $5, $6, $7, $8, $9)",
	9,
	{TEXTOID, TEXTOID, JSONBOID, INTERVALOID, INT4OID, FLOAT4OID, TEXTOID, TEXTOID, TEXTOID},
	NULL,
};
static Statement alter_endpoint = {
	"select taskq_private.alter_endpoint($1, $2, $3, $4, $5, $6, $7)",
	7,
	{TEXTOID, TEXTOID, JSONBOID, INTERVALOID, INT4OID, FLOAT4OID, TEXTOID},
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
	(void) pass_on(fcinfo, "taskq.create_endpoint()", &create_endpoint);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_alter_endpoint);
Datum
taskq_alter_endpoint(PG_FUNCTION_ARGS)
{
	(void) pass_on(fcinfo, "taskq.alter_endpoint()", &alter_endpoint);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_rotate_secret);
Datum
taskq_rotate_secret(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(pass_on(fcinfo, "taskq.rotate_secret()", &rotate_secret));
}

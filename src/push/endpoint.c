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
#include "hints/idle.h"
#include "hints/leases.h"
#include "life/due.h"
#include "push/endpoint.h"
#include "tables/grant.h"
#include "tables/queue.h"

#define BREAKER_FAILURES 10 /* in a row open the circuit */
#define FIRST_PAUSE_US   (5 * USECS_PER_SEC)
#define MAX_PAUSE_US     (300 * USECS_PER_SEC)
#define MAX_THROTTLE_US  US_PER_DAY /* as outcome.h has it */

#define BURST_US (USECS_PER_SEC / 10) /* what may be started at once: that much time's worth */

#define LOOK_AGAIN_US (50 * US_PER_MS) /* where somebody is in the way for a moment */

#define CLAIM_LOCK 0x5453 /* see executor_lock_tag() */

/*
 * The circuit is closed while failures < BREAKER_FAILURES, open until open_until
 * after that, then half-open: one request is let through, and open_until set to
 * when it must have ended.
 */
typedef struct EndpointState
{
	HintEntry entry; /* its number is the queue's id */
	int failures;    /* in a row */
	int pauses;      /* in a row */
	int64 probe;     /* the task that tries, until open_until at most; 0: none, CLAIMED_NOW */
	TimestampTz open_until;
	TimestampTz throttled_until; /* a Retry-After */
	TimestampTz start_at;        /* rate: when the next is to start, if all keep to it */
	int64 gone;                  /* the task that was answered 410; 0: none */
	TimestampTz counted_at;      /* when what is under way was last looked at row by row */
} EndpointState;

#define CLAIMED_NOW (-1) /* the probe is being claimed */

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

/* The clock may have been set back: nothing waits longer than it was to. */
static void
mind_clock(EndpointState *s, TimestampTz now)
{
	s->open_until = Min(s->open_until, now + MAX_PAUSE_US);
	s->throttled_until = Min(s->throttled_until, now + MAX_THROTTLE_US);
}

static bool
is_closed(const EndpointState *s)
{
	return s->failures < BREAKER_FAILURES;
}

/* ---- rate ------------------------------------------------------------------------------ */

static int64
time_of_one(const Queue *queue)
{
	return Max((int64) (USECS_PER_SEC / queue->rate), 1);
}

/* Never further away than it would be after as much as may start at once. */
static void
mind_rate(EndpointState *s, const Queue *queue, TimestampTz now)
{
	s->start_at = Max(s->start_at, now);
	s->start_at = Min(s->start_at, now + BURST_US + time_of_one(queue));
}

/* When the next may start. */
static TimestampTz
next_by_rate(const EndpointState *s, const Queue *queue)
{
	return s->start_at - Max(BURST_US - time_of_one(queue), 0);
}

/* How many may start now; they are taken to have started. */
static int
take_by_rate(EndpointState *s, const Queue *queue, int max, TimestampTz now)
{
	int64 one = time_of_one(queue);
	int64 room;

	mind_rate(s, queue, now);
	if (next_by_rate(s, queue) > now)
		return 0;
	room = 1 + (now - next_by_rate(s, queue)) / one;
	max = (int) Min(room, max);
	s->start_at += max * one;
	return max;
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

/* By the circuit and by rate. */
static int
allow(EndpointState *s, const Queue *queue, int max, TimestampTz now)
{
	mind_clock(s, now);
	if (s->gone != 0 || s->throttled_until > now || s->open_until > now)
		return 0;
	if (!is_closed(s))
		max = Min(max, 1);
	if (queue->rate > 0)
		max = take_by_rate(s, queue, max, now);
	if (max > 0 && !is_closed(s))
	{
		s->probe = CLAIMED_NOW;
		s->open_until = now + Min(queue->lease_us, MAX_PAUSE_US);
	}
	return max;
}

/* When circuit, Retry-After and rate let the next one start. */
static TimestampTz
state_opens(const Queue *queue, TimestampTz now)
{
	EndpointState *s = lock_state(queue->id, now);
	TimestampTz opens;

	mind_clock(s, now);
	opens = Max(Max(s->throttled_until, s->open_until), now);
	if (queue->rate > 0)
	{
		mind_rate(s, queue, now);
		opens = Max(opens, next_by_rate(s, queue));
	}
	if (s->gone != 0)
		opens = Max(opens, now + LOOK_AGAIN_US);
	unlock_state(s);
	return opens;
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

/* Nobody tries any more, so another may. */
static void
end_probe(EndpointState *s, TimestampTz now)
{
	if (s->probe == 0)
		return;
	s->probe = 0;
	s->open_until = now;
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
		s->start_at -= (allowed - count) * time_of_one(queue);
	if (count == 0)
		end_probe(s, now);
	else if (s->probe == CLAIMED_NOW)
		s->probe = first;
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
	if (s->probe == task)
		end_probe(s, now);
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

/* Whether the endpoint is to blame for a failure. */
static bool
speaks_against(const char *class, int status)
{
	static const char *const classes[] = {"dns", "connect", "tls", "timeout", "reset", "protocol"};

	if (status != 0)
		return status >= 500 || status == 429;
	for (size_t i = 0; i < lengthof(classes); i++)
	{
		if (strcmp(class, classes[i]) == 0)
			return true;
	}
	return false;
}

/* Those that were under way when the circuit was opened do not count. */
static void
note_failure(EndpointState *s, int64 task, TimestampTz now)
{
	if (!is_closed(s) && s->probe != task)
		return;
	s->failures++;
	s->probe = 0;
	if (is_closed(s))
		return;
	s->open_until = now + Min(FIRST_PAUSE_US << Min(s->pauses, 20), MAX_PAUSE_US);
	s->pauses++;
}

void
endpoint_note(const Queue *queue, int64 task, const char *class, int status, int64 retry_after_us,
			  bool gone)
{
	TimestampTz now = GetCurrentTimestamp();
	EndpointState *s;

	if (queue == NULL || !queue->endpoint)
		return;
	s = lock_state(queue->id, now);
	if (speaks_against(class, status))
		note_failure(s, task, now);
	else if (status != 0)
	{
		s->failures = s->pauses = 0;
		s->probe = 0;
		s->open_until = 0;
	}
	else if (s->probe == task)
		end_probe(s, now);
	if (retry_after_us > 0)
		s->throttled_until = Max(s->throttled_until, now + retry_after_us);
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

	*s = (EndpointState){.entry = s->entry, .start_at = s->start_at};
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
	next = Max(s.throttled_until, s.open_until);
	nulls[2] = next <= now;
	if (is_closed(&s))
		values[0] = CStringGetTextDatum("closed");
	else
		values[0] = CStringGetTextDatum(s.probe != 0 || s.open_until <= now ? "half-open" : "open");
	values[1] = Int32GetDatum(s.failures);
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
